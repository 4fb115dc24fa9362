"""Do our positions fit the log? If not, one of them was restored, and sending would repeat.

Ahead: a shard has read further than the log goes. Newer: the log holds what we published after
the database's last word, so the ledger has forgotten mail that was sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from chappe.broker import Broker, BrokerUnavailable, OffsetOutOfRange
from chappe.events.streams import JOURNAL, Stream
from chappe.shards import unwrap

TAIL: Final = 32
"""Records at the end of a partition of ``journal`` that are looked at."""
LOOK_SECONDS: Final = 5.0


async def misfit(
    broker: Broker,
    offsets: Mapping[int, Mapping[Stream, int]],
    published: Callable[[], Awaitable[Mapping[int, int]]],
    producer: str,
    incarnation: str,
) -> str | None:
    """In a word that names the misfit and not its numbers; None when all fits, or nobody can tell.

    ``offsets`` are the shards' next ones. ``published`` reads their last sequence numbers, after
    the log was read: what others publish meanwhile is in the database before it is in the log.
    """
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            for stream in sorted({each for shard in offsets.values() for each in shard}):
                ends = await broker.end_offsets(stream)
                if any(at.get(stream, 0) > ends.get(s, 0) for s, at in offsets.items()):
                    return f"ahead:{stream}"
            seen = await _seen(broker, producer, incarnation)
            known = await published()
            if any(seq > known.get(shard, 0) for shard, seq in seen.items()):
                return f"newer:{incarnation}"
    except (BrokerUnavailable, TimeoutError):
        return None
    return None


async def _seen(broker: Broker, producer: str, incarnation: str) -> dict[int, int]:
    """The highest of our sequence numbers at the end of the log, by shard. Decisions go to the
    writer's own partition of ``journal``, so its end tells.
    """
    starts, ends = await broker.start_offsets(JOURNAL), await broker.end_offsets(JOURNAL)
    wanted = {
        p: max(starts.get(p, 0), end - TAIL) for p, end in ends.items() if end > starts.get(p, 0)
    }
    seen: dict[int, int] = {}
    if not wanted:
        return seen
    reader = broker.reader(JOURNAL)
    try:
        await reader.assign(wanted)
        while any(at < ends[p] for p, at in wanted.items()):
            for partition, records in (await reader.read(1_000, 0.5)).items():
                for record in records:
                    wanted[partition] = record.offset + 1
                    with suppress(msgspec.MsgspecError):
                        stamp, _ = unwrap(record.value)
                        if stamp is not None and stamp[:2] == (producer, incarnation):
                            seen[stamp.shard] = max(seen.get(stamp.shard, 0), stamp.seq)
    except OffsetOutOfRange:
        return {}
    finally:
        await reader.close()
    return seen
