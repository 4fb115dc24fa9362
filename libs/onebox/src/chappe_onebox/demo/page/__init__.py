"""The demo page: one self-contained document that uses only the addresses everybody has."""

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from chappe_onebox.demo.world import World

LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""A page that carries the token is only given to who asked for this machine by its own name: a
stranger's site whose name was made to lead here gets none."""

_POLICY: Final = (
    "default-src 'none'; connect-src 'self' {inbox}; frame-src {inbox}; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " script-src '{script}'; style-src '{style}'"
)


def add_page(
    app: FastAPI, *, world: Callable[[], World | None], inbox_url: str | None, token: str | None
) -> None:
    """``token`` is put into the page when only this machine can reach it."""
    document, script, style = _document()
    policy = _POLICY.format(inbox=inbox_url or "'none'", script=script, style=style)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        made = world()
        config: dict[str, Any] = {
            "token": token if host in LOCAL_HOSTS else None,
            "inbox": inbox_url,
            "writeKey": made.web.secret if made and host in LOCAL_HOSTS else None,
        }
        # In a script element nothing ends it but its own tag.
        text = msgspec.json.encode(config).decode().replace("<", "\\u003c")
        return HTMLResponse(
            document.replace("/*CONFIG*/", text),
            headers={
                "Content-Security-Policy": policy,
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )

    _ = page


def _document() -> tuple[str, str, str]:
    """The page with its style and its script inside, and their hashes for the policy."""
    folder = files(__name__)
    html, style, script = (
        folder.joinpath(name).read_text("utf-8") for name in ("page.html", "page.css", "page.js")
    )
    page = html.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    return page, _hash_of(script), _hash_of(style)


def _hash_of(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
