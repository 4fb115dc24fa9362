"""The rules that make it exact, each broken on purpose: some seed must notice."""

import datetime as dt
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from chappe.shards import Batch, Owned, ShardRunner, rules
from chappe.shards.rules import Fence, RelayState
from chappe_orchestrator.domain import Timer, step
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.walking import fire

STEP = sys.modules[step.__module__]


def commit_whatever(_row: Fence, _held: Fence) -> bool:
    return True


def commit_without_seq(held: Fence, next_offsets: str) -> Fence:
    return Fence(held.epoch, held.commit_seq, next_offsets)


def published_without_ack(state: RelayState) -> RelayState:
    """What was sent counts as being in the log, whatever the log answered."""
    return RelayState(max(state.in_flight, default=state.published), ())


def fire_any_token(run: Run, timer: Timer) -> None:
    enrollment = run.contact.enrollments.get(timer.enrollment)
    if enrollment is not None and enrollment.status == "active":
        timer = timer._replace(token=enrollment.token)
    fire(run, timer)


async def due_at_once(
    self: ShardRunner, _batch: Batch, readable: Mapping[int, Owned], now: dt.datetime
) -> dict[int, dt.datetime]:
    """Fire what is due, whatever the log still holds."""
    due = self._processor.due_shards(now)
    return {shard: now for shard in due if shard in readable}


MUTANTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "fence_off": (rules, "may_commit", commit_whatever),
    "commit_seq_off": (rules, "next_fence", commit_without_seq),
    "relay_not_waiting": (rules, "chunk_failed", published_without_ack),
    "timer_without_token": (STEP, "fire", fire_any_token),
    "timers_before_events": (ShardRunner, "_due", due_at_once),
}


@contextmanager
def mutated(name: str | None) -> Generator[None]:
    """The rule of that name is broken inside."""
    if name is None:
        yield
        return
    where, what, broken = MUTANTS[name]
    whole = getattr(where, what)
    setattr(where, what, broken)
    try:
        yield
    finally:
        setattr(where, what, whole)
