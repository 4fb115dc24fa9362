"""Apply a batch: read the contacts it is about, take each a step further, commit all at once."""

import asyncio
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

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
from chappe.ids import EnrollmentId, WorkspaceId
from chappe.journey.history import Answer, HistoryWantedError
from chappe.shards import (
    REFUSED,
    Batch,
    DeadLetter,
    Input,
    Out,
    Owned,
    to_contact,
    to_journal,
    to_own_contact,
)
from chappe_orchestrator.application import departing, parking
from chappe_orchestrator.application.library import Library
from chappe_orchestrator.application.outages import Outages
from chappe_orchestrator.application.ports import (
    CallRow,
    Changes,
    CountKey,
    EnrollmentRow,
    History,
    HistoryRow,
    Loaded,
    ParkedInput,
    Parking,
    ProfileRow,
    Store,
    SweepRow,
    Unparked,
    Who,
)
from chappe_orchestrator.application.sweeping import Portion, Sweeps
from chappe_orchestrator.application.timers import LONG_AGO, TimerQueue
from chappe_orchestrator.domain import (
    Contact,
    Effects,
    Enrollment,
    Key,
    Profile,
    Recheck,
    Timer,
    keys_wanted,
    step,
)
from chappe_orchestrator.domain.effects import WATCH, Remembered
from chappe_orchestrator.domain.effects import Input as StepInput
from chappe_orchestrator.domain.facts import Asked, Pasts
from chappe_orchestrator.domain.journeys import ANY_KEY, watch_keys
from chappe_orchestrator.domain.merging import TRANSFERRED
from chappe_orchestrator.domain.orders import LOOK, RELEASE
from chappe_orchestrator.domain.run import DERIVED_DEPTH_MAX
from chappe_orchestrator.domain.state import KeysWantedError
from chappe_orchestrator.metrics import DECISIONS, LATENESS, PARKED

NAME = "orchestrator"
SCHEMA = "orchestrator"
TIMERS_PER_BATCH_MAX = 500
REASON_LENGTH_MAX = 500
QUESTIONS_MAX = 16
"""So many questions about its past may one contact have in one batch."""
WATCH_SECONDS = 5.0
NOWHERE = (-1, "", "")
"""Before every place (shard, contact, enrollment)."""

logger = structlog.get_logger(__name__)

_encode = msgspec.json.Encoder(decimal_format="string").encode


