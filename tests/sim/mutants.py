"""The rules that make it exact, each broken on purpose: some seed must notice."""

import datetime as dt
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from chappe.journey import Program, SilenceWatch
from chappe.shards import Batch, Owned, ShardRunner, rules
from chappe.shards.rules import Fence, RelayState
from chappe_orchestrator.application import departing, parking
from chappe_orchestrator.application import processor as processing
from chappe_orchestrator.application.ports import Who
from chappe_orchestrator.application.processor import Journeying
from chappe_orchestrator.domain import Contact, Enrollment, Timer, orders, step, watching
from chappe_orchestrator.domain.place import Place
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.upgrading import Moves
from chappe_orchestrator.domain.walking import fire, walk

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


async def resume_nobody(_self: Journeying, _shards: Iterable[int]) -> None:
    """The journey goes on; those whom it held do not."""


def upgrade_from_the_start(run: Run, enrollment: Enrollment, to: Program, _moves: Moves) -> None:
    """Whoever changes version is anybody who enters."""
    run.disarm(enrollment)
    enrollment.version, enrollment.visits = to.version, {}
    walk(run, to, enrollment, Place(to.start, run.now))


def release_the_latest_first(self: processing._Work, releases: dict[Who, parking.Release]) -> None:
    """What comes now does not wait for what waits."""
    self.releases = releases
    for who, one in releases.items():
        asked = [pair for pair in self.events[who] if pair[0].name == orders.RELEASE]
        looks = [pair for pair in self.events[who] if pair[0].name == orders.LOOK]
        self.events[who] = [*one.later, *asked, *one.kept, *looks]


def rouse_nobody(_self: Journeying, _state: Contact, _now: dt.datetime) -> Iterable[Timer]:
    """A timer that came while the contact was parked has come and gone."""
    return ()


def look_for_nothing_missed(_run: Run) -> None:
    """A sweep does not come back for the contact that was parked."""


def silent_at_the_first_look(run: Run, program: Program, rule: SilenceWatch, held: Any) -> None:
    """What was done since the timer was set does not count."""
    last = dt.datetime.fromisoformat(held.for_).replace(tzinfo=dt.UTC)
    cause = watching.Cause(
        id=run.cause,
        data={"last": (run.now - rule.quiet_for).isoformat()},
        heard_at=run.now,
        place=Place(program.start, run.now),
    )
    watching._enter_occurrence(run, program, cause, last.date().isoformat(), held)


def leave_a_timer_behind(_state: Contact) -> list[Timer]:
    """Whoever moves to another shard is waited for here too."""
    return []


MUTANTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "fence_off": (rules, "may_commit", commit_whatever),
    "commit_seq_off": (rules, "next_fence", commit_without_seq),
    "relay_not_waiting": (rules, "chunk_failed", published_without_ack),
    "timer_without_token": (STEP, "fire", fire_any_token),
    "timers_before_events": (ShardRunner, "_due", due_at_once),
    "pause_without_resuming": (Journeying, "_resume", resume_nobody),
    "upgrade_from_the_start": (orders, "upgrade", upgrade_from_the_start),
    "release_out_of_order": (processing._Work, "release", release_the_latest_first),
    "release_without_timers": (Journeying, "_asleep", rouse_nobody),
    "release_without_looking": (orders, "look_again", look_for_nothing_missed),
    "silence_not_looked_at_again": (watching, "_silence_over", silent_at_the_first_look),
    "merge_leaves_a_timer": (departing, "timers_of", leave_a_timer_behind),
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
