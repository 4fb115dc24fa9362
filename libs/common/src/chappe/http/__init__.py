"""HTTP as every service speaks it: health, metrics, problems, the token, the guarded way out."""

from chappe.http.app import Check, create_app
from chappe.http.auth import require_token
from chappe.http.lists import Page, cursor_of, position_of
from chappe.http.outbound import (
    Outbound,
    OutboundAnswer,
    OutboundError,
    OutboundRefused,
    OutboundUnreachable,
)
from chappe.http.problems import FieldError, Problem

__all__ = [
    "Check",
    "FieldError",
    "Outbound",
    "OutboundAnswer",
    "OutboundError",
    "OutboundRefused",
    "OutboundUnreachable",
    "Page",
    "Problem",
    "create_app",
    "cursor_of",
    "position_of",
    "require_token",
]
