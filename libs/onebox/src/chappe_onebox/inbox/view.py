"""Make the HTML of a stranger's mail a document that may be looked at.

The document is never trusted: it is served in a sandbox without scripts, forms, plugins or an
origin, and its links open elsewhere without a way back. Its pictures do load, as in a mail reader.
"""

import re
from collections.abc import Mapping
from typing import Final

DOCUMENT_POLICY: Final = (
    "default-src 'none'; img-src * data:; media-src *; font-src * data:;"
    " style-src * 'unsafe-inline';"
    " base-uri 'self'; form-action 'none';"
    " frame-ancestors 'self' http://localhost:* http://127.0.0.1:*;"
    " sandbox allow-popups allow-popups-to-escape-sandbox"
)
#: A file out of a mail, should a browser show it after all.
FILE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

_LINK: Final = re.compile(r"<(a|area)(?=[\s>/])", re.IGNORECASE)
_CID: Final = re.compile(r"""cid:([^\s"'<>)]+)""", re.IGNORECASE)
_HEAD: Final = '<base target="_blank"><meta name="referrer" content="no-referrer">'


def document_of(html: str, inline: Mapping[str, str]) -> str:
    """The mail's HTML with safe links and its own pictures; ``inline`` maps Content-ID to URL."""
    # Of a repeated attribute the first one counts, so ours win over the mail's.
    linked = _LINK.sub(r'<\1 target="_blank" rel="noopener noreferrer"', html)
    shown = _CID.sub(lambda cid: inline.get(cid[1], cid[0]), linked)
    return f"<!doctype html>{_HEAD}{shown}"
