"""The envelope of every record on every stream: who relayed it, and the body.

``{"by": [producer, incarnation, shard, seq], "body": …}``; ``by`` is absent for records from no
outbox (the edge, API handlers, imports), which readers tell apart by their own ids.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from chappe.broker import Record
from chappe.events.streams import Stream
from chappe.shards import rules


class Stamp(NamedTuple):
    producer: str
    incarnation: str
    shard: int
    seq: int


class _Envelope(msgspec.Struct, frozen=True):
    body: msgspec.Raw
    by: tuple[str, str, int, int] | None = None


_decode = msgspec.json.Decoder(_Envelope).decode


def wrap(body: bytes, stamp: Stamp | None = None) -> bytes:
    """The record value for a JSON ``body``."""
    if stamp is None:
        return b'{"body":' + body + b"}"
    return b'{"by":["%b","%b",%d,%d],"body":%b}' % (
        stamp.producer.encode(),
        stamp.incarnation.encode(),
        stamp.shard,
        stamp.seq,
        body,
    )


def unwrap(value: bytes) -> tuple[Stamp | None, bytes]:
    """Stamp and body. Raises ``msgspec.MsgspecError`` on anything else."""
    envelope = _decode(value)
    stamp = Stamp(*envelope.by) if envelope.by is not None else None
    return stamp, bytes(envelope.body)


class Input(NamedTuple):
    """One record, new to this shard, as a processor gets it."""

    shard: int
    stream: Stream
    offset: int
    key: bytes
    body: bytes


class Out(NamedTuple):
    """One row for the outbox of ``shard``; ``partition`` is where it goes on ``stream``."""

    shard: int
    stream: Stream
    partition: int
    key: bytes
    body: bytes


class DeadLetter(NamedTuple):
    """A record nobody can use, kept with the reason. ``source`` when the record names one."""

    input: Input
    reason: str
    at: dt.datetime
    source: str | None = None

    @property
    def id(self) -> str:
        return f"{self.input.stream}-{self.input.shard}-{self.input.offset}"


SeenKey = tuple[Stream, str, str, int]
"""(stream, producer, incarnation, producing shard)."""


class Taken(NamedTuple):
    """What reading some records moves: inputs, positions, highest seqs, and what is no record."""

    inputs: list[Input]
    next_offsets: dict[Stream, int]
    seen: dict[SeenKey, int]
    undecodable: list[tuple[Input, str]]


def take(
    shard: int, stream: Stream, records: list[Record], position: int, seen: Mapping[SeenKey, int]
) -> Taken:
    """Drop what this shard has already applied, by offset and by the producer's seq."""
    taken = Taken([], {}, {}, [])
    for record in records:
        if record.offset < position:
            continue
        taken.next_offsets[stream] = record.offset + 1
        try:
            stamp, body = unwrap(record.value)
        except msgspec.MsgspecError as error:
            broken = Input(shard, stream, record.offset, record.key, record.value)
            taken.undecodable.append((broken, f"not a record of ours: {error}"))
            continue
        if stamp is not None:
            key = (stream, stamp.producer, stamp.incarnation, stamp.shard)
            if not rules.is_new(taken.seen.get(key, seen.get(key)), stamp.seq):
                continue
            taken.seen[key] = stamp.seq
        taken.inputs.append(Input(shard, stream, record.offset, record.key, body))
    return taken


@dataclass(slots=True)
class Advance:
    """Where one shard's positions and highest seqs stand after a batch."""

    next_offsets: dict[Stream, int] = field(default_factory=dict)
    seen: dict[SeenKey, int] = field(default_factory=dict)
