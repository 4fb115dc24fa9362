"""Which workspace a request speaks for: by the Bearer token, or ``?token=`` for an EventSource."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fastapi import Request

from chappe.http import require_token
from chappe.ids import WorkspaceId

Check: TypeAlias = Callable[[Request], Awaitable[WorkspaceId]]


def token_anywhere(admin_token: str) -> Check:
    """Like ``require_token``; a browser's EventSource cannot set headers, so ``?token=`` and
    ``?workspace=`` stand in for them.
    """
    by_header = require_token(admin_token)

    async def check(request: Request) -> WorkspaceId:
        token = request.query_params.get("token")
        if token is None or "authorization" in request.headers:
            return await by_header(request)
        headers = [*request.headers.raw, (b"authorization", f"Bearer {token}".encode())]
        if (workspace := request.query_params.get("workspace")) is not None:
            headers.append((b"chappe-workspace", workspace.encode()))
        return await by_header(Request({**request.scope, "headers": headers}))

    return check
