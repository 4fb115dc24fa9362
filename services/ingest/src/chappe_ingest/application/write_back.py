"""Tell the shop when somebody unsubscribes through our link; never that somebody came back.

The resolver notices the fact in ``events`` and queues it in the commit of its batch; a puller
writes it to the shop while it has the shop's lease. What the shop says about it afterwards, in
its own webhook, is a fact of the shop's and is not written back: so nothing goes in circles.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import msgspec
import structlog

from chappe.clock import Clock
from chappe.events import Event, decode_event
from chappe.ids import ContactId, SourceId, WorkspaceId
from chappe_ingest import metrics
from chappe_ingest.application.pulling_ports import (
    Pulls,
    ShopApi,
    ShopBusy,
    ShopForbids,
    Told,
    WriteBack,
)
from chappe_ingest.domain.pulls import BACKOFF_MAX, backoff
from chappe_ingest.domain.source import Source
from chappe_ingest.domain.sources import API

AT_ONCE: Final = 50
"""Of one source, in one turn."""

ATTEMPTS_MAX: Final = 100
PATIENCE: Final = dt.timedelta(days=7)
"""How long a shop may be away before the unsubscribe is reported instead."""

UNSUBSCRIBED: Final = "unsubscribed"
SUBSCRIBED: Final = "subscribed"
_MARKS: Final = (b'"email.unsubscribed"', b'"contact.consent_changed"')

WHY: Final = {
    Told.NO_CUSTOMER: "the shop knows no such customer any more",
    Told.NO_FIELD: "the shop's API has no e-mail consent that could be written",
}

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """A contact left, or came back. ``shop``: the source that said so; None: we were told."""

    workspace: WorkspaceId
    contact: ContactId
    at: dt.datetime
    left: bool
    shop: SourceId | None = None


def heard(body: bytes) -> Said | None:
    """What an event says about the e-mail consent, if it is for the shops. Cheap for the rest.

    Leaving is for the shops when it was said to us: through a link, on the preferences page or
    through the API. A shop's own word settles what that shop was to be told, and is told to nobody;
    nor is a single topic that somebody does without.
    """
    if not any(mark in body for mark in _MARKS):
        return None
    try:
        event = decode_event(body)
    except msgspec.MsgspecError:
        return None
    if event.contact is None or event.flags.test or event.flags.copy:
        return None
    ours = event.source is None or event.source == API
    match event.name:
        case "email.unsubscribed" if ours and event.data.get("scope") != "topic":
            left = True
        case "contact.consent_changed":
            state = _email_state(event)
            if state == SUBSCRIBED:
                left = False
            elif state == UNSUBSCRIBED:
                left = True
            else:
                return None
        case _:
            return None
    shop = None if ours else event.source
    return Said(event.workspace, event.contact, event.occurred_at, left, shop)


def _email_state(event: Event) -> str | None:
    consent: Any = event.traits.get("consent")
    said: Any = cast("dict[str, Any]", consent).get("email") if isinstance(consent, dict) else None
    if isinstance(said, dict):
        said = cast("dict[str, Any]", said).get("state")
    return said if isinstance(said, str) else None


class Queue(Protocol):
    """The rows, written in the resolver's own transaction."""

    async def note(self, connection: Any, said: Sequence[Said]) -> None:
        """Queue who left for every shop that knows them; take back who returned since, and what
        a shop says itself.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBacks:
    """Performs what is queued for one shop."""

    pulls: Pulls
    wall: Clock

    async def perform(self, source: Source, shop: ShopApi) -> None:
        """What is due now, each on its own: one that fails holds up no other.

        Raises ``ShopBusy`` (the rest waits with it) and ``ShopRefuses``.
        """
        for back in await self.pulls.unwritten(source.id, self.wall.now(), AT_ONCE):
            try:
                told = await shop.unsubscribe(back.external_id, back.at)
            except ShopForbids as error:
                await self._later(source, back, str(error), None)
                continue
            except ShopBusy as error:
                await self._later(source, back, str(error), error.rest)
                raise
            metrics.WRITE_BACKS.labels(source.kind, told.value).inc()
            logger.info("An unsubscribe was told to its shop", source=source.id, outcome=told.value)
            await self.pulls.written(back, told, WHY.get(told), self.wall.now())

    async def _later(
        self, source: Source, back: WriteBack, reason: str, rest: dt.timedelta | None
    ) -> None:
        now = self.wall.now()
        if back.attempts + 1 >= ATTEMPTS_MAX or now + BACKOFF_MAX >= back.give_up_at:
            metrics.WRITE_BACKS.labels(source.kind, Told.GIVEN_UP.value).inc()
            await self.pulls.written(back, Told.GIVEN_UP, reason, now)
            return
        await self.pulls.postpone(back, reason, now + backoff(back.attempts + 1, rest), now)
