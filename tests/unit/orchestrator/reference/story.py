"""The words in which the reference tells what happened."""

import datetime as dt
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from chappe.journey.definition import Journey
from chappe.journey.steps import SendStep, WaitStep


@dataclass(frozen=True)
class Happening:
    """An event as the reference hears it. ``mail`` is the number of the message it is about,
    ``call`` that of the webhook.
    """

    id: str
    name: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    traits: dict[str, Any] = field(default_factory=dict[str, Any])
    mail: int | None = None
    call: int | None = None
    historical: bool = False


@dataclass
class Stop:
    """Where an enrollment stands: until when, at which step."""

    step: WaitStep | SendStep
    due: dt.datetime


Walk = Generator[Stop, "str | int", None]
"""Told, when it goes on: ``time``, ``date`` (it has passed) or the number of the open way."""


@dataclass(eq=False)
class Run:
    """One run through one journey. ``calls`` are the webhooks not yet answered, by step."""

    journey: Journey
    key: str
    event: dict[str, Any]
    counts: Counter[str]
    due: dt.datetime
    walk: Walk | None = None
    stop: Stop | None = None
    held: "str | int | None" = None
    inserting: bool = False
    active: bool = True
    visits: Counter[str] = field(default_factory=Counter[str])
    asked: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    calls: dict[str, int] = field(default_factory=dict[str, int])
    answers: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


@dataclass(frozen=True)
class Mail:
    journey: str
    key: str
    step: str
    visit: int
    at: dt.datetime
    topic: str


@dataclass(frozen=True)
class Refusal:
    """A message that was not asked for, or not yet: ``what`` is skipped, trapped or postponed."""

    what: str
    journey: str
    key: str
    step: str
    reason: str
    at: dt.datetime


@dataclass(frozen=True)
class Call:
    journey: str
    key: str
    step: str
    at: dt.datetime
