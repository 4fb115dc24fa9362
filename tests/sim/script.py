"""What is to happen in a world: what its people do, and what its operators do to it."""

import random
from dataclasses import dataclass, field
from typing import Any

from chappe.events import Event, Identifier
from chappe.ids import ContactId, EventId
from tests.sim.faults import START
from tests.sim.journeys import DEFAULT, WAITS

PEOPLE = tuple(f"c{n}" for n in range(5))
MISHAPS_UNTIL = 60.0
DATED = "2026-11-22T09:{:02d}:{:09.6f}+00:00"


@dataclass
class Said:
    """One fact of the world outside, and when it goes to the log."""

    at: float
    event: Event


@dataclass
class Script:
    """``pauses``, ``published`` and ``upgraded`` are when; None for what does not come about.

    ``poisoned`` is whom an event sets aside until the world is ``cured``.
    """

    said: list[Said] = field(default_factory=list[Said])
    stopped: set[str] = field(default_factory=set[str])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    days: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    pauses: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    watching_from: float = 0.0
    published: float | None = None
    upgraded: float | None = None
    poisoned: str | None = None
    cured: float = 0.0
    merged: tuple[str, str] | None = None
    erased: str | None = None


class _Author:
    def __init__(self, lot: random.Random) -> None:
        self.lot = lot
        self.script = Script()
        self._number = 0

    def say(
        self,
        at: float,
        contact: str,
        name: str,
        data: dict[str, Any],
        traits: dict[str, Any] | None = None,
    ) -> None:
        self._number += 1
        event = Event(
            id=EventId(f"e{self._number}"),
            name=name,
            workspace=DEFAULT,
            occurred_at=START,
            received_at=START,
            contact=ContactId(contact),
            identifiers=(Identifier("email", f"{contact}@example.com"),),
            traits=traits or {},
            data=data,
        )
        self.script.said.append(Said(at, event))

    def carts(self, contact: str) -> None:
        lot, script = self.lot, self.script
        for which in range(lot.randrange(1, 3)):
            key, at = f"{contact}-{which}", lot.uniform(0, 30)
            script.keys[key] = contact
            self.say(at, contact, "custom.a", {"k": key})
            if lot.random() < 0.5:  # again, close to the end of its wait, which begins anew
                self.say(at + WAITS["a"] + lot.uniform(-0.5, 0.3), contact, "custom.a", {"k": key})
            if lot.random() < 0.5:
                script.stopped.add(key)
                late = lot.choice((-5, -0.3, 0.0, WAITS["a"] - 0.2, WAITS["a"], 40))
                self.say(max(0, at + late), contact, "custom.stop", {"k": key})

    def notes(self, contact: str) -> None:
        if self.lot.random() < 0.5:
            for _ in range(self.lot.randrange(1, 4)):
                self.say(self.lot.uniform(0, 40), contact, "custom.note", {})

    def day(self, contact: str) -> None:
        """A date told, and perhaps moved close to the instant itself."""
        if self.lot.random() < 0.5:
            return
        at = self.lot.uniform(0, 20)
        for _ in range(self.lot.choice((1, 1, 2))):
            due = at + self.lot.choice((0.0, 5.0, 20.0))
            day = DATED.format(int(due // 60), due % 60)
            self.script.days.append((contact, day))
            self.say(at, contact, "contact.updated", {}, {"day": day})
            at = due + self.lot.choice((-0.3, 0.2, 4.0))
            at = max(at, 0.0)

    def poison(self) -> None:
        lot, script = self.lot, self.script
        script.poisoned = lot.choice(PEOPLE)
        script.cured = lot.uniform(20, 75)
        at = lot.uniform(0, 30)
        match lot.randrange(3):
            case 0:  # the core stumbles
                self.say(at, script.poisoned, "custom.bad", {})
            case 1:  # the database refuses what the event makes of the contact
                self.say(at, script.poisoned, "contact.updated", {}, {"refused": True})
            case _:  # or what a timer makes of it
                self.say(at, script.poisoned, "custom.odd", {})
        for _ in range(6):  # that it must hear of in order, whenever it is released
            self.say(lot.uniform(at, MISHAPS_UNTIL), script.poisoned, "custom.note", {})

    def part(self) -> None:
        """People become one, or are forgotten."""
        lot, script = self.lot, self.script
        if lot.random() < 0.4:
            old, new = script.merged = tuple(lot.sample(PEOPLE, 2))  # type: ignore[assignment]
            at = lot.uniform(5, 40)
            if script.pauses and lot.random() < 0.6:
                at = script.pauses[-1][1] - lot.choice((0.01, 0.3))  # held, and not for long
            for contact in (old, new):
                self.say(at, contact, "contact.merged", {"from": old, "into": new})
        if lot.random() < 0.2:
            script.erased = lot.choice(PEOPLE)
            self.say(lot.uniform(5, 40), script.erased, "privacy.erase_requested", {})

    def operate(self) -> None:
        lot, script = self.lot, self.script
        if lot.random() < 0.4:
            at = lot.uniform(1, 45)
            for _ in range(lot.choice((1, 1, 2))):
                until = at + lot.choice((0.3, 3.0, 12.0))
                script.pauses.append((at, until))
                at = until + lot.choice((0.1, 2.0))
        if lot.random() < 0.3:
            script.watching_from = lot.uniform(3, 30)
        if lot.random() < 0.4:
            script.published = lot.uniform(2, 30)
            if lot.random() < 0.8:
                script.upgraded = script.published + lot.choice((0.1, 3.0, 10.0))


def write(lot: random.Random) -> Script:
    """Draw a world's history, as far as it is planned."""
    author = _Author(lot)
    for contact in PEOPLE:
        author.carts(contact)
        author.notes(contact)
        author.day(contact)
    if lot.random() < 0.35:
        author.poison()
    author.operate()
    author.part()
    author.script.said.sort(key=lambda one: one.at)
    number = 0
    for one in author.script.said:
        if one.event.name == "custom.note":
            number += 1
            one.event.data["n"] = number
    return author.script
