"""Run until told to stop, and leave nothing behind."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from socket import socket

import structlog

from chappe.service import Service
from chappe_onebox.box.web import WebServer

STOP_SECONDS_MAX = 20.0
GC_OBJECTS = 100_000
"""New objects between two collections of the youngest; Python's own is 700."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Stop:
    """The wish to stop. Before the start is done it interrupts it; a second one does not wait."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = False
    asked: int = 0

    def listen(self) -> None:
        """Take the signals of this process; the current task is the one that is interrupted."""
        task = asyncio.current_task()
        assert task is not None
        for number in SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup
            asyncio.get_running_loop().add_signal_handler(number, self._ask, task)

    def _ask(self, task: "asyncio.Task[object]") -> None:
        self.asked += 1
        if self.asked == (2 if self.ready else 1):  # once: the clean-up is not interrupted
            task.cancel()
        self.event.set()


@dataclass(frozen=True, slots=True)
class Listening:
    """A server with the socket it is to serve."""

    server: WebServer
    socket: socket


async def live(
    services: Sequence[Service],
    listening: Sequence[Listening],
    *,
    stop: Stop,
    when_running: Callable[[], Awaitable[None]],
    when_stopping: Callable[[], None] = lambda: None,
    guards: Sequence[Callable[[], Coroutine[None, None, None]]] = (),
) -> None:
    """Run all of it; ``when_running`` returns once it is ready to be used. A guard raises when
    something we stand on is gone.

    Anything unexpected in one of them ends all of them, and is raised.
    """

    async def run(service: Service) -> None:
        await service.run()
        if not stop.event.is_set():
            raise RuntimeError(f"{service.name} ended by itself")

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run(each), name=each.name) for each in services]
        serving = [
            tasks.create_task(each.server.run_on(each.socket), name=each.server.name)
            for each in listening
        ]
        watching = [tasks.create_task(guard()) for guard in guards]
        await when_running()
        settle_memory()
        stop.ready = True
        await stop.event.wait()
        logger.info("Stopping")
        when_stopping()
        for watch in watching:
            watch.cancel()
        for each in listening:
            each.server.leave()
        for service in services:
            await service.stop()
        _, late = await asyncio.wait([*running, *serving], timeout=STOP_SECONDS_MAX)
        for task in late:
            logger.warning("Did not stop in time", task=task.get_name())
            task.cancel()


def settle_memory() -> None:
    """What is alive now stays: collections need not look at it again, and come more seldom.

    A batch makes thousands of objects that die with it; looking for cycles among them costs a
    fifth of the time, and finds none.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, *gc.get_threshold()[1:])


async def wait_until_good(
    look: Callable[[], Awaitable[dict[str, str]]], seconds_max: float
) -> None:
    """Look until every check is ``ok``. Raises ``TimeoutError`` naming those that are not."""
    results: dict[str, str] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds_max):
            while True:
                results = await look()
                if all(result == "ok" for result in results.values()):
                    return
                await asyncio.sleep(0.05)
    bad = "; ".join(f"{name}: {result}" for name, result in results.items() if result != "ok")
    raise TimeoutError(f"not ready after {seconds_max:.0f} s: {bad or 'no answer'}")