class _Work:
    """A batch by contact: events in the log's order, then timers."""

    def __init__(self) -> None:
        self.workspaces: dict[Who, WorkspaceId] = {}
        self.events: defaultdict[Who, list[tuple[Event, Input]]] = defaultdict(list)
        self.timers: defaultdict[Who, list[Timer]] = defaultdict(list)
        self.rechecks: defaultdict[Who, list[Recheck]] = defaultdict(list)
        self.dead: list[DeadLetter] = []
        self.received: list[tuple[int, dt.datetime]] = []

        self.pasts: dict[Who, dict[Asked, Answer]] = {}
        self.wanting: dict[Who, list[Asked]] = {}
        self.read_keys: dict[Who, set[Key]] = {}
        self.more_keys: defaultdict[Who, set[Key]] = defaultdict(set)
        self.short: set[Who] = set()
        self.releases: dict[Who, parking.Release] = {}

    def only(self, contacts: Iterable[Who]) -> "_Work":
        """The part of it that is about these."""
        part = _Work()
        part.workspaces, part.pasts = self.workspaces, self.pasts
        part.releases, part.more_keys = self.releases, self.more_keys
        for who in contacts:
            if who in self.events:
                part.events[who] = self.events[who]
            part.timers[who] = self.timers.get(who, [])
            part.rechecks[who] = self.rechecks.get(who, [])
        return part

    def release(self, releases: dict[Who, parking.Release]) -> None:
        """What waited for these contacts comes first; while more waits, what came now waits too."""
        self.releases = releases
        for who, one in releases.items():
            asked = [pair for pair in self.events[who] if pair[0].name == RELEASE]
            looks = [pair for pair in self.events[who] if pair[0].name == LOOK]
            self.events[who] = [*one.kept, *asked, *([] if one.more else [*one.later, *looks])]

    def contacts(self) -> list[Who]:
        return list(dict.fromkeys([*self.events, *self.timers, *self.rechecks]))


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
        history: History | None = None,
        partitions: int,
        positions: Callable[[int], Mapping[Stream, int]],
        outages: Outages | None = None,
        on_calls: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._library = library
        self._history = history
        self._partitions = partitions
        self._positions = positions
        self._timers = TimerQueue(store)
        self._owned: set[int] = set()
        self._sweeps = Sweeps(store, library)
        self._outages = outages
        self._on_calls = on_calls
        self._is_behind = False
        self._resuming: set[int] = set()
        self._resumed = NOWHERE
        self._news = asyncio.Event()

    def has_loaded(self, shards: Iterable[int]) -> bool:
        """Whether the timers of all these are known; until then ``next_due`` knows too little."""
        return self._owned.issuperset(shards)

    # -- the life of a shard --------------------------------------------------------------------

    async def claimed(self, shards: Sequence[Owned]) -> None:
        claimed = [owned.shard for owned in shards]
        if self._library.generation < 0:
            await self._library.reload()
        if self._outages is not None:
            await self._outages.look()
        await self._timers.claim(claimed)
        await self._sweeps.claim(claimed)
        self._owned |= set(claimed)
        await self._resume(claimed)

    async def releasing(self, shards: Sequence[int]) -> None:
        """Nothing outlives a batch here."""

    async def released(self, shards: Sequence[int]) -> None:
        self._timers.release(shards)
        self._sweeps.release(shards)
        self._owned -= set(shards)

    def next_due(self) -> dt.datetime | None:
        return LONG_AGO if self._unasked() else self._timers.next_due()

    def due_shards(self, now: dt.datetime) -> Sequence[int]:
        return list({*self._timers.due_shards(now), *self._unasked()})

    def _unasked(self) -> list[int]:
        """Shards with work that no record and no timer brings: other journeys, or a sweep."""
        return list(self._owned)[:1] if self._is_behind else self._sweeps.waiting()

    async def watch(self, wake: Callable[[], None]) -> None:
        """Notice a resumed journey although no record comes; runs beside the shards."""
        known = self._library.generation
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._news.wait()
            self._news.clear()
            if self._outages is not None:
                await self._outages.look()
            generation = await self._library.published_generation()
            if generation != known and self._owned:
                known = generation
                self._is_behind = generation != self._library.generation
                await self._resume(self._owned)
                wake()

    async def left_to_do(self, now: dt.datetime) -> str | None:
        """What no record brings and is to be done by ``now``; it looks at changed journeys now."""
        if self._owned and await self._library.published_generation() != self._library.generation:
            self._news.set()
            return "changed journeys"
        due = self.next_due()
        return "timers" if due is not None and due <= now else None

    # -- a batch --------------------------------------------------------------------------------

    async def apply(self, batch: Batch) -> None:
        work = self._sort(batch)
        work.release(await parking.releases(self._store, work.events))
        portions = await self._sweeps.portions(batch.due)
        _look_at(portions, work)
        if self._outages is not None:
            self._outages.hear(work.received)
        await self._apply(batch, work, [one.row for one in portions])
        await self._timers.refill()
        await self._resume_more()

    async def _apply(self, batch: Batch, work: _Work, sweeps: list[SweepRow]) -> None:
        loaded = await self._load(work, batch.now)
        changes = Changes(at=batch.now, dead=work.dead, sweeps=sweeps)
        changes.counted_by = min([*batch.advance, *batch.due])
        for who in work.contacts():
            self._take_step(who, work, loaded, batch, changes)
        await self._look_back(work, batch, changes)
        for shard, decisions in changes.decisions.items():
            changes.outbox += to_journal(NAME, shard, decisions)
        await self._store.commit(batch, changes)
        self._timers.apply(changes.timers_gone, changes.timers_armed)
        self._timers.put_aside(changes.timers_aside)
        for who, timer in changes.timers_roused:
            self._timers.force(who, timer)
        self._sweeps.apply(changes.sweeps)
        if changes.calls:
            self._on_calls()
        _measure(work, changes)

    async def poison(self, batch: Batch, error: Exception) -> None:
        """The database refuses what this one event makes of its contact: park both. Or what some
        timer of this one shard leads to: find whose, each in a commit of its own.
        """
        work = self._sort(batch)
        if batch.inputs:
            await self._commit_parked(batch, work, error)
            return
        portions = await self._sweeps.portions(batch.due)
        _look_at(portions, work)
        for who in work.contacts():
            alone = work.only([who])
            try:
                await self._apply(batch, alone, [])
            except REFUSED as refusal:
                await self._commit_parked(batch, alone, refusal)
        await self._apply(batch, _Work(), [one.row for one in portions])

    async def _commit_parked(self, batch: Batch, work: _Work, error: Exception) -> None:
        changes = Changes(at=batch.now, dead=work.dead)
        for who in work.contacts():
            self._park(who, work, error, changes)
            changes.timers_aside += [(who, timer) for timer in work.timers.get(who, [])]
        await self._store.commit(batch, changes)
        self._timers.put_aside(changes.timers_aside)

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
            if one.stream == EVENTS:
                work.received.append((one.shard, event.received_at))
            work.workspaces[who] = event.workspace
            work.events[who].append((event, one))
        for shard, wakeups in self._timers.due(batch.due, TIMERS_PER_BATCH_MAX).items():
            for timer, contact in wakeups:
                work.timers[Who(shard, contact)].append(timer)
        return work

    async def _load(self, work: _Work, now: dt.datetime) -> Loaded:
        loaded = await self._read(work, now)
        self._is_behind = False
        if loaded.generation != self._library.generation:
            # Other journeys may want other keys: reload, and read what they want.
            await self._library.reload()
            self._sweeps.plan()
            await self._resume(self._owned)
            loaded = await self._read(work, now)
        await departing.complete(self._store, self._history, work.events, loaded)
        return loaded

    async def _read(self, work: _Work, now: dt.datetime) -> Loaded:
        wanted: set[tuple[Who, Key]] = set()
        for who, events in work.events.items():
            journeys = self._library.of(work.workspaces[who])
            for event, _ in events:
                for key in keys_wanted(event, journeys):
                    wanted.add((who, key))
        for who, timers in work.timers.items():
            for timer in timers:
                if timer.kind == WATCH:
                    wanted.update((who, key) for key in watch_keys(timer))
        for who, rechecks in work.rechecks.items():
            for one in rechecks:
                wanted |= {(who, Key(one.journey, v)) for v in (who.contact, ANY_KEY)}
        for who in work.contacts():
            wanted |= {(who, key) for key in work.more_keys.get(who, ())}
        work.read_keys = {}
        for who, key in wanted:
            work.read_keys.setdefault(who, set()).add(key)
        return await self._store.load(work.contacts(), wanted, now)

    async def _look_back(self, work: _Work, batch: Batch, changes: Changes) -> None:
        """Read the past and the keys that decisions wait for; those take their step again."""
        for _ in range(QUESTIONS_MAX + DERIVED_DEPTH_MAX):
            if not work.short and (not work.wanting or self._history is None):
                break
            asked: list[tuple[Who, Asked]] = []
            if self._history is not None and work.wanting:
                asked = [(who, one) for who, ones in work.wanting.items() for one in ones]
                work.wanting = {}
                for (who, about), answer in (await self._history.answers(asked, batch.now)).items():
                    work.pasts.setdefault(who, {})[about] = answer
            again = [*dict.fromkeys([*(who for who, _ in asked), *work.short])]
            part = work.only(again)
            loaded = await self._read(part, batch.now)
            await departing.complete(self._store, self._history, part.events, loaded)
            for who in again:
                self._take_step(who, part, loaded, batch, changes)
            work.wanting |= part.wanting
            work.short = part.short
        for who, about in work.wanting.items():
            error = HistoryWantedError(about[0].query)
            self._park(who, work, error, changes, work.workspaces.get(who))
        for who in work.short:
            error = LookupError("facts of our own lead to ever more keys")
            self._park(who, work, error, changes, work.workspaces.get(who))

    def _take_step(
        self, who: Who, work: _Work, loaded: Loaded, batch: Batch, changes: Changes
    ) -> None:
        timers = work.timers.get(who, [])
        gone = len(changes.timers_gone)
        changes.timers_gone += [(who, timer) for timer in timers]
        heard = departing.split([event for event, _ in work.events.get(who, [])])
        forgotten = heard.departure is not None and heard.departure.into is None
        if who in loaded.gone:
            events = [event for event, _ in work.events.get(who, [])]
            into = loaded.gone[who]
            changes.outbox += departing.sent_on(who, events, into, self._partitions)
            return
        release = work.releases.get(who) if who in loaded.parked else None
        if who in loaded.parked and not forgotten and release is None:
            self._keep(who, work, changes)
            _put_aside(gone, changes)
            return
        state = _state_of(who, work, loaded)
        if state is None:
            return  # A timer of a contact that is no more.
        inputs: list[StepInput] = [
            one for one in heard.before if release is None or one.name != LOOK
        ]
        if release is not None and release.more:
            _put_aside(gone, changes)
        elif heard.departure is None:
            inputs += [*timers, *work.rechecks.get(who, [])]
        until = self._outages.heard_until(who.shard) if self._outages is not None else None
        state.read_keys = work.read_keys.get(who, set())
        held = departing.timers_of(state) if heard.departure is not None else []
        before = {one.id: _standing(one) for one in state.enrollments.values()}
        try:
            journeys = self._library.of(state.workspace)
            state, effects = step(
                state,
                inputs,
                now=batch.now,
                journeys=journeys,
                heard_until=until,
                read_until=batch.due.get(who.shard),
                pasts=Pasts(work.pasts.get(who, {}), kept=loaded.kept(who)),
            )
            if heard.departure is None:
                self._collect(who, state, effects, batch, changes)
                self._rouse(who, state, work, release, changes)
            else:
                past = [*loaded.history.get(who, ()), *effects.remembered]
                self._depart(who, state, effects, heard, past, batch, changes)
                changes.timers_gone += [(who, timer) for timer in held]
            _count(state, before, effects, heard, changes)
        except KeysWantedError as wanted:
            del changes.timers_gone[gone:]
            work.more_keys[who].add(wanted.key)
            work.short.add(who)
        except HistoryWantedError as wanted:
            del changes.timers_gone[gone:]
            queries = (wanted.query, *wanted.also)
            work.wanting[who] = [Asked(query, wanted.entered_at) for query in queries]
        except Exception as error:
            logger.exception("A step failed; the contact is parked", contact=who.contact)
            self._park(who, work, error, changes, state.workspace)
            _put_aside(gone, changes)

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
        self._keep(who, work, changes)

    def _keep(self, who: Who, work: _Work, changes: Changes) -> None:
        """Keep for a parked contact what came now, behind what waits already."""
        release = work.releases.get(who)
        came = release.later if release else parking.without_releases(work.events.get(who, []))
        changes.parked_inputs += [ParkedInput(who, one) for _, one in came]

    def _unpark(self, who: Who, release: parking.Release, work: _Work, changes: Changes) -> None:
        changes.unparked.append(Unparked(who, release.number, not release.more))
        if release.more:
            self._keep(who, work, changes)
        changes.outbox += parking.next_order(who, work.events[who], release, self._partitions)

    def _rouse(
        self,
        who: Who,
        state: Contact,
        work: _Work,
        release: parking.Release | None,
        changes: Changes,
    ) -> None:
        """A contact was released, or has come from another shard: see to what it missed."""
        if release is not None:
            self._unpark(who, release, work, changes)
        has_come = any(event.name == TRANSFERRED for event, _ in work.events.get(who, []))
        if has_come or (release is not None and not release.more):
            changes.timers_roused += [(who, one) for one in self._asleep(state, changes.at)]

    def _asleep(self, state: Contact, now: dt.datetime) -> Iterable[Timer]:
        """What came to nothing while the contact was parked, or on its way. It fires as all timers
        do: after what the log holds, of which the release may be the first to be read.
        """
        yield from departing.overdue(state, now)
        paused = self._library.of(state.workspace).paused
        for one in state.enrollments.values():
            if one.held and one.due_at is not None and one.journey not in paused:
                yield Timer(one.due_at, one.id, one.token)

    def _collect(
        self, who: Who, state: Contact, effects: Effects, batch: Batch, changes: Changes
    ) -> None:
        """Turn one contact's effects into rows. Encoding comes first: it alone may fail."""
        outbox = [*self._commands(who, effects, batch), *self._facts(who, effects)]
        moved = [state.enrollments[changed] for changed in effects.enrollments_changed]
        enrollments = [EnrollmentRow(who, state.workspace, one, _encode(one)) for one in moved]
        if effects.profile_changed:
            changes.profiles.append(ProfileRow(who, state.workspace, _encode(state.profile)))
        changes.history += [
            HistoryRow(who, fact, _encode(fact.data).decode()) for fact in effects.remembered
        ]
        changes.calls += [CallRow(who, call, _encode(call)) for call in effects.calls]
        changes.calls_dropped += effects.calls_dropped
        changes.enrollments += enrollments
        for key in effects.keys_changed:
            changes.keys.append((who, key, state.keys[key]))
        changes.timers_gone += [(who, timer) for timer in effects.timers_cleared]
        changes.timers_armed += [(who, timer) for timer in effects.timers_set]
        changes.outbox += outbox
        if effects.decisions:
            changes.decisions.setdefault(who.shard, []).extend(effects.decisions)

    def _depart(
        self,
        who: Who,
        state: Contact,
        effects: Effects,
        heard: departing.Split,
        past: Sequence[Remembered],
        batch: Batch,
        changes: Changes,
    ) -> None:
        """The contact leaves: what it asked for is asked, what it was travels or is forgotten."""
        assert heard.departure is not None
        outbox = [*self._commands(who, effects, batch), *self._facts(who, effects)]
        outbox += departing.moved(who, state, heard.departure, past, self._partitions)
        outbox += departing.sent_on(who, heard.after, heard.departure.into, self._partitions)
        changes.outbox += outbox
        if heard.departure.into is not None:
            changes.calls += [CallRow(who, call, _encode(call)) for call in effects.calls]
            changes.calls_dropped += effects.calls_dropped
        changes.gone.append(departing.gone(who, state.workspace, heard.departure))
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
                yield to_own_contact(
                    who.shard, SENDS, command.workspace, command.contact, _encode(asked)
                )

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
        self._resuming |= set(shards)
        self._resumed = NOWHERE
        await self._resume_more()

    async def _resume_more(self) -> None:
        """A few at a time, so that a million of them need no more memory than a thousand."""
        self._resuming &= self._owned
        if not self._resuming:
            return
        found = await self._store.resumable(self._resuming, self._resumed, TIMERS_PER_BATCH_MAX)
        for who, timer in found:
            self._timers.force(who, timer)
            self._resumed = (who.shard, who.contact, timer.subject)
        if len(found) < TIMERS_PER_BATCH_MAX:
            self._resuming = set()


