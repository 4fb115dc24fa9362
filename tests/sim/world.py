"""One seed, one history: two processes, a few contacts, an hour's mishaps in a minute; then judged.

.venv/bin/python tests/sim/run.py --seed 17     says what happened in that one
"""

import asyncio
import contextvars
import datetime as dt
import gc
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from typing_extensions import override

import chappe.clock
from chappe.broker import Outgoing
from chappe.events import (
    EVENTS,
    JOURNAL,
    SENDS,
    Command,
    Decision,
    Event,
    Identifier,
    Send,
    contact_key,
    decode_journal,
    encode_event,
)
from chappe.events.streams import Stream
from chappe.ids import ContactId, EventId, WorkspaceId, partition_of
from chappe.journey import Pinned, compile_program, read_journey
from chappe.shards import ShardRunner, unwrap, wrap
from chappe.shards.rules import is_new
from chappe_orchestrator.adapters.store import PostgresStore
from chappe_orchestrator.application.library import Library
from chappe_orchestrator.application.ports import KeptInput, Loaded, SweepRow, Wakeup, Who
from chappe_orchestrator.application.processor import Journeying
from chappe_orchestrator.domain import Contact, Enrollment, Journeys, Key, KeyMark, Timer, arrange
from chappe_orchestrator.domain.profile import read_profile
from tests.sim.loop import PROCESS, SimLoop, Stuck, nothing
from tests.sim.places import START, Database, Faults, Log, SimBroker, SimClock, SimPool, now

SHARDS = 4
DEFAULT = WorkspaceId("default")
MISHAPS_UNTIL = 60.0
END = 130.0
STEPS_MAX = 200_000
WAITS = {"a": 12.0, "b": 8.0}

YAML = """
schema: 1
journey: j
trigger: {event: custom.a}
entry: {key: event.k}
exit: [{event: custom.stop, match: {event.k: entry.key}}]
steps:
  - {id: w, wait: {time: PT12S, restart: true}}
  - {send: {template: a}}
  - {id: v, wait: PT8S}
  - {send: {template: b}}
"""

_command = msgspec.json.Decoder(Command).decode
_enrollment = msgspec.json.Decoder(Enrollment).decode


def _journeys() -> Journeys:
    pinned = {n: Pinned(f"{n}@1", marketing=True, topic="offers") for n in ("a", "b")}
    return arrange([compile_program(read_journey(YAML), version=1, templates=pinned)])


JOURNEYS = _journeys()


class SimLibrary(Library):
    """One journey, for ever."""

    def __init__(self) -> None:
        self.generation = -1
        self._journeys = {DEFAULT: JOURNEYS}

    @override
    async def reload(self) -> None:
        self.generation = 1


