"""A delivery that asks its shop first: what is kept of it, and how it goes back to the log."""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import msgspec

from chappe.broker import Outgoing
from chappe.events import RawRecord, Stream
from chappe.ids import SourceId, partition_of
from chappe.shards import wrap
from chappe_ingest.domain import marks
from chappe_ingest.domain.normalised import Hydration

PATIENCE: Final = dt.timedelta(hours=6)
"""How long the facts of a delivery may wait for its shop's API; then they go without."""

_decode = msgspec.json.Decoder(RawRecord).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One delivery that waits. ``record`` is its body in the log, ``number`` its place in line."""

    source: SourceId
    kind: str
    key: bytes
    stream: Stream
    record: bytes
    question: Hydration
    deadline: dt.datetime
    number: int = 0
    attempts: int = 0


def asking(raw: RawRecord, key: bytes, stream: Stream, question: Hydration) -> Asking:
    return Asking(
        source=raw.source,
        kind=raw.kind,
        key=key,
        stream=stream,
        record=_encode(raw),
        question=question,
        deadline=raw.received_wall + PATIENCE,
    )


def with_document(asked: Asking, document: str, partitions: int) -> Outgoing:
    """The delivery with the answer, for its own place in the order."""
    return _marked(asked, marks.DOCUMENT, document, partitions)


def without_document(asked: Asking, why: str, partitions: int) -> Outgoing:
    """The delivery with its ids alone, and why."""
    return _marked(asked, marks.WITHOUT, why, partitions)


def _marked(asked: Asking, mark: str, value: str, partitions: int) -> Outgoing:
    raw = _decode(asked.record)
    marked = msgspec.structs.replace(raw, headers={**raw.headers, mark: value})
    return Outgoing(partition_of(asked.key, partitions), asked.key, wrap(_encode(marked)))
