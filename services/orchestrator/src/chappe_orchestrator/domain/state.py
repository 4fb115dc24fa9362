"""What we know of one contact: the profile, the journeys it walks, the keys it has used.

The documents are stored as JSON by msgspec; every list and mapping in them has a bound, so that
a hostile or busy source cannot make one contact large.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from chappe.events import Consent
from chappe.ids import ContactId, EnrollmentId, EventId, MessageId, StepId, WorkspaceId

COUNTED_NAMES_MAX = 64
COUNTED_DAYS_MAX = 60
MAILS_MAX = 20
RECENT_MAX = 20
SEEN_MAX = 64
TRAITS_MAX = 100
TRAIT_BYTES_MAX = 1_024
TAGS_MAX = 100
IDENTIFIERS_MAX = 10
ALIASES_MAX = 20
ASKED_MAX = 20
OUTSTANDING_MAX = dt.timedelta(days=7)
"""Longer than any message waits in the sender: its deadline has passed by then."""
ACTIVE_MAX = 200
WATCHED_MAX = 20


class Counter(msgspec.Struct, array_like=True):
    """How often one event happened. ``days`` counts by day since 1970, for the last 60 it saw."""

    total: int
    first: dt.datetime
    last: dt.datetime
    days: dict[int, int]


class Mail(msgspec.Struct, omit_defaults=True):
    """One message asked for, and what its reader did with it."""

    message: MessageId
    journey: str
    step: StepId
    at: dt.datetime
    accepted: dt.datetime | None = None
    opened: dt.datetime | None = None
    clicked: dt.datetime | None = None


class Heard(msgspec.Struct, array_like=True):
    """One of the last events, for people to read."""

    name: str
    at: dt.datetime
    id: EventId


class Profile(msgspec.Struct, omit_defaults=True):
    """One contact. ``identifiers`` hold the newest first; ``seen`` are hashes of event ids."""

    traits: dict[str, Any] = {}
    identifiers: dict[str, list[str]] = {}
    consent: dict[str, Consent] = {}
    tags: list[str] = []
    counters: dict[str, Counter] = {}
    mails: list[Mail] = []
    recent: list[Heard] = []
    seen: list[str] = []

    @property
    def email(self) -> str | None:
        """Where mail for this contact goes."""
        held = self.identifiers.get("email")
        return held[0] if held else None


class Asked(msgspec.Struct, omit_defaults=True):
    """A message of an enrollment. ``wave`` counts the waits before it.

    ``state``: ``asked`` until the sender says that it was ``accepted``, or that it is ``over``
    without being accepted (skipped, cancelled, failed, in doubt).
    """

    message: MessageId
    step: StepId
    wave: int
    marketing: bool
    state: Literal["asked", "accepted", "over"] = "asked"


class Enrollment(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One run of one contact through one version of a journey, for one key.

    While ``active``, ``step`` is the wait it stands at and (``due_at``, ``token``) its one timer;
    when ``held`` by a pause, ``step`` is what comes next and ``due_at`` when that was due.
    ``counts`` are the event totals at the entry.
    """

    id: EnrollmentId
    journey: str
    version: int
    key: str
    aliases: list[str]
    entered_at: dt.datetime
    entered_by: EventId
    event: dict[str, Any] = {}
    counts: dict[str, int] = {}
    test: bool = False
    status: Literal["active", "finished"] = "active"
    reason: str | None = None
    ended_at: dt.datetime | None = None
    step: StepId | None = None
    held: bool = False
    due_at: dt.datetime | None = None
    token: int = 0
    wave: int = 0
    visits: dict[StepId, int] = {}
    asked: list[Asked] = []
    goal_at: dt.datetime | None = None
    goal_until: dt.datetime | None = None

    @property
    def outstanding(self) -> bool:
        """True while the fate of some message is not known, so that it may be taken back."""
        return any(asked.state == "asked" for asked in self.asked)

    @property
    def watch_until(self) -> dt.datetime | None:
        """How long events still matter to it once it has ended."""
        goal = self.goal_until if self.goal_at is None else None
        if self.ended_at is None or not self.outstanding:
            return goal
        queued = self.ended_at + OUTSTANDING_MAX
        return queued if goal is None else max(goal, queued)


class Key(NamedTuple):
    """A key value within a journey of the contact."""

    journey: str
    value: str


class KeyMark(msgspec.Struct):
    """When a key was last entered, and when an exit closed it."""

    entered_at: dt.datetime | None = None
    closed_at: dt.datetime | None = None
    enrollment: EnrollmentId | None = None


@dataclass(slots=True)
class Contact:
    """All that ``step`` may look at for one contact.

    ``enrollments`` holds the active ones and those that may still reach their goal; ``keys`` those
    that ``keys_wanted`` named.
    """

    id: ContactId
    workspace: WorkspaceId
    profile: Profile
    enrollments: dict[EnrollmentId, Enrollment] = field(
        default_factory=dict[EnrollmentId, Enrollment]
    )
    keys: dict[Key, KeyMark] = field(default_factory=dict[Key, KeyMark])
