"""Who comes in: by an event, a tag, another journey, a date of the contact, or its silence."""

import datetime as dt
from collections import Counter
from typing import Any

from chappe.journey.definition import Journey, lists_in
from chappe.journey.rules import Cooldown
from chappe.journey.steps import Step, WaitStep
from chappe.journey.triggers import OnEvent, OnJourney, OnRequest, OnTag
from chappe.journey.waits import WaitUntilDate
from tests.unit.orchestrator.reference.story import Happening, Run
from tests.unit.orchestrator.reference.walking import Walking


class Entering(Walking):
    def enter(self, event: Happening) -> None:
        for journey in self.journeys:
            if event.historical or self.paused or not triggers(journey, event):
                continue
            key = key_of(event.data) if journey.entry.key else self.contact
            if key is not None:
                self.admit(journey, key, event.data)

    def admit(
        self,
        journey: Journey,
        key: str,
        data: dict[str, Any],
        due: dt.datetime | None = None,
        *,
        inserting: bool = False,
    ) -> None:
        if not self._may_enter(journey, key, data):
            return
        if journey.entry.newest_only:
            for run in self.active(journey):
                self.leave(run)
        run = Run(journey, key, data, Counter(self.counts), due or self.now, inserting=inserting)
        self.runs.append(run)
        self.entered[journey.journey, key] = self.now
        self.entered.setdefault((journey.journey, ""), self.now)
        self.tell(run, "started")
        run.walk = self.walk(run)
        self.step(run, None)

    def _may_enter(self, journey: Journey, key: str, data: dict[str, Any]) -> bool:
        name, entry = journey.journey, journey.entry
        probe = Run(journey, key, data, Counter(self.counts), self.now)
        if entry.filter is not None and not self.holds(entry.filter, probe):
            return False
        lasting = entry.again in ("once_per_key", "never")
        closed = self.closed.get((name, key))
        if closed is not None and (lasting or closed + entry.closed_for > self.now):
            return False
        entered = self.entered.get((name, key))
        if entered is not None and entry.again == "once_per_key":
            for run in self.active(journey):
                if run.key == key:
                    self._met_again(run, data)
            return False
        again = entry.again
        if entered and isinstance(again, Cooldown) and entered + again.cooldown > self.now:
            return False
        if entry.again == "never" and (name, "") in self.entered:
            return False
        inside = len(self.active(journey))
        return entry.newest_only or entry.at_most is None or inside < entry.at_most

    def _met_again(self, run: Run, data: dict[str, Any]) -> None:
        """A newer word about a date of the event moves whoever waits for it."""
        if any(name in data for name in dates_of(run.journey.steps)):
            run.event = data
            self.move(run)
        if run.active:
            self.restart(run)

    def move(self, run: Run) -> None:
        """The date that somebody waits for may be another one now."""
        stop = run.stop
        if run.held is not None or stop is None or not isinstance(stop.step, WaitStep):
            return
        wait = stop.step.wait
        if not isinstance(wait, WaitUntilDate):
            return
        at = self.date(run, wait)
        if at is None:
            self.leave(run)
        elif at <= self.now:
            run.due, run.inserting = at, True
            self.go_on(run, "date")
        else:
            stop.due = at

    def go_on(self, run: Run, told: str | int) -> None:
        if self.paused:
            run.held = told
        else:
            self.step(run, told)


def key_of(data: dict[str, Any]) -> str | None:
    value = data.get("k")
    return value if isinstance(value, str) and value else None


def triggers(journey: Journey, event: Happening) -> bool:
    """Whether one of the journey's triggers hears of it."""
    data, name = event.data, event.name
    for one in journey.trigger:
        match one:
            case OnEvent(event=names) if name in names:
                return True
            case OnTag(tag=tag) if name == "contact.tags_changed":
                return tag.added in data["added"] or tag.removed in data["removed"]
            case OnRequest(request=whose) if name == "journey.requested":
                return data["journey"] == journey.journey and data["by"] in whose
            case OnJourney(journey=change) if name in ("journey.started", "journey.finished"):
                return data["journey"] == getattr(change, name.removeprefix("journey."))
            case _:
                continue
    return False


def dates_of(steps: tuple[Step, ...]) -> set[str]:
    """The fields of the event that some wait asks for."""
    found: set[str] = set()
    for step in steps:
        if isinstance(step, WaitStep) and isinstance(step.wait, WaitUntilDate):
            root, name = step.wait.until.split(".")
            found |= {name} if root == "event" else set()
        for _, _, inner in lists_in(step):
            found |= dates_of(inner)
    return found