class SimStore(PostgresStore):
    """Reads from the simulated tables; writes by the statement that production writes by."""

    def __init__(self, pool: SimPool, database: Database, faults: Faults) -> None:
        super().__init__(cast("Any", pool))
        self._database = database
        self._faults = faults

    @override
    async def load(
        self, contacts: Sequence[Who], keys: Collection[tuple[Who, Key]], now: dt.datetime
    ) -> Loaded:
        await self._faults.trip()
        loaded, database = Loaded(generation=1), self._database
        for who in contacts:
            held = database.profiles.get(who)
            if who in database.gone:
                loaded.gone[who] = cast("Any", database.gone[who])
            if who in database.parked:
                loaded.parked.add(who)
            if held is not None:
                workspace, doc = held
                state = Contact(who.contact, WorkspaceId(workspace), read_profile(doc))
                found = [e for e in self._of(who) if e.status == "active" or _watched(e, now)]
                state.enrollments = {e.id: e for e in found}
                loaded.contacts[who] = state
        for who, key in keys:
            mark = database.keys.get((who.shard, who.contact, key.journey, key.value))
            if mark is not None:
                loaded.keys.setdefault(who, {})[key] = KeyMark(*mark)
        for who, state in loaded.contacts.items():
            state.keys = loaded.keys.get(who, {})
        await self._faults.trip()
        return loaded

    @override
    async def everything(
        self, contacts: Sequence[Who]
    ) -> dict[Who, tuple[list[Enrollment], dict[Key, KeyMark]]]:
        await self._faults.trip()
        return {
            who: (
                self._of(who),
                {
                    Key(*key[2:]): KeyMark(*mark)
                    for key, mark in self._database.keys.items()
                    if key[:2] == who
                },
            )
            for who in contacts
        }

    def _of(self, who: Who) -> list[Enrollment]:
        held = self._database.enrollments.items()
        found = [_enrollment(doc) for key, doc in held if key[:2] == who]
        return sorted(found, key=lambda one: (one.entered_at, one.id))

    @override
    async def timers(self, after: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        await self._faults.trip()
        found: dict[int, list[Wakeup]] = {}
        for (shard, due, kind, subject, token), contact in sorted(self._database.timers.items()):
            if shard in after and due >= after[shard]:
                wakeup = Wakeup(Timer(due, subject, token, kind), ContactId(contact))
                found.setdefault(shard, []).append(wakeup)
        return found

    @override
    async def sweeps(self, shards: Iterable[int]) -> list[SweepRow]:
        return []

    @override
    async def resumable(
        self, shards: Iterable[int], after: tuple[int, str, str], limit: int
    ) -> list[tuple[Who, Timer]]:
        return []

    @override
    async def parked_inputs(self, contacts: Sequence[Who], limit: int) -> list[KeptInput]:
        return []


def _watched(one: Enrollment, at: dt.datetime) -> bool:
    return one.watch_until is not None and one.watch_until > at


# -- what is to happen ----------------------------------------------------------------------------


@dataclass
class Said:
    """One fact of the world outside, and when it goes to the log."""

    at: float
    event: Event


@dataclass
class Script:
    said: list[Said] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


def _script(lot: random.Random) -> Script:
    script = Script()
    people = [f"c{n}" for n in range(5)]
    number = 0

    def say(at: float, contact: str, name: str, data: dict[str, Any]) -> None:
        nonlocal number
        number += 1
        event = Event(
            id=EventId(f"e{number}"),
            name=name,
            workspace=DEFAULT,
            occurred_at=START,
            received_at=START,
            contact=ContactId(contact),
            identifiers=(Identifier("email", f"{contact}@example.com"),),
            data=data,
        )
        script.said.append(Said(at, event))

    for contact in people:
        for which in range(lot.randrange(1, 3)):
            key, at = f"{contact}-{which}", lot.uniform(0, 30)
            script.keys.add(key)
            say(at, contact, "custom.a", {"k": key})
            if lot.random() < 0.5:  # again, close to the end of its wait, which begins anew
                say(at + WAITS["a"] + lot.uniform(-0.5, 0.3), contact, "custom.a", {"k": key})
            if lot.random() < 0.5:
                script.stopped.add(key)
                late = lot.choice((-5, -0.3, 0.0, WAITS["a"] - 0.2, WAITS["a"], 40))
                say(max(0, at + late), contact, "custom.stop", {"k": key})
    if lot.random() < 0.4:
        old, new = lot.sample(people, 2)
        at = lot.uniform(5, 40)
        for contact in (old, new):
            say(at, contact, "contact.merged", {"from": old, "into": new})
    script.said.sort(key=lambda one: one.at)
    return script


# -- the world ------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What one seed came to."""

    seed: int
    violations: list[str]
    crash_points: set[int]
    crashes: int
    steps: int
    commits: int


class World:
    """Everything of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.lot = random.Random(seed)
        self.loop = SimLoop(random.Random(f"{seed} steps"))
        self.loop.before_step = self._before_step
        self.faults = Faults(random.Random(f"{seed} faults"))
        self.log = Log(SHARDS)
        self.database = Database(SHARDS)
        self.script = _script(self.lot)
        self.crash_points: set[int] = set()
        self.crashes = 0
        self._doomed: dict[str, int] = {}
        self._alive: dict[str, str] = {}
        self._births = 0
        self._errors: list[str] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def run(self) -> Outcome:
        asyncio.set_event_loop(self.loop)
        try:
            try:
                self.loop.run_until_complete(self._live())
            except Stuck:
                self._errors.append("nothing moved any more")
            found = [*self._errors, *self.database.violations, *judge(self)]
            self._bury()
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
        return Outcome(
            self.seed, found, self.crash_points, self.crashes, self.loop.steps,
            self.database.commits,
        )  # fmt: skip

    async def _live(self) -> None:
        for slot in ("one", "two"):
            self._begin(slot)
        world = [asyncio.ensure_future(self._say()), asyncio.ensure_future(self._mishaps())]
        await asyncio.sleep(MISHAPS_UNTIL)
        self.faults.on = False
        await asyncio.gather(*world)
        await asyncio.sleep(END - MISHAPS_UNTIL)

    # -- processes

    def _begin(self, slot: str) -> None:
        self._births += 1
        process = f"{slot}{self._births}"
        self._alive[slot] = process
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        self._tasks.append(
            self.loop.create_task(self._process(slot, process), context=context, name=process)
        )

    async def _process(self, slot: str, me: str) -> None:
        broker, pool = SimBroker(self.log, self.faults), SimPool(self.database, self.faults)
        processor = Journeying(
            store=SimStore(pool, self.database, self.faults),
            library=SimLibrary(),
            partitions=SHARDS,
            positions=lambda _: {},
        )
        runner = ShardRunner(
            processor, broker=broker, pool=cast("Any", pool), clock=SimClock(), me=me
        )
        try:
            await runner.run()
        except Exception as error:  # noqa: BLE001 - a process that ends is started again
            if self.faults.over:
                return
            self._note(error)
            self.loop.call_later(1.0, self._reborn, slot, me)

    def _note(self, error: BaseException) -> None:
        """A lost connection ends a process, and may; anything else is a fault of ours."""
        parts: Sequence[Any] = (error,)
        if isinstance(error, BaseExceptionGroup):
            parts = cast("Any", error).exceptions
        for one in parts:
            if isinstance(one, BaseExceptionGroup):
                self._note(cast("Any", one))
            elif not isinstance(one, OSError):
                self._errors.append(f"a process ended: {one!r}")

    def _reborn(self, slot: str, was: str) -> None:
        if self._alive.get(slot) == was and not self.faults.over:
            contextvars.Context().run(self._begin, slot)

    def _before_step(self, process: str, task: asyncio.Task[Any] | None) -> None:
        if self.loop.steps > STEPS_MAX:
            raise RuntimeError(f"seed {self.seed}: more than {STEPS_MAX} steps")
        if process not in self._doomed or task is None:
            return
        self._doomed[process] -= 1
        if self._doomed[process] <= 0:
            del self._doomed[process]
            self.crashes += 1
            self.crash_points.add(hash(_stack(task)))
            self.loop.dead.add(process)
            slot = next((s for s, p in self._alive.items() if p == process), None)
            if slot is not None:
                self.loop.call_later(
                    self.lot.uniform(0.1, 8.0), self._reborn, slot, process,
                    context=contextvars.Context(),
                )  # fmt: skip

    # -- the world outside

    async def _say(self) -> None:
        for one in self.script.said:
            await asyncio.sleep(max(0.0, one.at - self.loop.time()))
            assert one.event.contact is not None
            key = contact_key(DEFAULT, one.event.contact)
            event = msgspec.structs.replace(one.event, received_at=now(), occurred_at=now())
            record = Outgoing(partition_of(key, SHARDS), key, wrap(encode_event(event)))
            for _ in range(2 if self.lot.random() < 0.2 else 1):
                self.log.land(EVENTS, record)

    async def _mishaps(self) -> None:
        while self.loop.time() < MISHAPS_UNTIL - 10:
            await asyncio.sleep(self.lot.uniform(0.5, 8.0))
            victim = self._alive[self.lot.choice(("one", "two"))]
            what = self.lot.random()
            if what < 0.5:
                # So many steps from now: wherever that is.
                self._doomed[victim] = self.lot.randrange(1, 80)
            elif what < 0.75:
                self.loop.freeze(victim, self.lot.choice((0.5, 3.0, 12.0)))
            else:
                for lease in self.lot.sample(self.database.leases, 2):
                    lease.lease_until = START

    def _bury(self) -> None:
        """Let the dead run to their end, where nothing they do counts."""
        self.faults.over = True
        self.loop.raise_the_dead()
        self.loop.before_step = nothing
        for _ in range(50):
            left = asyncio.all_tasks(self.loop)
            if not left:
                break
            for task in left:
                task.cancel()
            try:
                self.loop.run_until_complete(asyncio.wait(left, timeout=5))
            except Stuck:
                break


def _stack(task: asyncio.Task[Any]) -> tuple[tuple[str, int], ...]:
    """Where a task waits: every frame from its coroutine to the innermost await."""
    found: list[tuple[str, int]] = []
    at: Any = task.get_coro()
    while at is not None:
        frame = getattr(at, "cr_frame", None) or getattr(at, "ag_frame", None)
        if frame is not None:
            found.append((frame.f_code.co_qualname, frame.f_lineno))
        at = getattr(at, "cr_await", None) or getattr(at, "ag_await", None)
    return tuple(found)


# -- what must hold -------------------------------------------------------------------------------


def _read(world: World, stream: Stream) -> list[tuple[dt.datetime, bytes]]:
    """A stream as any reader applies it: what is not newer from its producer's shard is dropped."""
    found: list[tuple[dt.datetime, bytes]] = []
    for partition in range(SHARDS):
        seen: dict[tuple[Any, ...], int] = {}
        for at, record in world.log.records[stream, partition]:
            stamp, body = unwrap(record.value)
            if stamp is not None:
                if not is_new(seen.get(stamp[:3]), stamp.seq):
                    continue
                seen[stamp[:3]] = stamp.seq
            found.append((at, body))
    return found


def judge(world: World) -> list[str]:
    """Everything that is wrong with what came of it."""
    return [
        *_asked_once(world),
        *_nothing_lost(world),
        *_nothing_left(world),
        *_in_order(world),
        *_events_before_timers(world),
    ]


def _asked_once(world: World) -> Iterable[str]:
    asked = Counter(send.message for send in _sends(world))
    for message, times in asked.items():
        if times > 1:
            yield f"message {message} was asked for {times} times"


def _sends(world: World) -> list[Send]:
    commands = (_command(body) for _, body in _read(world, SENDS))
    return [one for one in commands if isinstance(one, Send)]


def _nothing_lost(world: World) -> Iterable[str]:
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for send in _sends(world):
        by_key[send.snapshot.event["k"]].append(send.step)
    for key in sorted(world.script.keys - world.script.stopped):
        if sorted(by_key[key]) != ["a", "b"]:
            yield f"key {key} was sent {sorted(by_key[key])}"
    for name in ("custom.a", "custom.stop"):
        counters = [read_profile(d).counters.get(name) for _, d in world.database.profiles.values()]
        counted = sum(one.total for one in counters if one is not None)
        told = sum(1 for one in world.script.said if one.event.name == name)
        if counted != told:
            yield f"{told} facts {name} were told, {counted} were counted"
    if world.database.parked:
        yield f"parked: {world.database.parked}"
    if world.database.letters:
        yield f"dead letters: {world.database.letters}"


def _nothing_left(world: World) -> Iterable[str]:
    database = world.database
    held = {key: _enrollment(doc) for key, doc in database.enrollments.items()}
    for (shard, due, _, subject, token), contact in database.timers.items():
        one = held.get((shard, contact, subject))
        if one is None or one.status != "active":
            yield f"a timer due {due} stands for an enrollment that has ended"
        elif one.token != token:
            yield f"a timer of token {token} stands beside one of {one.token}"
    for one in held.values():
        if one.status == "active":
            yield f"{one.key} never ended"
    counts = Counter((e.journey, e.version, e.status, e.reason) for e in held.values())
    kept = Counter({key: people for key, people in database.counts.items() if people})
    if counts != kept:
        yield f"counted {dict(kept)}, there are {dict(counts)}"
    for shard, lease in enumerate(database.leases):
        behind = len(world.log.records[EVENTS, shard])
        if f'"{EVENTS}": {behind}' not in lease.next_offsets and behind:
            yield f"shard {shard} stands at {lease.next_offsets} of {behind}"


def _in_order(world: World) -> Iterable[str]:
    """Of each enrollment: nothing is asked after it was left, and no wait ends before its time."""
    decisions: defaultdict[str, list[Decision]] = defaultdict(list)
    for _, body in _read(world, JOURNAL):
        for one in decode_journal(body).decisions:
            if one.enrollment is not None:
                decisions[one.enrollment].append(one)
    for name, said in decisions.items():
        ended, until = False, START
        # Of two shards, after a merge: by the clock, each shard's own order kept.
        for one in sorted(said, key=lambda each: each.at):
            if one.what == "asked" and ended:
                yield f"{name}: asked for {one.step} after it was left"
            if one.what in ("waiting", "restarted"):
                until = dt.datetime.fromisoformat(one.seen["until"])
            if one.what == "wait_over" and one.reason == "time" and one.at < until:
                yield f"{name}: the wait {one.step} was over at {one.at}, not at {until}"
            ended = ended or one.what in ("exited", "finished")


def _events_before_timers(world: World) -> Iterable[str]:
    """What was in the log before a mail was due has been heard when it is asked for."""
    merged = any(one.event.name == "contact.merged" for one in world.script.said)
    landed: dict[str, dt.datetime] = {}
    for partition in range(SHARDS):
        for at, record in world.log.records[EVENTS, partition]:
            event = msgspec.json.decode(unwrap(record.value)[1], type=Event)
            if event.name == "custom.stop":
                landed.setdefault(event.data["k"], at)
    for send in [] if merged else _sends(world):
        stopped = landed.get(send.snapshot.event["k"])
        if stopped is not None and stopped < send.due_at:
            yield f"{send.step} was asked for at {send.asked_at}, its key closed at {stopped}"


# -- from outside ---------------------------------------------------------------------------------


class _Time:
    """``time`` as the kernel's clock sees it."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()


@contextmanager
def imagined_time() -> Generator[None]:
    """The kernel's monotonic clock is the loop's."""
    real = chappe.clock.time
    chappe.clock.time = cast("Any", _Time)
    try:
        yield
    finally:
        chappe.clock.time = real


def simulate(seed: int) -> Outcome:
    """Live through one seed. The same seed is the same history."""
    with imagined_time():
        outcome = World(seed).run()
    if seed % 100 == 0:
        gc.collect()
    return outcome
