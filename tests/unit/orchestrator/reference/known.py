"""What is known of the contact, and which conditions it meets."""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from chappe.journey.cadence import Cap, JourneySettings, QuietHours
from chappe.journey.conditions import Condition, Did, Not, PathsAre
from chappe.journey.definition import Journey
from tests.unit.orchestrator.reference.calendar import quiet_until
from tests.unit.orchestrator.reference.story import Call, Mail, Refusal, Run

MAILS = 20


class Known:
    """One contact, before anything happens to it."""

    def __init__(
        self, journeys: list[Journey], settings: JourneySettings, contact: str, now: dt.datetime
    ) -> None:
        self.journeys = journeys
        self.settings = settings
        self.contact = contact
        self.now = now
        self.paused = False
        self.traits: dict[str, Any] = {}
        self.tags: list[str] = []
        self.counts: Counter[str] = Counter()
        self.last: dict[str, dt.datetime] = {}
        self.heard: set[str] = set()
        self.clicked: set[int] = set()
        self.runs: list[Run] = []
        self.entered: dict[tuple[str, str], dt.datetime] = {}
        self.closed: dict[tuple[str, str], dt.datetime] = {}
        self.mails: list[Mail] = []
        self.unsent: set[int] = set()
        self.refusals: list[Refusal] = []
        self.calls: list[Call] = []
        self.dropped: list[int] = []
        self.cancelled: list[int] = []
        self.news: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.traits.get("timezone", self.settings.zone))

    def lot(self, *parts: str) -> float:
        """A number from 0 up to 1, always the same for the same words."""
        text = "\x1f".join(("default", *parts))
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    def held_out(self, journey: Journey) -> bool:
        general, own = self.settings.holdout or 0, journey.entry.holdout or 0
        return (
            self.lot("holdout", self.contact) * 100 < general
            or self.lot("holdout", journey.journey, self.contact) * 100 < own
        )

    # -- cadence ----------------------------------------------------------------------------------

    def quiet_until(self, journey: Journey) -> dt.datetime | None:
        own = journey.cadence.quiet_hours
        hours = self.settings.quiet_hours if own is None else own
        if not isinstance(hours, QuietHours):
            return None
        return quiet_until(self.now, hours.from_, hours.to, hours.days or (), self.zone)

    def capped_until(self, journey: Journey, topic: str) -> dt.datetime | None:
        """The first moment at which one more message would break no cap; None: now."""
        own = journey.cadence.caps
        caps = self.settings.caps if own is None else own
        wanted = [c for c in caps if c.topic in (None, topic)] if isinstance(caps, tuple) else []
        if not any(self._full(cap, self.now) for cap in wanted):
            return None
        freed = sorted(mail.at + cap.within for mail in self.mails for cap in wanted)
        later = (at for at in freed if at > self.now)
        return next(at for at in later if not any(self._full(cap, at) for cap in wanted))

    def _full(self, cap: Cap, at: dt.datetime) -> bool:
        counted = [
            mail
            for number, mail in enumerate(self.mails)
            if number not in self.unsent
            and mail.at > at - cap.within
            and cap.topic in (None, mail.topic)
        ]
        return len(counted) >= cap.most

    # -- conditions -------------------------------------------------------------------------------

    def holds(self, condition: Condition, run: Run) -> bool:
        match condition:
            case Not(not_=part):
                return not self.holds(part, run)
            case Did(did=name, times=times):
                count = self.counts[name] - run.counts[name]
                return count >= (times.at_least or 0)
            case PathsAre(root=paths):
                return all(self.value(path, run) == one.is_ for path, one in paths.items())
            case _:
                raise AssertionError(condition)

    def value(self, path: str, run: Run) -> Any:
        if path.startswith("entry.webhook."):
            step, name = path.removeprefix("entry.webhook.").split(".")
            return run.answers.get(step, {}).get(name)
        root, name = path.split(".")
        return (self.traits if root == "contact" else run.event).get(name)

    def active(self, journey: Journey | None = None) -> list[Run]:
        return [
            run for run in self.runs if run.active and (journey is None or run.journey is journey)
        ]

    def set_tags(self, tags: Iterable[str]) -> None:
        before, self.tags = self.tags, list(tags)
        added = [tag for tag in self.tags if tag not in before]
        removed = [tag for tag in before if tag not in self.tags]
        if added or removed:
            self.news.append(("contact.tags_changed", {"added": added, "removed": removed}, {}))
