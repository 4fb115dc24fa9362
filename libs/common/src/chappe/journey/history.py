"""Questions about a contact's past that its profile cannot answer, and how an answer is put
together from the events themselves.

The engine asks only when a decision comes to such a question: ``Facts.past`` raises
``HistoryWantedError`` until the answer is at hand.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from chappe.journey.conditions import Comparison, Did, Max, Sum
from chappe.journey.values import amount, as_mapping, number, walk

Answer: TypeAlias = int | Decimal | None
"""A count, a sum or a time; of the largest value or the time of nothing, None."""

DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Past:
    """One event as the history holds it: when it occurred, and its ``data``."""

    event: str
    at: dt.datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """How many, how much or the largest, of one event name.

    ``since`` is a window of whole UTC days that ends now, or begins when the enrollment was
    entered. ``where`` holds paths below ``event.`` with what each must be. ``currency``: amounts of
    it are taken, else plain numbers. ``when`` asks for the time of the ``nth`` newest (of the
    oldest when there are fewer, or without ``nth``), in seconds since 1970.
    """

    kind: Literal["count", "sum", "max", "when"]
    event: str
    since: dt.timedelta | Literal["entry"] | None = None
    where: tuple[tuple[str, Comparison], ...] = ()
    path: str | None = None
    currency: str | None = None
    nth: int | None = None

    def when(self, nth: int | None) -> "Query":
        """When the ``nth`` newest of these events was; None: the oldest."""
        return replace(self, kind="when", path=None, currency=None, nth=nth)

    def begin(self, now: dt.datetime, entered_at: dt.datetime | None) -> dt.datetime | None:
        """From when on events count; None: from ever. Without an enrollment nothing is since it."""
        if self.since is None:
            return None
        if self.since == "entry":
            return entered_at or now + LONG
        return start_of_day(now - self.since)


LONG = dt.timedelta(days=36_600)


class HistoryWantedError(Exception):
    """A decision needs answers that are not at hand yet: ask them, and take the step again.

    ``also`` are others that will be wanted beside ``query``: they are asked together.
    """

    def __init__(
        self, query: Query, entered_at: dt.datetime | None = None, also: tuple[Query, ...] = ()
    ) -> None:
        super().__init__(f"the past is wanted: {query.kind} of {query.event}")
        self.query = query
        self.entered_at = entered_at
        self.also = also


def start_of_day(at: dt.datetime) -> dt.datetime:
    """The beginning of the UTC day."""
    return at.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def query_of(node: Did | Sum | Max, currency: str | None = None) -> Query:
    """What a node asks."""
    where = tuple((node.where or {}).items())
    match node:
        case Did(did=name):
            return Query("count", name, node.since, where)
        case Sum(sum=path):
            return Query("sum", node.of, node.since, where, path, currency)
        case Max(max=path):
            return Query("max", node.of, node.since, where, path, currency)


def answered(
    query: Query,
    events: Iterable[Past],
    *,
    takes: Callable[[Mapping[str, Any]], bool],
    so_far: Answer = None,
    now: dt.datetime,
    entered_at: dt.datetime | None,
) -> Answer:
    """Add ``events`` to what is known ``so_far``; ``takes`` is the compiled ``where``."""
    begin = query.begin(now, entered_at)
    found: Answer = so_far if so_far is not None or query.kind in ("max", "when") else 0
    for one in events:
        if one.event != query.event or (begin is not None and one.at < begin):
            continue
        if not takes(one.data):
            continue
        if query.kind == "count":
            found = (found or 0) + 1
        elif query.kind == "when":
            # Early rather than late: the nth newest of all is never before the oldest of both.
            at = Decimal(str(one.at.timestamp()))
            found = at if found is None else min(found, at)
        elif (size := size_at(one.data, query.path or "", query.currency)) is not None:
            if query.kind == "sum":
                found = (found or 0) + size
            else:
                found = size if found is None else max(found, size)
    return found


def size_at(data: Mapping[str, Any], path: str, currency: str | None) -> Decimal | None:
    """The number at ``event.PATH``, or the amount where a currency is asked for."""
    value = walk(data, path.split(".")[1:])
    if currency is None:
        return number(value)
    priced = as_mapping(value)
    if priced is None or priced.get("currency") != currency:
        return None
    return amount(priced.get("amount"))
