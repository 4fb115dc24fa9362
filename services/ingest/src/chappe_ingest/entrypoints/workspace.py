"""Who asks on ``/api``."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fastapi import Request

from chappe.ids import WorkspaceId

Authorise: TypeAlias = Callable[[Request], Awaitable[WorkspaceId]]
"""The dependency of ``chappe.http.require_token``: the caller's workspace, or a 401."""
