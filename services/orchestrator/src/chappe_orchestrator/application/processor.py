"""Apply a batch: read the contacts it is about, take each a step further, commit all at once."""

import asyncio
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import structlog

from chappe.events import (
    EVENTS,
    EVENTS_BULK,
    SENDS,
    Cancel,
    Command,
    Event,
    Send,
    decode_event,
    encode_event,
)
from chappe.events.streams import Stream
from chappe.ids import WorkspaceId
from chappe.shards import Batch, DeadLetter, Input, Out, Owned, to_contact, to_journal
from chappe_orchestrator.application.library import Library
from chappe_orchestrator.application.ports import (
    Changes,
    EnrollmentRow,
    Loaded,
    ParkedInput,
    Parking,
    ProfileRow,
    Store,
    Who,
)
from chappe_orchestrator.application.timers import TimerQueue
from chappe_orchestrator.domain import Contact, Effects, Key, Profile, Timer, keys_wanted, step
from chappe_orchestrator.domain.effects import Input as StepInput
from chappe_orchestrator.metrics import DECISIONS, LATENESS, PARKED

NAME = "orchestrator"
SCHEMA = "orchestrator"
TIMERS_PER_BATCH_MAX = 500
REASON_LENGTH_MAX = 500
WATCH_SECONDS = 5.0

logger = structlog.get_logger(__name__)

_encode = msgspec.json.Encoder(decimal_format="string").encode


class _Work:
    """A batch by contact: events in the log's order, then timers."""

    def __init__(self) -> None:
        self.workspaces: dict[Who, WorkspaceId] = {}
        self.events: defaultdict[Who, list[tuple[Event, Input]]] = defaultdict(list)
        self.timers: defaultdict[Who, list[Timer]] = defaultdict(list)
        self.dead: list[DeadLetter] = []

    def contacts(self) -> list[Who]:
        return list(dict.fromkeys([*self.events, *self.timers]))


