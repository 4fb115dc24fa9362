"""An event loop whose clock is imagined and whose every step is drawn from one seed.

Whatever may run next is drawn by lot; when nothing may run, time jumps to the next timer. A process
is a name in a context variable: it can be killed between any two steps, or held still for a while.
"""

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from typing_extensions import override

PROCESS: contextvars.ContextVar[str] = contextvars.ContextVar("process", default="")


STEP_SECONDS = 1e-6
"""What a step takes: without it, whoever waits for less than a float can tell waits for ever."""


class Stuck(Exception):
    """Nothing may run, and nothing ever will."""


def nothing(_process: str, _task: asyncio.Task[Any] | None) -> None:
    """A step that nobody watches."""


class SimTask(asyncio.Task[Any]):
    """A task whose place in a set is its number, not its address."""

    def __init__(self, *given: Any, number: int, **named: Any) -> None:
        self._number = number
        super().__init__(*given, **named)

    @override
    def __hash__(self) -> int:
        return self._number

    @override
    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.BaseEventLoop):
    """``before_step`` is called with the process and the task that are about to take a step."""

    _ready: deque[Any]
    _scheduled: list[Any]
    _stopping: bool
    _timer_cancelled_count: int

    def __init__(self, lot: random.Random) -> None:
        super().__init__()
        self._lot = lot
        self._tasks_made = 0
        self.set_task_factory(self._make)
        self._instant = 0.0
        self._frozen: dict[str, list[Any]] = {}
        self._left: list[Any] = []
        self.dead: set[str] = set()
        self.steps = 0
        self.before_step: Callable[[str, asyncio.Task[Any] | None], None] = nothing

    def _make(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **named: Any
    ) -> "asyncio.Task[Any]":
        self._tasks_made += 1
        return SimTask(coro, loop=loop, number=self._tasks_made, **named)

    @override
    def time(self) -> float:
        return self._instant

    def freeze(self, process: str, seconds: float) -> None:
        """Hold a process still, as a machine that swaps or a debugger does."""
        if process not in self._frozen:
            self._frozen[process] = []
            self.call_later(seconds, self._thaw, process)

    def raise_the_dead(self) -> None:
        """What they would have done next is ready again: to be cancelled, not to be leaked."""
        self.dead.clear()
        for held in self._frozen.values():
            self._left += held
        self._frozen = {}
        self._ready.extend(self._left)
        self._left = []

    def _thaw(self, process: str) -> None:
        self._ready.extend(self._frozen.pop(process, ()))

    def _run_once(self) -> None:
        self._collect()
        if not self._ready:
            return
        ready = self._ready
        if len(ready) == 1:
            handle = ready.popleft()
        else:
            at = int(self._lot.random() * len(ready))
            handle = ready[at]
            del ready[at]
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS, "")
        if process in self.dead:
            self._left.append(handle)
            return
        if process in self._frozen:
            self._frozen[process].append(handle)
            return
        self.steps += 1
        self._instant += STEP_SECONDS
        task: Any = getattr(handle._callback, "__self__", None)
        self.before_step(process, task if isinstance(task, SimTask) else None)
        if process in self.dead:
            self._left.append(handle)
        else:
            handle._run()

    def _collect(self) -> None:
        """Timers that are due become ready; when nothing is, the clock jumps."""
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(timers)._scheduled = False
        if not self._ready and not self._stopping:
            if not timers:
                raise Stuck
            self._instant = max(self._instant, timers[0]._when)
        while timers and timers[0]._when <= self._instant:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            self._ready.append(timer)

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: no file, no socket."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""
