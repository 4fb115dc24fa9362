"""The Bearer token of ``/api``."""

import hmac
import re
from collections.abc import Awaitable, Callable

from fastapi import Request

from chappe.http.problems import Problem
from chappe.ids import DEFAULT_WORKSPACE, WorkspaceId

WORKSPACE = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")


def require_token(admin_token: str) -> Callable[[Request], Awaitable[WorkspaceId]]:
    """A dependency that checks ``Authorization: Bearer`` and returns the workspace.

    The admin token picks the workspace with ``Chappe-Workspace:``, ``default`` when absent.
    """
    wanted = admin_token.encode()

    async def check(request: Request) -> WorkspaceId:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "replace")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, wanted):
            raise Problem(
                401,
                "send 'Authorization: Bearer TOKEN'; `chappe up` prints the admin token",
                headers={"WWW-Authenticate": "Bearer"},
            )
        workspace = request.headers.get("chappe-workspace", DEFAULT_WORKSPACE)
        if not WORKSPACE.match(workspace):
            raise Problem(400, "Chappe-Workspace is not a workspace's name")
        return WorkspaceId(workspace)

    return check
