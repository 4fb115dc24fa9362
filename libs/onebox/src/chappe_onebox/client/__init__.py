"""Chappe from outside, over its public HTTP API: what the command and the demo are made of."""

from chappe_onebox.client.api import Api, ApiError, Refused, Unreachable
from chappe_onebox.client.applying import (
    Applied,
    Folder,
    apply,
    read_folders,
    read_templates,
    validate,
)

__all__ = [
    "Api",
    "ApiError",
    "Applied",
    "Folder",
    "Refused",
    "Unreachable",
    "apply",
    "read_folders",
    "read_templates",
    "validate",
]
