"""The resolver: raw deliveries in, events of known contacts out, one commit per batch."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog

from chappe.events import (
    EVENTS,
    EVENTS_BULK,
    RAW_BULK,
    RAW_COMMERCE,
    Event,
    RawRecord,
    Stream,
    encode_event,
)
from chappe.ids import SourceId
from chappe.shards import Batch, DeadLetter, FencedStatement, Input, Out, Owned, to_contact
from chappe_ingest import metrics
from chappe_ingest.application.resolving import (
    Held,
    KnownOf,
    Outcome,
    Refused,
    Touched,
    Understood,
    check,
    decide,
    touched,
    understand,
)
from chappe_ingest.domain import marks
from chappe_ingest.domain.reading import clean_text
from chappe_ingest.domain.source import Source

NAME: Final = "resolver"
REASON_MAX_CHARS: Final = 500

_decode = msgspec.json.Decoder(RawRecord).decode

logger = structlog.get_logger(__name__)


class Tables(Protocol):
    """The identity tables. A lock is held until its transaction ends."""

    @property
    def schema(self) -> str: ...

    @property
    def statement(self) -> FencedStatement: ...

    async def lock(self, connection: Any, rows: Touched) -> Held: ...

    def arguments(self, held: Held, outcome: Outcome, now: dt.datetime) -> Mapping[str, Any]: ...


class Sources(Protocol):
    """Knows which hosts a source owns, and its mapping."""

    async def known_of(self, sources: set[SourceId]) -> KnownOf: ...

    async def all(self) -> Sequence[Source]: ...


class Resolver:
    """A ``Processor`` over ``raw.commerce`` and, behind it, ``raw.bulk``."""

    name = NAME
    inputs: Sequence[Stream] = (RAW_COMMERCE, RAW_BULK)
    timer_stream: Stream | None = None

    def __init__(self, tables: Tables, sources: Sources, partitions: int) -> None:
        self._tables = tables
        self._sources = sources
        self._partitions = partitions
        self.schema = tables.schema

    async def claimed(self, shards: Sequence[Owned]) -> None:
        """Nothing is held in memory."""

    async def releasing(self, shards: Sequence[int]) -> None:
        """Nothing outlives a batch here."""

    async def released(self, shards: Sequence[int]) -> None:
        """Nothing is held in memory."""

    def next_due(self) -> dt.datetime | None:
        return None

    def due_shards(self, now: dt.datetime) -> Sequence[int]:  # noqa: ARG002 - no timers here
        return ()

    async def apply(self, batch: Batch) -> None:
        """Understand, lock, decide, commit."""
        dead: list[DeadLetter] = []
        understood: list[tuple[Input, Understood]] = []
        for given, found in await self._read(batch):
            if isinstance(found, Refused):
                dead.append(_letter(given, found, batch.now))
            else:
                understood.append((given, found))
        outcome = Outcome()
        outbox: list[Out] = []
        async with batch.transaction() as transaction:
            rows = touched(each for _, each in understood)
            held = await self._tables.lock(transaction.connection, rows)
            for given, each in understood:
                found = decide(each, held, outcome)
                if isinstance(found, Refused):
                    dead.append(_letter(given, found, batch.now))
                else:
                    outbox += [self._out(given, event) for event in found]
            await batch.commit(
                self._tables.statement,
                self._tables.arguments(held, outcome, batch.now),
                outbox=outbox,
                dead=dead,
                transaction=transaction,
            )
        _count(understood, outcome, dead)

    async def poison(self, batch: Batch, error: Exception) -> None:
        """The one delivery that the database refuses: set aside, with what it said."""
        refused = Refused(None, "database", f"the database refuses it: {type(error).__name__}")
        dead = [_letter(given, refused, batch.now) for given in batch.inputs]
        nothing = self._tables.arguments(Held(), Outcome(), batch.now)
        await batch.commit(self._tables.statement, nothing, dead=dead)

    async def _read(self, batch: Batch) -> list[tuple[Input, Understood | Refused]]:
        records = await self._checked([(given, _record(given.body)) for given in batch.inputs])
        sources = {raw.source for _, raw in records if isinstance(raw, RawRecord)}
        known_of = await self._sources.known_of(sources)
        return [
            (given, _understood(raw, known_of) if isinstance(raw, RawRecord) else raw)
            for given, raw in records
        ]

    async def _checked(
        self, records: list[tuple[Input, RawRecord | Refused]]
    ) -> list[tuple[Input, RawRecord | Refused]]:
        """Verify what the door could not, while the database was away."""
        if not any(isinstance(r, RawRecord) and marks.CHECK in r.headers for _, r in records):
            return records
        sources = {source.id: source for source in await self._sources.all()}
        return [
            (given, check(raw, sources.get(raw.source)) if isinstance(raw, RawRecord) else raw)
            for given, raw in records
        ]

    def _out(self, given: Input, event: Event) -> Out:
        assert event.contact is not None, "a resolved event has a contact"
        metrics.FACTS.labels(event.name.partition(".")[0]).inc()
        stream = EVENTS_BULK if given.stream == RAW_BULK else EVENTS
        return to_contact(
            given.shard,
            stream,
            event.workspace,
            event.contact,
            encode_event(event),
            self._partitions,
        )


def _record(body: bytes) -> RawRecord | Refused:
    try:
        return _decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        return Refused(None, "unreadable", f"no raw record: {error}")


def _understood(raw: RawRecord, known_of: KnownOf) -> Understood | Refused:
    if marks.PAUSED in raw.headers:
        return Refused(raw, "paused", "the source is paused")
    try:
        return understand(raw, known_of)
    except Exception as error:
        # A hole in an adapter costs one delivery, which is kept, and not the shard.
        logger.exception("An adapter failed", source=raw.source, kind=raw.kind, raw=raw.id)
        return Refused(raw, "adapter", f"the adapter failed: {type(error).__name__}")


def _letter(given: Input, refused: Refused, at: dt.datetime) -> DeadLetter:
    source = refused.raw.source if refused.raw is not None else None
    metrics.REFUSED.labels(refused.kind).inc()
    return DeadLetter(given, clean_text(refused.reason)[:REASON_MAX_CHARS], at, source)


def _count(
    understood: Sequence[tuple[Input, Understood]], outcome: Outcome, dead: Sequence[DeadLetter]
) -> None:
    for _, each in understood:
        if each.meant.warnings:
            metrics.WARNINGS.labels(each.raw.kind).inc(len(each.meant.warnings))
    for source, effect in outcome.wishes:
        metrics.ALARMS.labels(effect.name).inc()
        logger.error("A sender asks for an operator", source=source, reason=effect.reason)
    for _, conflict in outcome.conflicts:
        metrics.CONFLICTS.labels(conflict.reason).inc()
    metrics.REPEATS.inc(outcome.repeats)
    if dead:
        logger.warning("Deliveries set aside", dead_letters=len(dead))
