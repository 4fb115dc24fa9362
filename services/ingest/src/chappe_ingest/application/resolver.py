"""The resolver: raw deliveries in, events of known contacts out, one commit per batch."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
from chappe_ingest.application import write_back
from chappe_ingest.application.hydration import asking
from chappe_ingest.application.resolving import (
    Held,
    KnownOf,
    Outcome,
    Refused,
    Touched,
    Understood,
    ask,
    check_all,
    decide,
    touched,
    understand,
)
from chappe_ingest.application.tally import Tally
from chappe_ingest.domain import marks
from chappe_ingest.domain.reading import clean_text
from chappe_ingest.domain.source import Source

NAME: Final = "resolver"
REASON_MAX_CHARS: Final = 500
_NEVER_LATE: Final = frozenset({"contact.merged", "privacy.erase_requested"})
"""A merge told late would let both go on by themselves; an erasure is no bulk."""

_decode = msgspec.json.Decoder(RawRecord).decode

logger = structlog.get_logger(__name__)


class Tables(Protocol):
    """The identity tables. A lock is held until its transaction ends."""

    @property
    def schema(self) -> str: ...

    @property
    def statement(self) -> FencedStatement: ...

    async def lock(self, connection: Any, rows: Touched) -> Held: ...

    async def merge_and_erase(
        self, connection: Any, outcome: Outcome, now: dt.datetime
    ) -> None: ...

    def arguments(self, held: Held, outcome: Outcome, now: dt.datetime) -> Mapping[str, Any]: ...


class Sources(Protocol):
    """Knows which hosts a source owns, and its mapping."""

    async def known_of(self, sources: set[SourceId]) -> KnownOf: ...

    async def all(self) -> Sequence[Source]: ...


class Resolver:
    """A ``Processor`` over ``raw.commerce`` and, behind it, ``raw.bulk``.

    Of ``events``, most of them its own, it reads only who unsubscribed: their shops are told.
    """

    name = NAME
    inputs: Sequence[Stream] = (RAW_COMMERCE, EVENTS, RAW_BULK)
    timer_stream: Stream | None = None

    def __init__(
        self,
        tables: Tables,
        sources: Sources,
        partitions: int,
        asked: Callable[[], None] = lambda: None,
        write_backs: write_back.Queue | None = None,
        tally: Tally | None = None,
    ) -> None:
        """``asked`` is called when deliveries wait for their shop's API."""
        self._tally = tally
        self._asked = asked
        self._write_backs = write_backs
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
        repeats: Counter[SourceId] = Counter()
        said = _said(batch)
        async with batch.transaction() as transaction:
            if said and self._write_backs is not None:
                await self._write_backs.note(transaction.connection, said)
            rows = touched(each for _, each in understood)
            held = await self._tables.lock(transaction.connection, rows)
            for given, each in understood:
                if each.asks:
                    question = ask(each, held, outcome)
                    if question is not None:
                        outcome.asked.append(asking(each.raw, given.key, given.stream, question))
                    continue
                known_before = outcome.repeats
                found = decide(each, held, outcome)
                repeats[each.raw.source] += outcome.repeats - known_before
                if isinstance(found, Refused):
                    dead.append(_letter(given, found, batch.now))
                else:
                    outbox += [self._out(given, event) for event in found]
            await self._tables.merge_and_erase(transaction.connection, outcome, batch.now)
            await batch.commit(
                self._tables.statement,
                self._tables.arguments(held, outcome, batch.now),
                outbox=outbox,
                dead=_one_each(dead),
                transaction=transaction,
            )
        _count(understood, outcome, dead)
        self._observe(understood, repeats, dead, batch.now)
        if outcome.asked:
            self._asked()

    async def poison(self, batch: Batch, error: Exception) -> None:
        """The one delivery that the database refuses: set aside, with what it said."""
        refused = Refused(None, "database", f"the database refuses it: {type(error).__name__}")
        dead = [_letter(given, refused, batch.now) for given in batch.inputs]
        nothing = self._tables.arguments(Held(), Outcome(), batch.now)
        await batch.commit(self._tables.statement, nothing, dead=dead)

    def _observe(
        self,
        understood: Sequence[tuple[Input, Understood]],
        repeats: Counter[SourceId],
        dead: Sequence[DeadLetter],
        now: dt.datetime,
    ) -> None:
        """Of each source: how late its last event left, what was known, what was set aside."""
        for source, at in {each.raw.source: each.raw.received_at for _, each in understood}.items():
            lag = max(0.0, (now - at).total_seconds())
            metrics.SOURCE_LAG.labels(metrics.source_label(source)).set(lag)
        if self._tally is None:
            return
        for source, count in repeats.items():
            if count:
                self._tally.repeated(source, count)
        for letter in dead:
            if letter.source is not None:
                self._tally.died(SourceId(letter.source), now, letter.reason)

    async def _read(self, batch: Batch) -> list[tuple[Input, Understood | Refused]]:
        records = await self._checked(
            [(given, _record(given.body)) for given in batch.inputs if given.stream != EVENTS]
        )
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
            (given, each)
            for given, raw in records
            for each in (
                check_all(raw, sources.get(raw.source)) if isinstance(raw, RawRecord) else [raw]
            )
        ]

    def _out(self, given: Input, event: Event) -> Out:
        assert event.contact is not None, "a resolved event has a contact"
        metrics.FACTS.labels(event.name.partition(".")[0]).inc()
        bulk = given.stream == RAW_BULK and event.name not in _NEVER_LATE
        stream = EVENTS_BULK if bulk else EVENTS
        return to_contact(
            given.shard,
            stream,
            event.workspace,
            event.contact,
            encode_event(event),
            self._partitions,
        )


def _said(batch: Batch) -> list[write_back.Said]:
    heard = (write_back.heard(each.body) for each in batch.inputs if each.stream == EVENTS)
    return [each for each in heard if each is not None]


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


def _one_each(dead: Sequence[DeadLetter]) -> list[DeadLetter]:
    """A delivery of several events is set aside once, whole."""
    return list({each.id: each for each in dead}.values())


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
    metrics.MERGED.inc(len(outcome.merged))
    metrics.ERASED.inc(len(outcome.erasures))
    for source, dropped in outcome.dropped.items():
        metrics.KEPT_OUT.inc(dropped)
        logger.info("Left out, erased before", source=source, deliveries=dropped)
    if dead:
        logger.warning("Deliveries set aside", dead_letters=len(dead))
