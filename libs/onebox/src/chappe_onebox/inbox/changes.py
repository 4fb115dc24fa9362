"""Tell open pages that the inbox changed, at most a few times a second."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

SUBSCRIBERS_MAX: Final = 64
#: A burst of mails is one piece of news.
PAUSE_SECONDS: Final = 0.25


class Changes:
    """Wakes every subscriber; costs nothing while nobody looks."""

    def __init__(self) -> None:
        self._subscribers: set[asyncio.Event] = set()
        self._ended = False

    @property
    def full(self) -> bool:
        return len(self._subscribers) >= SUBSCRIBERS_MAX

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def notify(self) -> None:
        for event in self._subscribers:
            event.set()

    def end(self) -> None:
        """Let every subscriber finish; new ones finish at once."""
        self._ended = True
        self.notify()

    async def follow(self, news: Callable[[], str]) -> AsyncIterator[str]:
        """The news now, and again after each change."""
        event = asyncio.Event()
        self._subscribers.add(event)
        try:
            while not self._ended:
                event.clear()
                yield news()
                await event.wait()
                if not self._ended:
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._subscribers.discard(event)
