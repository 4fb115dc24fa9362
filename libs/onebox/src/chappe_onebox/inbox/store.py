"""Store mails in groups: whoever waits while the disk is busy shares the next flush.

One thread writes and one reads; both sleep until there is something to do.
"""

import asyncio
import itertools
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from chappe_onebox.inbox.database import Counts, Reader, Writer, connect
from chappe_onebox.inbox.listing import NewMail

T = TypeVar("T")

FILE_NAME: Final = "inbox.sqlite3"
GROUP_MAX: Final = 256

logger = logging.getLogger(__name__)

#: Told the id of the stored mail, or None when the disk refused it.
Done: TypeAlias = Callable[[int | None], None]


@dataclass(frozen=True, slots=True)
class _Add:
    mail: NewMail
    done: Done


@dataclass(frozen=True, slots=True)
class _Call:
    run: Callable[[Writer], Any]
    future: asyncio.Future[Any]


class Store:
    """The inbox's mails. Its methods belong to the event loop it was made in."""

    def __init__(self, directory: Path, *, mails_kept: int, on_change: Callable[[], None]) -> None:
        path = directory / FILE_NAME
        self._loop = asyncio.get_running_loop()
        self._on_change = on_change
        self._writer = Writer(connect(path), mails_kept=mails_kept)
        self._reader = Reader(connect(path))
        self._reading = ThreadPoolExecutor(1, "inbox-read")
        self._jobs: queue.SimpleQueue[_Add | _Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="inbox-write", daemon=True)
        self._thread.start()
        self.counts = self._writer.counts
        self.pending = 0
        """Mails handed in and not yet stored."""

    def add(self, mail: NewMail, done: Done) -> None:
        """Store one mail with the next group; ``done`` is called in the loop once it is durable."""
        self.pending += 1
        self._jobs.put(_Add(mail, done))

    async def write(self, run: Callable[[Writer], T]) -> T:
        """Run after everything handed in before."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Call(run, future))
        return await future

    async def read(self, run: Callable[[Reader], T]) -> T:
        """Run beside the writing; sees what is committed."""
        return await self._loop.run_in_executor(self._reading, run, self._reader)

    async def close(self) -> None:
        """Finish what was handed in, then let go of the file."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._reading.shutdown)
        self._reader.close()
        self._writer.close()

    def _work(self) -> None:
        jobs: list[_Add | _Call | None] = []
        while None not in jobs:
            jobs = [self._jobs.get()]
            with suppress(queue.Empty):
                while len(jobs) < GROUP_MAX:
                    jobs.append(self._jobs.get_nowait())
            for kind, group in itertools.groupby(jobs, type):
                if kind is _Add:
                    self._add_group([job for job in group if isinstance(job, _Add)])
                elif kind is _Call:
                    for job in group:
                        assert isinstance(job, _Call)
                        self._call(job)

    def _add_group(self, group: Sequence[_Add]) -> None:
        ids: Sequence[int | None]
        try:
            ids = self._writer.add([job.mail for job in group])
        except sqlite3.Error as error:
            logger.warning("Mails not stored", extra={"mails": len(group), "error": str(error)})
            ids = [None] * len(group)
        self._tell(self._added, group, ids, self._writer.counts)

    def _call(self, job: _Call) -> None:
        try:
            result = job.run(self._writer)
        except sqlite3.Error as error:
            self._tell(_fail, job.future, error)
        else:
            self._tell(self._called, job.future, result, self._writer.counts)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is gone, and whoever waited with it
            self._loop.call_soon_threadsafe(what, *arguments)

    def _added(self, group: Sequence[_Add], ids: Sequence[int | None], counts: Counts) -> None:
        self.counts = counts
        self.pending -= len(group)
        for job, number in zip(group, ids, strict=True):
            job.done(number)
        self._on_change()

    def _called(self, future: asyncio.Future[Any], result: object, counts: Counts) -> None:
        changed = counts != self.counts
        self.counts = counts
        if not future.done():
            future.set_result(result)
        if changed:
            self._on_change()


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
