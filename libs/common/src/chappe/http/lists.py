"""Lists as the API pages them: ``{"items": […], "next": cursor or null}``."""

import base64
import binascii
from typing import Annotated, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel

from chappe.http.problems import FieldError, Problem

LIMIT_DEFAULT = 50
LIMIT_MAX = 500

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]


class Page(BaseModel, Generic[T]):
    """One page; ``next`` is opaque and null on the last."""

    items: list[T]
    next: str | None


def cursor_of(*position: str | int) -> str:
    """An opaque cursor for the place after ``position``."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def position_of(cursor: str | None, length: int) -> list[str | int] | None:
    """The ``length`` values ``cursor_of`` was given; None without a cursor. A bad one is a 400."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(raw, type=list[str | int])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        position = []
    if len(position) != length:
        raise Problem(
            400,
            "the cursor is not one of ours",
            errors=[FieldError("cursor", "use `next` as given")],
        )
    return position
