"""Apply a batch: read, load what it touches, fold, save, and show it to who watches."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from chappe.events import EVENTS, Event, JournalBatch, RawEngagement, encode_event
from chappe.shards import Batch, DeadLetter, Input, Out, to_contact
from chappe_analytics import metrics
from chappe_analytics.application.folding import Fold
from chappe_analytics.application.live import Live
from chappe_analytics.application.ports import Changes, Store
from chappe_analytics.application.reading import (
    REASON_LENGTH_MAX,
    ContactEvent,
    Item,
    understand,
    wanted_by,
)

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyBatch:
    """One batch, one statement. A record that breaks the code is set aside with the reason."""

    store: Store
    live: Live
    partitions: int

    async def __call__(self, batch: Batch) -> None:
        understood = understand(batch.inputs)
        dead = [_letter(batch, one, reason) for one, reason in understood.refused]
        fold = Fold(await self.store.load(wanted_by(understood.items)))
        outbox: list[Out] = []
        for record, item in understood.items:
            for fold_one in self._parts(fold, record, item, outbox):
                try:
                    fold_one()
                except Exception as error:
                    logger.exception(
                        "A record could not be applied", stream=record.stream, offset=record.offset
                    )
                    reason = f"{type(error).__name__}: {error}"[:REASON_LENGTH_MAX]
                    dead.append(_letter(batch, record, reason))
        changes = fold.changes()
        await self.store.save(batch, changes, outbox=outbox, dead=dead)
        _measure(fold, changes)
        self.live.learn(fold.addresses)
        self.live.publish(changes.entries)

    async def set_aside(self, batch: Batch, error: Exception) -> None:
        """Commit a batch of one input that the database refuses, as a dead letter alone."""
        reason = f"{type(error).__name__}: {error}"[:REASON_LENGTH_MAX]
        dead = [_letter(batch, one, reason) for one in batch.inputs]
        await self.store.save(batch, Changes(), dead=dead)

    def _parts(
        self, fold: Fold, record: Input, item: Item, outbox: list[Out]
    ) -> Sequence[Callable[[], None]]:
        """What may fail alone: a decision does not take its batch down."""
        match item:
            case RawEngagement():
                return [partial(self._engage, fold, record, item, outbox)]
            case JournalBatch(decisions=decisions):
                return [partial(fold.decide, record.shard, decision) for decision in decisions]
            case ContactEvent(event, contact):
                return [partial(fold.hear, record, event, contact)]

    def _engage(self, fold: Fold, record: Input, touch: RawEngagement, outbox: list[Out]) -> None:
        fact: Event | None = fold.engage(touch)
        if fact is not None:
            body = encode_event(fact)
            outbox.append(
                to_contact(
                    record.shard, EVENTS, touch.workspace, touch.contact, body, self.partitions
                )
            )


def _letter(batch: Batch, record: Input, reason: str) -> DeadLetter:
    return DeadLetter(record, reason, batch.now)


def _measure(fold: Fold, changes: Changes) -> None:
    for (kind, verdict), n in Counter(fold.verdicts).items():
        metrics.VERDICTS.labels(kind, verdict.value).inc(n)
    for kind, n in Counter(entry.kind for entry in changes.entries).items():
        metrics.ENTRIES.labels(kind).inc(n)
    metrics.REPEATS.inc(fold.repeats)
