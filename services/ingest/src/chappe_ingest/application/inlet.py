"""The way into the log: stamp, append, answer after durable."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from chappe.broker import Broker, BrokerError, Outgoing, RecordTooLarge
from chappe.clock import Clock, monotonic
from chappe.events import (
    EVENTS,
    RAW_COMMERCE,
    RAW_ENGAGEMENT,
    Event,
    RawEngagement,
    RawRecord,
    Stream,
    contact_key,
    encode_event,
    raw_key,
)
from chappe.ids import NewId, partition_of
from chappe.shards import wrap
from chappe_ingest import metrics
from chappe_ingest.domain.source import Source

APPEND_SECONDS_MAX: Final = 3.0
"""From the last byte of the body; Shopify gives five seconds in all."""

_encode = msgspec.json.Encoder().encode

logger = structlog.get_logger(__name__)


class LogAway(Exception):
    """The log took nothing in time. The sender should try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One delivery to keep. ``entity`` is what keeps its place in the order; None: nothing does."""

    headers: dict[str, str]
    body: bytes
    entity: str | None
    verified: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inlet:
    """Appends what strangers sent. Every record gets its id here, once."""

    broker: Broker
    business: Clock
    wall: Clock
    new_id: NewId

    async def take(self, source: Source, deliveries: Sequence[Delivered]) -> list[str]:
        """Keep ``deliveries``, one append for all; returns their raw ids.

        Raises ``LogAway``, or ``RecordTooLarge`` for what the log will never take.
        """
        received_at, received_wall = self.business.now(), self.wall.now()
        ids: list[str] = []
        records: list[Outgoing] = []
        for each in deliveries:
            raw = RawRecord(
                id=self.new_id("raw_"),
                workspace=source.workspace,
                source=source.id,
                kind=source.kind,
                namespace=source.namespace,
                received_at=received_at,
                received_wall=received_wall,
                headers=each.headers,
                body=each.body,
                verified=each.verified,
                public=source.public,
            )
            ids.append(raw.id)
            records.append(self._record(raw_key(source.id, each.entity or raw.id), _encode(raw)))
        await self._append(RAW_COMMERCE, records)
        return ids

    async def engagement(self, engagement: RawEngagement) -> None:
        """Keep an open or a click. Raises ``LogAway``."""
        record = self._record(engagement.message.encode(), _encode(engagement))
        await self._append(RAW_ENGAGEMENT, [record])

    async def event(self, event: Event) -> None:
        """Publish a fact whose contact is known. Raises ``LogAway``."""
        assert event.contact is not None, "only resolved events are published"
        key = contact_key(event.workspace, event.contact)
        await self._append(EVENTS, [self._record(key, encode_event(event))])

    def _record(self, key: bytes, body: bytes) -> Outgoing:
        return Outgoing(partition_of(key, self.broker.partitions), key, wrap(body))

    async def _append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        started = monotonic()
        try:
            async with asyncio.timeout(APPEND_SECONDS_MAX):
                await self.broker.append(stream, records)
        except RecordTooLarge:
            raise
        except (BrokerError, TimeoutError) as error:
            logger.warning("The log took nothing in time", stream=stream, error=repr(error))
            raise LogAway(str(error)) from error
        metrics.APPEND_SECONDS.observe(monotonic() - started)
