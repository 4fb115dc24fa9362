"""Chappe from outside, over its public HTTP API: what the command and the demo are made of."""

from chappe_onebox.client.api import Api, ApiError, Refused, Unreachable
from chappe_onebox.client.applying import (
    Applied,
    Checked,
    FileError,
    Folder,
    apply,
    read_folders,
    read_templates,
    text_of,
    validate,
)

__all__ = [
    "Api",
    "ApiError",
    "Applied",
    "Checked",
    "FileError",
    "Folder",
    "Refused",
    "Unreachable",
    "apply",
    "read_folders",
    "read_templates",
    "text_of",
    "validate",
]
