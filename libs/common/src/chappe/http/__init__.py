"""HTTP as every service speaks it: health, metrics, problems, the Bearer token."""

from chappe.http.app import Check, create_app
from chappe.http.auth import require_token
from chappe.http.lists import Page, cursor_of, position_of
from chappe.http.problems import FieldError, Problem

__all__ = [
    "Check",
    "FieldError",
    "Page",
    "Problem",
    "create_app",
    "cursor_of",
    "position_of",
    "require_token",
]
