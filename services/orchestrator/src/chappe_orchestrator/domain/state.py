"""What we know of one contact: the profile, the journeys it walks, the keys it has used.

The documents are stored as JSON by msgspec; every list and mapping in them has a bound, so that
a hostile or busy source cannot make one contact large.
"""

import datetime as dt
from typing import Any, Literal, NamedTuple

import msgspec

from chappe.ids import ContactId, EnrollmentId, EventId, MessageId, StepId, WorkspaceId
from chappe_orchestrator.domain.profile import (
    COUNTED_DAYS_MAX,
    COUNTED_NAMES_MAX,
    IDENTIFIERS_MAX,
    MAILS_MAX,
    RECENT_MAX,
    SEEN_MAX,
    TAGS_MAX,
    TRAIT_BYTES_MAX,
    TRAITS_MAX,
    Counter,
    Heard,
    Mail,
    Profile,
    Reserved,
    Watch,
)

__all__ = [
    "ACTIVE_MAX",
    "ALIASES_MAX",
    "ASKED_MAX",
    "COUNTED_DAYS_MAX",
    "COUNTED_NAMES_MAX",
    "IDENTIFIERS_MAX",
    "MAILS_MAX",
    "OCCURRENCES_MAX",
    "OUTSTANDING_MAX",
    "RECENT_MAX",
    "RESERVED_MAX",
    "RESPONSES_MAX",
    "SEEN_MAX",
    "TAGS_MAX",
    "TRAITS_MAX",
    "TRAIT_BYTES_MAX",
    "WATCHED_MAX",
    "WATCHES_MAX",
    "Asked",
    "Contact",
    "Counter",
    "Enrollment",
    "Heard",
    "Key",
    "KeyMark",
    "Mail",
    "Profile",
    "Reserved",
    "Watch",
]

ALIASES_MAX = 20
ASKED_MAX = 20
OUTSTANDING_MAX = dt.timedelta(days=7)
"""Longer than any message waits in the sender: its deadline has passed by then."""
ACTIVE_MAX = 200
WATCHED_MAX = 20
WATCHES_MAX = 64
OCCURRENCES_MAX = 8
RESERVED_MAX = 100
RESPONSES_MAX = 10


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
    when ``held`` by a pause, ``step`` is what comes next and ``due_at`` when that was due. A send
    that quiet hours or a cap postponed is waited at too. ``counts`` are the event totals at the
    entry, ``heard_at`` when the entry's event occurred, ``variants`` the ways taken at splits,
    ``calls`` the webhooks not yet answered, ``answers`` what came back, both by step.
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
    heard_at: dt.datetime | None = None
    source: str | None = None
    holdout: bool = False
    unverified: bool = False
    postponed: int = 0
    variants: dict[StepId, str] = {}
    calls: dict[StepId, str] = {}
    answers: dict[StepId, dict[str, Any]] = {}

    @property
    def outstanding(self) -> bool:
        """True while the fate of some message or call is not known: it may be taken back."""
        return bool(self.calls) or any(asked.state == "asked" for asked in self.asked)

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


class KeysWantedError(Exception):
    """A fact of our own leads to keys nobody looked up: read them, and take the step again."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"the key {key.value!r} of {key.journey} is wanted")
        self.key = key


class Contact(msgspec.Struct):
    """All that ``step`` may look at for one contact.

    ``enrollments`` holds the active ones and those that may still reach their goal; ``keys`` those
    that ``keys_wanted`` named. ``read_keys`` are the ones looked up; None: all there are.
    """

    id: ContactId
    workspace: WorkspaceId
    profile: Profile
    enrollments: dict[EnrollmentId, Enrollment] = {}
    keys: dict[Key, KeyMark] = {}
    read_keys: set[Key] | None = None
