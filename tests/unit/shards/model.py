"""Every interleaving of two owners of one shard, over the rules that production calls.

The world: a shard row, two processes that may each believe to own it, a log that takes a chunk
whole, in part, or not at all, with or without saying so, and a reader. Nothing else decides
anything: ownership, commits, relaying and reading all go through ``chappe.shards.rules``.
"""

from collections import deque
from typing import NamedTuple

from chappe.shards import rules
from chappe.shards.rules import Fence, RelayState

INPUTS = 2
LOG_MAX = 5
CHUNK = 2


class Owner(NamedTuple):
    held: Fence
    out_seq: int
    relay: RelayState


class World(NamedTuple):
    row: Fence
    out_seq: int
    pub_seq: int
    applied: tuple[str, ...]
    log: tuple[int, ...]
    owners: tuple[Owner | None, Owner | None]
    claims: int


def offset_of(fence: Fence) -> int:
    return int(fence.next_offsets)


def start() -> World:
    row = Fence(1, 0, "0")
    return World(row, 0, 0, (), (), (Owner(row, 0, rules.resume_relay(0)), None), 0)


def successors(world: World) -> list[World]:
    found: list[World] = []
    for who, owner in enumerate(world.owners):
        if owner is not None:
            found += _commits(world, who, owner)
            found += _relays(world, who, owner)
    found += _claims(world)
    return found


def _with(world: World, who: int, owner: Owner | None) -> World:
    owners = list(world.owners)
    owners[who] = owner
    return world._replace(owners=(owners[0], owners[1]))


def _commits(world: World, who: int, owner: Owner) -> list[World]:
    """Commit the next input, or a timer alone; answered, unanswered, or delivered twice."""
    found: list[World] = []
    offset = offset_of(owner.held)
    work: list[tuple[str, str]] = []
    if offset < INPUTS:
        work.append((f"input {offset}", str(offset + 1)))
    if "timer" not in world.applied or owner.held != world.row:
        work.append(("timer", owner.held.next_offsets))
    for what, after in work:
        once = _commit(world, owner, what, after)
        if once is None:
            found.append(_with(world, who, None))  # fenced: drop the shard
            continue
        row = once.row
        settled = Owner(row, once.out_seq, owner.relay)
        found.append(_with(once, who, settled))
        found.append(_with(once, who, None))  # outcome unknown: drop the shard
        twice = _commit(once, owner, what, after)
        if twice is not None:
            found.append(_with(twice, who, settled))
    return found


def _commit(world: World, owner: Owner, what: str, after: str) -> World | None:
    if not rules.may_commit(world.row, owner.held):
        return None
    return world._replace(
        row=rules.next_fence(world.row, after),
        out_seq=owner.out_seq + 1,
        pub_seq=owner.relay.published,
        applied=(*world.applied, what),
    )


def _relays(world: World, who: int, owner: Owner) -> list[World]:
    """Put a chunk on the wire; let it land whole, in part or not; hear of it or not."""
    found: list[World] = []
    flying = rules.next_chunk(owner.relay, range(1, owner.out_seq + 1), CHUNK)
    if flying != owner.relay and flying.in_flight:
        found.append(_with(world, who, owner._replace(relay=flying)))
    if not owner.relay.in_flight:
        return found
    chunk = owner.relay.in_flight
    for landed in range(len(chunk) + 1):
        log = world.log + chunk[:landed]
        if len(log) > LOG_MAX:
            continue
        there = world._replace(log=log)
        failed = rules.chunk_failed(owner.relay)
        found.append(_with(there, who, owner._replace(relay=failed)))
        if landed == len(chunk):
            done = rules.chunk_acknowledged(owner.relay)
            found.append(_with(there, who, owner._replace(relay=done)))
    return found


def _claims(world: World) -> list[World]:
    """The lease ran out, rightly or not: the other process takes over; the old one lives on."""
    if world.claims == 2:
        return []
    found: list[World] = []
    for who in (0, 1):
        row = rules.claimed(world.row)
        owner = Owner(row, world.out_seq, rules.resume_relay(world.pub_seq))
        found.append(_with(world._replace(row=row, claims=world.claims + 1), who, owner))
    return found


def violation(world: World) -> str | None:
    """What is wrong with what a reader applies, or with what was committed."""
    if len(set(world.applied)) != len(world.applied):
        return f"applied twice: {world.applied}"
    if sum(o is not None and o.held.epoch == world.row.epoch for o in world.owners) > 1:
        return "two owners pass a fence of the epoch alone"
    seen: int | None = None
    applied: list[int] = []
    for seq in world.log:
        if rules.is_new(seen, seq):
            seen = seq
            applied.append(seq)
    if applied != list(range(1, len(applied) + 1)):
        return f"the reader applied {applied} of the log {world.log}"
    if world.pub_seq > len(applied):
        return f"pub_seq {world.pub_seq} but the reader has {applied}"
    return None


def explore() -> tuple[int, str | None]:
    """How many worlds were seen, and the first violation."""
    first = start()
    seen = {first}
    todo = deque([first])
    while todo:
        world = todo.popleft()
        if (wrong := violation(world)) is not None:
            return len(seen), wrong
        for after in successors(world):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return len(seen), None
