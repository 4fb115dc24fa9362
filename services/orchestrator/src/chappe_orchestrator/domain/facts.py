"""What a condition sees of a contact at one moment."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

from chappe_orchestrator.domain.state import Enrollment, Profile

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def day_of(at: dt.datetime) -> int:
    """The number of the UTC day since 1970."""
    return (at - EPOCH) // DAY


def contact_view(profile: Profile) -> dict[str, Any]:
    """A contact as conditions and templates name it: its traits, with e-mail and tags."""
    return {**profile.traits, "email": profile.email, "tags": profile.tags}


class Known:
    """``chappe.journey.Facts`` over a profile, an event's data and perhaps an enrollment."""

    __slots__ = ("_enrollment", "_now", "_profile", "_view", "event")

    def __init__(
        self,
        profile: Profile,
        event: Mapping[str, Any],
        *,
        now: dt.datetime,
        enrollment: Enrollment | None = None,
    ) -> None:
        self.event = event
        self._profile = profile
        self._now = now
        self._enrollment = enrollment
        self._view: dict[str, Any] | None = None

    @property
    def contact(self) -> Mapping[str, Any]:
        if self._view is None:
            self._view = contact_view(self._profile)
        return self._view

    @property
    def entry(self) -> Mapping[str, Any]:
        return {"key": self._enrollment.key} if self._enrollment else {}

    def times(self, event: str, since: dt.timedelta | Literal["entry"] | None) -> int:
        counter = self._profile.counters.get(event)
        if counter is None:
            return 0
        if since is None:
            return counter.total
        if since == "entry":
            enrollment = self._enrollment
            return counter.total - enrollment.counts.get(event, 0) if enrollment else 0
        begin = day_of(self._now - since)
        return sum(count for day, count in counter.days.items() if day >= begin)

    def consent(self, channel: str) -> str:
        held = self._profile.consent.get(channel)
        return str(held.state) if held else "unknown"
