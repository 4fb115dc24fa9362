"""One seed, one history: two processes, a few contacts, an hour's mishaps in a minute; then judged.

.venv/bin/python tests/sim/run.py --seed 17     says what happened in that one
"""

import asyncio
import contextvars
import gc
import random
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import msgspec

import chappe.clock
from chappe.broker import Outgoing
from chappe.events import EVENTS, EVENTS_BULK, Event, contact_key, encode_event
from chappe.events.streams import Stream
from chappe.ids import ContactId, EventId, partition_of
from chappe.shards import ShardRunner, wrap
from chappe_orchestrator.application import processor as processing
from chappe_orchestrator.application.processor import Journeying
from chappe_orchestrator.domain.orders import RELEASE, UPGRADE
from tests.sim.database import Database
from tests.sim.faults import START, Faults, SimClock, now
from tests.sim.journeys import DEFAULT, MOVES, stored
from tests.sim.judge import Past, judge
from tests.sim.log import Log, SimBroker
from tests.sim.loop import PROCESS, SimLoop, Stuck, nothing
from tests.sim.pool import SimPool
from tests.sim.script import MISHAPS_UNTIL, write
from tests.sim.store import SimLibrary, SimStore, read_enrollment

SHARDS = 4
RELEASED_UNTIL = 100.0
END = 130.0
STEPS_MAX = 200_000
SLOTS = ("one", "two")


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
        self.script = write(self.lot)
        self.crash_points: set[int] = set()
        self.crashes = 0
        self._doomed: dict[str, int] = {}
        self._alive: dict[str, str] = {}
        self._runners: dict[str, ShardRunner] = {}
        self._births = 0
        self._orders = 0
        self._errors: list[str] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def run(self) -> Outcome:
        asyncio.set_event_loop(self.loop)
        try:
            try:
                self.loop.run_until_complete(self._live())
            except Stuck:
                self._errors.append("nothing moved any more")
            past = Past(self.script, self.log, self.database)
            found = [*self._errors, *self.database.violations, *judge(past)]
        finally:
            self._bury()
            asyncio.set_event_loop(None)
            self.loop.close()
        return Outcome(
            self.seed, found, self.crash_points, self.crashes, self.loop.steps,
            self.database.commits,
        )  # fmt: skip

    async def _live(self) -> None:
        self._publish("cart", "notes", "odd")
        if not self.script.watching_from:
            self._publish("silent", "dates")
        for slot in SLOTS:
            self._begin(slot)
        happening = (self._say(), self._mishaps(), self._operate(), self._upgrade(), self._free())
        world = [asyncio.ensure_future(one) for one in happening]
        await asyncio.sleep(MISHAPS_UNTIL)
        self.faults.on = False
        await asyncio.gather(*world)
        await asyncio.sleep(END - self.loop.time())

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
            library=SimLibrary(self.database, self.faults),
            partitions=SHARDS,
            positions=lambda _: {},
        )
        runner = ShardRunner(
            processor, broker=broker, pool=cast("Any", pool), clock=SimClock(), me=me
        )
        self._runners[slot] = runner
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(processor.watch(runner.wake))
                await runner.run()
                watch.cancel()
        except Exception as error:  # noqa: BLE001 - a process that ends is started again
            if not self.faults.over:
                self._note(error)
        if not self.faults.over:
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

    async def _mishaps(self) -> None:
        while self.loop.time() < MISHAPS_UNTIL - 10:
            await asyncio.sleep(self.lot.uniform(0.5, 8.0))
            slot = self.lot.choice(SLOTS)
            victim = self._alive[slot]
            what = self.lot.random()
            if what < 0.45:
                # So many steps from now: wherever that is.
                self._doomed[victim] = self.lot.randrange(1, 80)
            elif what < 0.7:
                self.loop.freeze(victim, self.lot.choice((0.5, 3.0, 12.0)))
            elif what < 0.8:
                # A new release of it: its shards are given back first.
                await self._runners[slot].stop()
            else:
                for lease in self.lot.sample(self.database.leases, 2):
                    lease.lease_until = START

    # -- the world outside

    def _land(self, stream: Stream, event: Event) -> None:
        assert event.contact is not None
        key = contact_key(DEFAULT, event.contact)
        heard = msgspec.structs.replace(event, received_at=now(), occurred_at=now())
        self.log.land(stream, Outgoing(partition_of(key, SHARDS), key, wrap(encode_event(heard))))

    async def _say(self) -> None:
        for one in self.script.said:
            await self._until(one.at)
            for _ in range(2 if self.lot.random() < 0.2 else 1):
                self._land(EVENTS, one.event)

    def _publish(self, *names: str, version: int = 1) -> None:
        kept = self.database.kept
        kept.versions += [stored(name, version) for name in names]
        kept.generation += 1

    def _pause(self, *, paused: bool) -> None:
        self.database.kept.paused = {"cart"} if paused else set()
        self.database.kept.generation += 1

    def _cure(self) -> None:
        """What the contact could not survive is mended, by another release of the program."""
        self.database.cured = True

    async def _operate(self) -> None:
        script = self.script
        plan: list[tuple[float, Callable[[], None]]] = [(script.cured, self._cure)]
        for begin, end in script.pauses:
            plan += [(begin, lambda: self._pause(paused=True))]
            plan += [(end, lambda: self._pause(paused=False))]
        if script.watching_from:
            plan.append((script.watching_from, lambda: self._publish("silent", "dates")))
        if script.published is not None:
            plan.append((script.published, lambda: self._publish("cart", version=2)))
        for at, what in sorted(plan, key=lambda one: one[0]):
            await self._until(at)
            what()

    async def _upgrade(self) -> None:
        """Everybody inside is asked to change version, and again: some may be on their way."""
        if self.script.upgraded is None:
            return
        await self._until(self.script.upgraded)
        for _ in range(4):
            for (_, contact), held in list(self.database.enrollments.items()):
                for one in map(read_enrollment, list(held.values())):
                    if (one.journey, one.status, one.version) == ("cart", "active", 1):
                        data = {"enrollment": one.id, "to": 2, "moves": MOVES}
                        self._order(EVENTS_BULK, UPGRADE, contact, data)
            await asyncio.sleep(4.0)

    async def _free(self) -> None:
        """Whoever is parked is released, again and again: before the cure it does not help."""
        while self.script.poisoned and self.loop.time() < RELEASED_UNTIL:
            await asyncio.sleep(self.lot.uniform(1.0, 5.0))
            for _, contact in list(self.database.parked):
                self._order(EVENTS, RELEASE, contact, {})

    def _order(self, stream: Stream, name: str, contact: str, data: dict[str, Any]) -> None:
        self._orders += 1
        event = Event(
            id=EventId(f"o{self._orders}"),
            name=name,
            workspace=DEFAULT,
            occurred_at=START,
            received_at=START,
            contact=ContactId(contact),
            data=data,
        )
        self._land(stream, event)

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self.loop.time()))

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


# -- from outside ---------------------------------------------------------------------------------


class _Time:
    """``time`` as the kernel's clock sees it."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()


@contextmanager
def _imagined(world: World) -> Generator[None]:
    """The kernel's monotonic clock is the loop's, and the core stumbles over some events."""
    clock, step = chappe.clock.time, processing.step

    def stumbling(state: Any, inputs: Sequence[Any], **more: Any) -> Any:
        if not world.database.cured:
            for one in inputs:
                if isinstance(one, Event) and one.name == "custom.bad":
                    raise ValueError("an event that nobody foresaw")
        return step(state, inputs, **more)

    chappe.clock.time = cast("Any", _Time)
    processing.step = stumbling
    try:
        yield
    finally:
        chappe.clock.time, processing.step = clock, step


def simulate(seed: int) -> Outcome:
    """Live through one seed. The same seed is the same history."""
    world = World(seed)
    with _imagined(world):
        outcome = world.run()
    if seed % 100 == 0:
        gc.collect()
    return outcome
