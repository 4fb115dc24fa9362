"""Time limits for what happens thousands of times a second.

``asyncio.timeout`` gives every block a timer of its own, which costs a busy door a fifth of its
time. All blocks of one ``Deadlines`` have the same limit, so they run out in the order in which
they began, and one slow tick looks at the oldest.
"""

import asyncio
from types import TracebackType
from typing import Any, Final, Self

TICKS: Final = 10
"""A limit is kept to a tenth of itself: never early, at most that much late."""


class Deadlines:
    """``with deadlines.limit(): …`` raises ``TimeoutError`` when the block takes longer.

    Belongs to one event loop. Like ``asyncio.timeout``, it cancels the task from inside, and a
    cancellation from elsewhere stays one.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: dict[_Limit, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def limit(self) -> "_Limit":
        return _Limit(self)

    def begin(self, limit: "_Limit") -> asyncio.Task[Any]:
        """Count ``limit`` from now on, for the task that runs."""
        # Kept, because asking for the running loop is a system call before Python 3.12.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a limit is kept inside a task"
        limit.ends_at = loop.time() + self.seconds
        self._running[limit] = None
        if self._timer is None:
            self._timer = loop.call_later(self.seconds / TICKS, self._tick, loop)
        return task

    def end(self, limit: "_Limit") -> None:
        self._running.pop(limit, None)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._running:
            oldest = next(iter(self._running))
            if oldest.ends_at > now:
                break
            del self._running[oldest]
            oldest.run_out()
        self._timer = (
            loop.call_later(self.seconds / TICKS, self._tick, loop) if self._running else None
        )


class _Limit:
    __slots__ = ("_asked", "_deadlines", "_ran_out", "_task", "ends_at")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._ran_out = False

    def __enter__(self) -> Self:
        self._task = self._deadlines.begin(self)
        self._asked = self._task.cancelling()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadlines.end(self)
        if (
            self._ran_out
            and self._task.uncancel() <= self._asked
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def run_out(self) -> None:
        self._ran_out = True
        self._task.cancel()
