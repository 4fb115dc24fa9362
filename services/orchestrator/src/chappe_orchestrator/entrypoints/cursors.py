"""Lists that run from the newest to the oldest."""

import datetime as dt

from chappe.http import FieldError, Problem, cursor_of, position_of


def cursor_at(at: dt.datetime, last: str) -> str:
    """The cursor behind the row ``last`` of the instant ``at``."""
    return cursor_of(at.isoformat(), last)


def before(cursor: str | None) -> tuple[dt.datetime, str] | None:
    """What ``cursor_at`` was given. Anything else is a 400."""
    at = position_of(cursor, 2)
    if at is None:
        return None
    try:
        return dt.datetime.fromisoformat(str(at[0])), str(at[1])
    except ValueError as error:
        wrong = FieldError("cursor", "use `next` as given")
        raise Problem(400, "the cursor is not one of ours", errors=[wrong]) from error
