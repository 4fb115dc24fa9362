"""Which links may be followed through us, and where a link of ours points."""

import functools
import re
from urllib.parse import urlsplit

URL_LETTERS_MAX = 1_500
LOOPBACK_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))
_UNSAFE = re.compile(r"[\x00-\x20\x7f<>\"\\^`{|}]")
_COMMON = re.compile(r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9/._~%?&=+,;!*'()$#:@-]*)?")
_HARMLESS_SCHEMES = ("https:", "http:", "mailto:", "tel:", "sms:", "#")


@functools.lru_cache(maxsize=4096)
def is_trackable(url: str) -> bool:
    """Whether ``url`` is one we may send people to: https with a host, or http on this machine.

    Nothing with credentials, blanks or control characters, nothing longer than
    ``URL_LETTERS_MAX``: a link of ours never leads where the template did not.
    """
    if len(url) > URL_LETTERS_MAX:
        return False
    if _COMMON.fullmatch(url):  # nearly all: nothing in it that needs taking apart
        return True
    if _UNSAFE.search(url):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    loopback = host in LOOPBACK_HOSTS or host.endswith(".localhost")
    return parts.scheme == "https" or (parts.scheme == "http" and loopback)


def is_harmless(url: str) -> bool:
    """Whether a link that is not followed through us may stand in a mail at all."""
    return not url or url.strip().lower().startswith(_HARMLESS_SCHEMES)
