"""Give a load to its provider again, byte for byte, after its sender stopped before the answer.

Only where the provider knows idempotency keys, and well inside the time that it remembers them: a
repeat then sends nothing twice, and its answer is the one that was missed.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from chappe.ids import MessageId
from chappe_sender.application.letter import Letter
from chappe_sender.application.line import Load
from chappe_sender.application.lines import Lines
from chappe_sender.application.ports import Claimed, Interrupted, Ledger


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The part of a load that is ours now, by message."""

    provider: str
    key: str
    mine: dict[MessageId, Claimed]


def may_ask_again(left: Interrupted, lines: Lines, now: dt.datetime) -> bool:
    """Whether a repeat tells what became of it. ``now`` is the wall clock."""
    placed = left.placed
    if not left.committing or placed is None or placed.key is None:
        return False
    line = lines.get(placed.provider)
    ttl = line.record.capabilities.key_ttl if line is not None else None
    return ttl is not None and now - placed.at < ttl / 2


async def take_over(
    left: Sequence[Interrupted], ledger: Ledger, epochs: Mapping[int, int]
) -> list[Unanswered]:
    """Make them ours, under our shards' epochs; by load."""
    if not left:
        return []
    taken = await ledger.take_over([each.claimed for each in left], epochs)
    loads: dict[tuple[str, str], Unanswered] = {}
    for each in left:
        claimed, placed = each.claimed, each.placed
        if claimed.message.id not in taken or placed is None or placed.key is None:
            continue
        name = (placed.provider, placed.key)
        load = loads.setdefault(name, Unanswered(*name, {}))
        load.mine[claimed.message.id] = replace(claimed, epoch=epochs[claimed.message.shard])
    return list(loads.values())


async def rebuild(
    part: Unanswered,
    ledger: Ledger,
    lines: Lines,
    write: Callable[[Claimed], Awaitable[Letter | None]],
) -> Load | None:
    """The whole load; None when it would not be the same bytes any more."""
    letters: list[Letter] = []
    for claimed in await ledger.company(part.provider, part.key):
        letter = await write(part.mine.get(claimed.message.id, claimed))
        if letter is None:
            return None
        letters.append(letter)
    same = bool(letters) and lines.key(part.provider, letters) == part.key
    return Load(letters, part.key, frozenset(part.mine), resumed=True) if same else None
