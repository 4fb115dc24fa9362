"""What pulling needs: a shop that can be asked, and rows that remember how far it was asked."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from chappe.ids import ContactId, SourceId, WorkspaceId
from chappe_ingest.domain.pulls import Found, Mark, Window
from chappe_ingest.domain.source import Source


class ShopError(Exception):
    """Why a shop gave no answer that can be used; the message is a sentence without secrets.

    ShopError
    ├── ShopBusy     it cannot now, or asks for patience: ask again after ``rest``
    ├── ShopForbids  not this kind of document: the token lacks a permission
    ├── CursorGone   the place in the list is no longer known: begin at the last time that is
    └── ShopRefuses  not at all: a wrong token, a wrong host, no shop there
    """


class ShopBusy(ShopError):
    def __init__(self, message: str, rest: dt.timedelta | None = None) -> None:
        super().__init__(message)
        self.rest = rest


class ShopForbids(ShopError):
    pass


class CursorGone(ShopError):
    pass


class ShopRefuses(ShopError):
    pass


class Told(StrEnum):
    """What became of an unsubscribe that was to be written to a shop."""

    WRITTEN = "written"
    KNOWN = "known"
    """The shop says so already."""
    OVERTAKEN = "overtaken"
    """The customer subscribed in the shop later than they unsubscribed here."""
    NO_CUSTOMER = "no_customer"
    NO_FIELD = "no_field"
    """The shop's API has no consent that could be written."""
    GIVEN_UP = "given_up"


class ShopApi(Protocol):
    """One shop. Every method raises ``ShopError``; none follows the shop to another host."""

    @property
    def host(self) -> str: ...

    @property
    def polled(self) -> Sequence[str]:
        """The kinds of documents that reconciliation asks for, in order."""
        ...

    @property
    def backfilled(self) -> Sequence[str]: ...

    async def page(self, subject: str, window: Window, cursor: str | None) -> Found:
        """Documents changed within ``window``; those of other times may be among them."""
        ...

    async def count(self, subject: str, window: Window) -> int | None:
        """About how many there are; None: the shop does not say."""
        ...

    async def leaves_out(self, since: dt.datetime, now: dt.datetime) -> str | None:
        """What this token cannot see from ``since`` on, and what to do about it, in words."""
        ...

    async def unsubscribe(self, external_id: str, at: dt.datetime) -> Told:
        """Lower the e-mail consent of a customer, never raise it."""
        ...


class Shops(Protocol):
    async def open(self, source: Source) -> ShopApi:
        """The shop behind a source. Raises ``ShopRefuses`` when nothing says where or how."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """A source whose lease is ours. ``poll_at`` None: reconcile at once."""

    source: Source
    failures: int
    poll_at: dt.datetime | None


class BackfillState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        return self not in (BackfillState.WAITING, BackfillState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """A job. ``since``, ``until`` and ``at`` are the shop's times; ``at``: how far it is."""

    id: str
    workspace: WorkspaceId
    source: SourceId
    since: dt.datetime
    until: dt.datetime
    state: BackfillState = BackfillState.WAITING
    subject: str | None = None
    at: dt.datetime | None = None
    cursor: str | None = None
    done: int = 0
    total: int | None = None
    failures: int = 0
    note: str | None = None
    created_at: dt.datetime
    finished_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class WriteBack:
    """One unsubscribe that the shop is to learn. ``give_up_at``: wall clock."""

    source: SourceId
    contact: ContactId
    external_id: str
    at: dt.datetime
    attempts: int
    give_up_at: dt.datetime


class LeaseLost(Exception):
    """Another process has taken the source over: leave it alone at once."""


class Pulls(Protocol):
    """The rows. ``now`` is the wall clock in all of these."""

    async def claim(self, me: str, now: dt.datetime, until: dt.datetime) -> Turn | None:
        """The source that has waited longest for its turn, if one is free."""
        ...

    async def keep(self, turn: Turn, me: str, until: dt.datetime) -> None:
        """Hold the lease on. Raises ``LeaseLost``."""
        ...

    async def release(
        self,
        turn: Turn,
        me: str,
        *,
        now: dt.datetime,
        not_before: dt.datetime,
        poll_at: dt.datetime | None,
        problem: str | None,
        pulled: int,
        failed: bool,
    ) -> None:
        """Give it back until something of it is due, and not ``not_before``.

        ``poll_at`` None: reconciliation did not come to its end. ``problem``: what to tell people.
        """
        ...

    async def leave(self, me: str) -> None:
        """Give back whatever workers of this process still hold."""
        ...

    async def marks(self, source: SourceId) -> dict[str, Mark]: ...

    async def mark(self, source: SourceId, subject: str, mark: Mark) -> None: ...

    async def backfill(self, source: SourceId) -> Backfill | None:
        """The job that is not over."""
        ...

    async def progress(self, job: Backfill) -> bool:
        """Write how far ``job`` is; False: it was cancelled meanwhile."""
        ...

    async def unwritten(
        self, source: SourceId, now: dt.datetime, limit: int
    ) -> Sequence[WriteBack]:
        """Unsubscribes whose time has come."""
        ...

    async def written(
        self, back: WriteBack, told: Told, reason: str | None, now: dt.datetime
    ) -> None: ...

    async def postpone(
        self, back: WriteBack, reason: str, next_at: dt.datetime, now: dt.datetime
    ) -> None: ...


class Health(Protocol):
    """``polled_at``: when the shop that was reconciled longest ago was; None: there is none."""

    @property
    def divergent(self) -> int: ...
    @property
    def polled_at(self) -> dt.datetime | None: ...


class Reports(Protocol):
    async def health(self) -> Health: ...