def _state_of(who: Who, work: _Work, loaded: Loaded) -> Contact | None:
    """A contact as it is kept, or a new one."""
    state = loaded.contacts.get(who)
    if state is None and who in work.workspaces:
        state = Contact(id=who.contact, workspace=work.workspaces[who], profile=Profile())
        state.keys = loaded.keys.get(who, {})
    if state is not None:
        work.workspaces.setdefault(who, state.workspace)
    return state


def _put_aside(since: int, changes: Changes) -> None:
    """The contact's timers of this batch stay in the table: they fire once it is released."""
    changes.timers_aside += changes.timers_gone[since:]
    del changes.timers_gone[since:]


def _standing(one: Enrollment) -> tuple[int, str, str, bool]:
    """Where it is counted: version, status, step or reason, and whether a pause holds it."""
    if one.status == "active":
        return one.version, one.status, one.step or "", one.held
    return one.version, one.status, one.reason or "finished", False


def _count(
    state: Contact,
    before: Mapping[EnrollmentId, tuple[int, str, str, bool]],
    effects: Effects,
    heard: departing.Split,
    changes: Changes,
) -> None:
    """Move the counts from where people stood to where they stand."""
    moved = heard.departure is not None and heard.departure.into is not None
    for name in before if moved else effects.enrollments_changed:
        one = state.enrollments[name]
        places = [(before.get(name), -1), (None if moved else _standing(one), 1)]
        for at, by in places:
            if at is not None:
                version, status, place, held = at
                key = CountKey(state.workspace, one.journey, version, status, place)
                changes.people[key] += by
                changes.held[key] += by if held else 0


def _look_at(portions: Iterable[Portion], work: _Work) -> None:
    """Add the contacts of a sweep to the work of the batch."""
    for portion in portions:
        for who in portion.contacts:
            work.workspaces.setdefault(who, portion.workspace)
            work.rechecks[who].append(Recheck(portion.journey))


def _measure(work: _Work, changes: Changes) -> None:
    """Count what is durable now."""
    whats = Counter(d.what for decisions in changes.decisions.values() for d in decisions)
    for what, count in whats.items():
        DECISIONS.labels(what).inc(count)
    PARKED.inc(len(changes.parked))
    for timers in work.timers.values():
        for timer in timers:
            LATENESS.observe(max(0.0, (changes.at - timer.due_at).total_seconds()))
