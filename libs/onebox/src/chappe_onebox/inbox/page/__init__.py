"""The page, put together from its three files; it asks no other host for anything."""

import base64
import hashlib
from importlib.resources import files
from typing import Final

_POLICY: Final = (
    "default-src 'none'; connect-src 'self'; frame-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'self' http://localhost:*"
    " http://127.0.0.1:*; script-src '{script}'; style-src '{style}'"
)


def page_document() -> tuple[str, str]:
    """The whole page, and the policy that allows its own script and style and no other."""
    folder = files(__name__)
    html, style, script = (
        folder.joinpath(name).read_text("utf-8") for name in ("page.html", "page.css", "page.js")
    )
    document = html.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    return document, _POLICY.format(script=_hash_of(script), style=_hash_of(style))


def _hash_of(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
