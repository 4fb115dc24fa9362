"""The way into the log: stamp, append, answer after durable."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from chappe.broker import Broker, BrokerError, Outgoing, RecordTooLarge
from chappe.clock import Clock, monotonic
from chappe.deadlines import Deadlines
from chappe.events import (
    EVENTS,
    RAW_BULK,
    RAW_COMMERCE,
    RAW_DELIVERY,
    RAW_ENGAGEMENT,
    Event,
    RawDelivery,
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
from chappe_ingest.application.spool import Spool, SpoolFull
from chappe_ingest.domain.source import Source

APPEND_SECONDS_MAX: Final = 3.0
"""From the last byte of the body; Shopify gives five seconds in all."""

SPOOL_AFTER_SECONDS: Final = 0.9
"""So long the log may take; then the record goes to the spool. A limit is kept to a tenth: 1 s."""

_encode = msgspec.json.Encoder().encode

logger = structlog.get_logger(__name__)


class LogAway(Exception):
    """Neither the log nor the spool took it in time. The sender should try again."""


class Delivered(msgspec.Struct, kw_only=True):
    """One delivery to keep. ``entity`` is what keeps its place in the order; None: nothing does.

    ``id`` and the times are set where it was received before: in the quarantine.
    """

    headers: dict[str, str]
    body: bytes
    entity: str | None
    verified: bool | None
    id: str | None = None
    received_at: dt.datetime | None = None
    received_wall: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inlet:
    """Appends what strangers sent. Every record gets its id here, once.

    Where there is a ``spool``, it takes over within a second while the log is away.
    """

    broker: Broker
    business: Clock
    wall: Clock
    new_id: NewId
    spool: Spool | None = None
    patience: Deadlines = field(default_factory=lambda: Deadlines(APPEND_SECONDS_MAX))
    log_patience: Deadlines = field(default_factory=lambda: Deadlines(SPOOL_AFTER_SECONDS))

    async def take(
        self, source: Source, deliveries: Sequence[Delivered], stream: Stream = RAW_COMMERCE
    ) -> list[str]:
        """Keep ``deliveries``, one append for all; returns their raw ids.

        Raises ``LogAway``; without a spool also ``RecordTooLarge`` for what the log never takes.
        """
        received_at, received_wall = self.business.now(), self.wall.now()
        ids: list[str] = []
        records: list[Outgoing] = []
        for each in deliveries:
            raw = RawRecord(
                id=each.id or self.new_id("raw_"),
                workspace=source.workspace,
                source=source.id,
                kind=source.kind,
                namespace=source.namespace,
                received_at=each.received_at or received_at,
                received_wall=each.received_wall or received_wall,
                headers=each.headers,
                body=each.body,
                verified=each.verified,
                public=source.public,
            )
            ids.append(raw.id)
            records.append(self._record(raw_key(source.id, each.entity or raw.id), _encode(raw)))
        await self._append(stream, records)
        return ids

    async def engagement(self, engagement: RawEngagement) -> None:
        """Keep an open or a click. Raises ``LogAway``."""
        record = self._record(engagement.message.encode(), _encode(engagement))
        await self._append(RAW_ENGAGEMENT, [record])

    async def delivery(self, delivery: RawDelivery, key: str) -> None:
        """Keep what a provider or a mail server told. Raises ``LogAway``."""
        await self._append(RAW_DELIVERY, [self._record(key.encode(), _encode(delivery))])

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
            if self.spool is not None and stream != RAW_BULK:  # imports can wait for the log
                await self._append_or_spool(self.spool, stream, records)
            else:
                with self.patience.limit():
                    await self.broker.append(stream, records)
        except RecordTooLarge:
            raise
        except (BrokerError, TimeoutError, SpoolFull) as error:
            logger.warning("Nothing was kept in time", stream=stream, error=repr(error))
            raise LogAway(str(error)) from error
        metrics.APPEND_SECONDS.observe(monotonic() - started)

    async def _append_or_spool(
        self, spool: Spool, stream: Stream, records: Sequence[Outgoing]
    ) -> None:
        if spool.depth:
            behind = [each for each in records if spool.holds(stream, each.partition)]
            if behind:
                await self._spool(spool, stream, behind)
                held = {each.partition for each in behind}
                records = [each for each in records if each.partition not in held]
            if not records:
                return
        try:
            with self.log_patience.limit():
                await self.broker.append(stream, records)
        except RecordTooLarge as error:
            if len(records) == 1:
                await spool.set_aside(stream, records[0], str(error))
                return
            for each in records:
                await self._append_or_spool(spool, stream, [each])
        except (BrokerError, TimeoutError):
            await self._spool(spool, stream, records)

    async def _spool(self, spool: Spool, stream: Stream, records: Sequence[Outgoing]) -> None:
        with self.patience.limit():
            await spool.put(stream, records)
