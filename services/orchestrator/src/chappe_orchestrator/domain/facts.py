"""What a condition sees of a contact at one moment."""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

from chappe.journey.calendar import first_zone
from chappe.journey.history import Answer, HistoryWantedError, Past, Query, answered
from chappe.journey.predicates import Filter, event_filter
from chappe_orchestrator.domain.profile import day_of, score_now
from chappe_orchestrator.domain.state import Enrollment, Profile

ZONE_ATTRIBUTES = ("timezone", "time_zone")


class Asked(NamedTuple):
    """A question about the past; ``entered_at`` where it is about the time since an entry."""

    query: Query
    entered_at: dt.datetime | None


class Pasts(msgspec.Struct):
    """What the history answered before the step, and what the step itself has heard since.

    ``kept`` are the facts themselves, at hand only when another contact is taken in.
    """

    answers: dict[Asked, Answer] = {}
    heard: list[Past] = []
    kept: list[Past] = []

    def ask(self, query: Query, now: dt.datetime, entered_at: dt.datetime | None) -> Answer:
        """Raises ``HistoryWantedError`` until it was answered."""
        since = entered_at if query.since == "entry" else None
        asked = Asked(query, since)
        if asked not in self.answers:
            raise HistoryWantedError(query, since)
        so_far = self.answers[asked]
        if not self.heard:
            return so_far
        takes = _taking(query)
        return answered(
            query, self.heard, takes=takes, so_far=so_far, now=now, entered_at=entered_at
        )


@lru_cache(maxsize=256)
def _taking(query: Query) -> Filter:
    return event_filter(query.where)


def contact_view(profile: Profile, score: float) -> dict[str, Any]:
    """A contact as conditions and templates name it: its traits, with e-mail, tags and the score
    as it has decayed until now.
    """
    return {
        **profile.traits,
        "email": profile.email,
        "tags": profile.tags,
        "score": score,
    }


def entry_view(enrollment: Enrollment) -> dict[str, Any]:
    """An entry as conditions and templates name it; ``variant`` is the last one drawn."""
    view: dict[str, Any] = {"key": enrollment.key}
    if enrollment.variants:
        view["variant"] = next(reversed(enrollment.variants.values()))
        view["variants"] = dict(enrollment.variants)
    if enrollment.answers:
        view["webhook"] = enrollment.answers
    return view


class Known:
    """``chappe.journey.Facts`` over a profile, an event's data and perhaps an enrollment.

    ``zones`` are the names to try when the contact itself says none; ``half_life`` is the score's.
    """

    __slots__ = (
        "_enrollment", "_half_life", "_pasts", "_profile", "_view", "_zones", "event", "now",
    )  # fmt: skip

    def __init__(
        self,
        profile: Profile,
        event: Mapping[str, Any],
        *,
        now: dt.datetime,
        enrollment: Enrollment | None = None,
        zones: Iterable[str | None] = (),
        half_life: dt.timedelta | None = None,
        pasts: Pasts | None = None,
    ) -> None:
        self.event = event
        self.now = now
        self._profile = profile
        self._enrollment = enrollment
        self._zones = zones
        self._half_life = half_life
        self._pasts = pasts
        self._view: dict[str, Any] | None = None

    @property
    def contact(self) -> Mapping[str, Any]:
        if self._view is None:
            self._view = contact_view(self._profile, self.score)
        return self._view

    @property
    def entry(self) -> Mapping[str, Any]:
        return entry_view(self._enrollment) if self._enrollment else {}

    @property
    def zone(self) -> dt.tzinfo:
        traits = self._profile.traits
        return first_zone([*(traits.get(name) for name in ZONE_ATTRIBUTES), *self._zones])

    @property
    def score(self) -> float:
        return score_now(self._profile, self.now, self._half_life)

    def times(self, event: str, since: dt.timedelta | Literal["entry"] | None) -> int:
        counter = self._profile.counters.get(event)
        if counter is None:
            return 0
        if since is None:
            return counter.total
        if since == "entry":
            enrollment = self._enrollment
            return counter.total - enrollment.counts.get(event, 0) if enrollment else 0
        begin = day_of(self.now - since)
        return sum(count for day, count in counter.days.items() if day >= begin)

    def occasion(self, event: str, which: Literal["first", "last"]) -> dt.datetime | None:
        counter = self._profile.counters.get(event)
        if counter is None:
            return None
        return counter.first if which == "first" else counter.last

    def spent(self, event: str, currency: str, how: Literal["sum", "max"]) -> Decimal | None:
        counter = self._profile.counters.get(event)
        held = counter.spent.get(currency) if counter is not None else None
        if held is None:
            return None
        return held.sum if how == "sum" else held.max

    def engaged(self, how: Literal["opened", "clicked"], of_last: int) -> int:
        mails = [one for one in self._profile.mails if one.accepted or one.opened or one.clicked]
        last = mails[-of_last:]
        if how == "clicked":
            return sum(one.clicked is not None for one in last)
        return sum(one.opened is not None for one in last)

    @property
    def half_life(self) -> dt.timedelta | None:
        return self._half_life

    def days(self, event: str) -> Mapping[int, int]:
        counter = self._profile.counters.get(event)
        return counter.days if counter is not None else {}

    def later(self, now: dt.datetime) -> "Known":
        return Known(
            self._profile,
            self.event,
            now=now,
            enrollment=self._enrollment,
            zones=self._zones,
            half_life=self._half_life,
            pasts=self._pasts,
        )

    def consent(self, channel: str) -> str:
        held = self._profile.consent.get(channel)
        return str(held.state) if held else "unknown"

    def topic(self, name: str) -> str:
        held = self._profile.topics.get(name)
        return str(held.state) if held else "subscribed"

    def segment(self, name: str) -> bool:
        return name in self._profile.segments

    def past(self, query: Query) -> Answer:
        entered_at = self._enrollment.entered_at if self._enrollment else None
        return (self._pasts or Pasts()).ask(query, self.now, entered_at)
