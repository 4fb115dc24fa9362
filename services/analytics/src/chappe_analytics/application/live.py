"""Who watches: every line of a timeline, as this process applies it.

A watcher that does not keep up loses lines, and is told how many; it never slows the batches.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress

import msgspec

from chappe.ids import WorkspaceId
from chappe_analytics import metrics
from chappe_analytics.application.ports import ContactKey
from chappe_analytics.domain.timeline import Entry

WATCHERS_MAX = 100
QUEUE_LINES_MAX = 1_000
ADDRESSES_MAX = 10_000

_encode = msgspec.json.Encoder(decimal_format="string").encode


class TooManyWatchers(Exception):
    """``WATCHERS_MAX`` are watching already."""


class Watcher:
    """One who watches. ``dropped`` lines were lost since the last ``take``."""

    def __init__(self, workspace: WorkspaceId) -> None:
        self.workspace = workspace
        self.lines: deque[bytes] = deque()
        self.dropped = 0
        self.woken = asyncio.Event()

    def offer(self, line: bytes) -> None:
        if len(self.lines) >= QUEUE_LINES_MAX:
            self.dropped += 1
            metrics.LIVE_DROPPED.inc()
        else:
            self.lines.append(line)

    def take(self) -> tuple[list[bytes], int]:
        """What has come, and how many lines were lost after it."""
        lines, dropped = list(self.lines), self.dropped
        self.lines.clear()
        self.dropped = 0
        return lines, dropped

    async def wait(self, seconds: float) -> None:
        """Until something was committed, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()
        self.woken.clear()


class Live:
    """All who watch this process."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._addresses: OrderedDict[ContactKey, str] = OrderedDict()
        self.closed = False

    @property
    def full(self) -> bool:
        return len(self._watchers) >= WATCHERS_MAX

    @contextmanager
    def watch(self, workspace: WorkspaceId) -> Generator[Watcher]:
        """Watch until the block ends. Raises ``TooManyWatchers``."""
        if self.full:
            raise TooManyWatchers
        watcher = Watcher(workspace)
        self._watchers.add(watcher)
        metrics.LIVE_CLIENTS.set(len(self._watchers))
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            metrics.LIVE_CLIENTS.set(len(self._watchers))

    def learn(self, addresses: Mapping[ContactKey, str]) -> None:
        """Remember the last contacts' addresses, so that decisions can be shown with them."""
        for key, address in addresses.items():
            self._addresses[key] = address
            self._addresses.move_to_end(key)
        while len(self._addresses) > ADDRESSES_MAX:
            self._addresses.popitem(last=False)

    def publish(self, entries: Iterable[Entry]) -> None:
        """Show what was just committed."""
        if not self._watchers:
            return
        for entry in entries:
            self._offer(entry)
        for watcher in self._watchers:
            watcher.woken.set()

    def close(self) -> None:
        """Let everybody go: the process ends."""
        self.closed = True
        for watcher in self._watchers:
            watcher.woken.set()

    def _offer(self, entry: Entry) -> None:
        line: bytes | None = None
        for watcher in self._watchers:
            if watcher.workspace != entry.workspace:
                continue
            line = line or self._line(entry)
            watcher.offer(line)

    def _line(self, entry: Entry) -> bytes:
        shown = msgspec.structs.asdict(entry)
        del shown["workspace"]
        shown["email"] = self._addresses.get(ContactKey(entry.workspace, entry.contact))
        return _encode(shown)