class Journeying:
    """The orchestrator's part in the life of a shard (``chappe.shards.Processor``)."""

    name = NAME
    schema = SCHEMA
    inputs: Sequence[Stream] = (EVENTS, EVENTS_BULK)
    timer_stream: Stream | None = EVENTS

    def __init__(
        self,
        *,
        store: Store,
        library: Library,
        partitions: int,
        positions: Callable[[int], Mapping[Stream, int]],
    ) -> None:
        self._store = store
        self._library = library
        self._partitions = partitions
        self._positions = positions
        self._timers = TimerQueue(store)
        self._owned: set[int] = set()

    def has_loaded(self, shards: Iterable[int]) -> bool:
        """Whether the timers of all these are known; until then ``next_due`` knows too little."""
        return self._owned.issuperset(shards)

    # -- the life of a shard --------------------------------------------------------------------

    async def claimed(self, shards: Sequence[Owned]) -> None:
        claimed = [owned.shard for owned in shards]
        if self._library.generation < 0:
            await self._library.reload()
        await self._timers.claim(claimed)
        self._owned |= set(claimed)
        await self._resume(claimed)

    async def releasing(self, shards: Sequence[int]) -> None:
        """Nothing outlives a batch here."""

    async def released(self, shards: Sequence[int]) -> None:
        self._timers.release(shards)
        self._owned -= set(shards)

    def next_due(self) -> dt.datetime | None:
        return self._timers.next_due()

    def due_shards(self, now: dt.datetime) -> Sequence[int]:
        return self._timers.due_shards(now)

    async def watch(self, wake: Callable[[], None]) -> None:
        """Notice a resumed journey although no record comes; runs beside the shards."""
        known = self._library.generation
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            generation = await self._library.published_generation()
            if generation != known and self._owned:
                known = generation
                await self._resume(self._owned)
                wake()

    # -- a batch --------------------------------------------------------------------------------

    async def apply(self, batch: Batch) -> None:
        work = self._sort(batch)
        loaded = await self._load(work, batch.now)
        changes = Changes(at=batch.now, dead=work.dead)
        for who in work.contacts():
            self._take_step(who, work, loaded, batch, changes)
        for shard, decisions in changes.decisions.items():
            changes.outbox += to_journal(NAME, shard, decisions)
        await self._store.commit(batch, changes)
        self._timers.apply(changes.timers_gone, changes.timers_armed)
        _measure(work, changes)
        await self._timers.refill()

    async def poison(self, batch: Batch, error: Exception) -> None:
        """The database refuses what this one event makes of its contact: park both."""
        work = self._sort(batch)
        changes = Changes(at=batch.now, dead=work.dead)
        for who in work.events:
            self._park(who, work, error, changes)
        await self._store.commit(batch, changes)

    def _sort(self, batch: Batch) -> _Work:
        work = _Work()
        for one in batch.inputs:
            try:
                event = decode_event(one.body)
            except msgspec.MsgspecError as error:
                work.dead.append(DeadLetter(one, f"not an event: {error}", batch.now))
                continue
            if event.contact is None:
                work.dead.append(DeadLetter(one, "an event of no contact", batch.now))
                continue
            who = Who(one.shard, event.contact)
            work.workspaces[who] = event.workspace
            work.events[who].append((event, one))
        for shard, wakeups in self._timers.due(batch.due, TIMERS_PER_BATCH_MAX).items():
            for timer, contact in wakeups:
                work.timers[Who(shard, contact)].append(timer)
        return work

    async def _load(self, work: _Work, now: dt.datetime) -> Loaded:
        loaded = await self._read(work, now)
        if loaded.generation != self._library.generation:
            # Other journeys may want other keys: reload, and read what they want.
            await self._library.reload()
            await self._resume(self._owned)
            loaded = await self._read(work, now)
        return loaded

    async def _read(self, work: _Work, now: dt.datetime) -> Loaded:
        wanted: set[tuple[Who, Key]] = set()
        for who, events in work.events.items():
            journeys = self._library.of(work.workspaces[who])
            for event, _ in events:
                for key in keys_wanted(event, journeys):
                    wanted.add((who, key))
        return await self._store.load(work.contacts(), wanted, now)

    def _take_step(
        self, who: Who, work: _Work, loaded: Loaded, batch: Batch, changes: Changes
    ) -> None:
        timers = work.timers.get(who, [])
        changes.timers_gone += [(who, timer) for timer in timers]
        if who in loaded.parked:
            changes.parked_inputs += [ParkedInput(who, one) for _, one in work.events.get(who, [])]
            return
        state = loaded.contacts.get(who)
        if state is None:
            if who not in work.workspaces:
                return  # A timer of a contact that is no more.
            state = Contact(id=who.contact, workspace=work.workspaces[who], profile=Profile())
            state.keys = loaded.keys.get(who, {})
        inputs: list[StepInput] = [event for event, _ in work.events.get(who, [])]
        inputs += timers
        try:
            journeys = self._library.of(state.workspace)
            state, effects = step(state, inputs, now=batch.now, journeys=journeys)
            self._collect(who, state, effects, batch, changes)
        except Exception as error:
            logger.exception("A step failed; the contact is parked", contact=who.contact)
            self._park(who, work, error, changes, state.workspace)
            return

    def _park(
        self,
        who: Who,
        work: _Work,
        error: Exception,
        changes: Changes,
        workspace: WorkspaceId | None = None,
    ) -> None:
        reason = f"{type(error).__name__}: {error}".replace("\x00", "")[:REASON_LENGTH_MAX]
        owner = workspace or work.workspaces[who]
        changes.parked.append(Parking(who, owner, reason))
        changes.parked_inputs += [ParkedInput(who, one) for _, one in work.events.get(who, [])]

    def _collect(
        self, who: Who, state: Contact, effects: Effects, batch: Batch, changes: Changes
    ) -> None:
        """Turn one contact's effects into rows. Encoding comes first: it alone may fail."""
        outbox = [*self._commands(who, effects, batch), *self._facts(who, effects)]
        moved = [state.enrollments[changed] for changed in effects.enrollments_changed]
        enrollments = [EnrollmentRow(who, state.workspace, one, _encode(one)) for one in moved]
        if effects.profile_changed:
            changes.profiles.append(ProfileRow(who, state.workspace, _encode(state.profile)))
        changes.enrollments += enrollments
        for key in effects.keys_changed:
            changes.keys.append((who, key, state.keys[key]))
        changes.timers_gone += [(who, timer) for timer in effects.timers_cleared]
        changes.timers_armed += [(who, timer) for timer in effects.timers_set]
        changes.outbox += outbox
        if effects.decisions:
            changes.decisions.setdefault(who.shard, []).extend(effects.decisions)

    def _commands(self, who: Who, effects: Effects, batch: Batch) -> Iterable[Out]:
        if not effects.commands:
            return
        needs = self._needs(who.shard, batch)
        for command in effects.commands:
            asked: Command = command
            if isinstance(command, Send):
                asked = msgspec.structs.replace(command, needs=needs)
            if isinstance(command, Send | Cancel):
                yield to_contact(
                    who.shard, SENDS, command.workspace, command.contact, _encode(asked),
                    self._partitions,
                )  # fmt: skip

    def _facts(self, who: Who, effects: Effects) -> Iterable[Out]:
        for event in effects.events:
            if event.contact is not None:
                yield to_contact(
                    who.shard, EVENTS, event.workspace, event.contact, encode_event(event),
                    self._partitions,
                )  # fmt: skip

    def _needs(self, shard: int, batch: Batch) -> dict[str, int]:
        """What the sender must have read before it hands over what this batch asks for."""
        positions = dict(self._positions(shard))
        if (moved := batch.advance.get(shard)) is not None:
            positions.update(moved.next_offsets)
        return {stream: positions.get(stream, 0) for stream in self.inputs}

    async def _resume(self, shards: Iterable[int]) -> None:
        """Let those go on whom a pause held and holds no longer."""
        for who, timer in await self._store.resumable(shards):
            self._timers.force(who, timer)


def _measure(work: _Work, changes: Changes) -> None:
    """Count what is durable now."""
    whats = Counter(d.what for decisions in changes.decisions.values() for d in decisions)
    for what, count in whats.items():
        DECISIONS.labels(what).inc(count)
    PARKED.inc(len(changes.parked))
    for timers in work.timers.values():
        for timer in timers:
            LATENESS.observe(max(0.0, (changes.at - timer.due_at).total_seconds()))
