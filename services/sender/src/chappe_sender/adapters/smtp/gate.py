"""How many of a route's lanes may work at a time: fewer when the server pushes back, then more."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chappe.clock import monotonic
from chappe_sender import metrics
from chappe_sender.adapters.smtp.connection import CLOSING
from chappe_sender.domain.outcome import HandOverError, NotSent, Refused, Stage
from chappe_sender.domain.shaping import Window

TOGETHER_SECONDS: Final = 1.0
"""Lanes that are pushed back together are pushed back once."""
_BEFORE_A_MESSAGE: Final = frozenset((Stage.CONNECT, Stage.GREETING, Stage.HELLO))


@dataclass(slots=True)
class Gate:
    """``name`` is of the route, for whoever watches. Begins with all ``lanes``."""

    name: str
    lanes: int
    seconds: Callable[[], float] = monotonic
    _window: Window = field(init=False)
    _working: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _pushed: float | None = None

    def __post_init__(self) -> None:
        self._window = Window(self.lanes, start=self.lanes)
        self._show()

    @property
    def is_open(self) -> bool:
        return self._working < self._window.connections

    @property
    def is_crowded(self) -> bool:
        """More lanes work than may: whoever has ended a message is to stop."""
        return self._working > self._window.connections

    async def enter(self) -> None:
        while not self.is_open:
            self._changed.clear()
            await self._changed.wait()
        self._working += 1

    def leave(self) -> None:
        self._working -= 1
        self._changed.set()

    def went_well(self) -> None:
        if self._window.connections < self.lanes:
            self._window.went_well()
            self._changed.set()
            self._show()

    def failed(self, error: HandOverError) -> None:
        """Only what speaks of too many connections, or of none at all, counts."""
        refused = isinstance(error, Refused) and (
            error.reply.code == CLOSING or error.stage in _BEFORE_A_MESSAGE
        )
        if not refused and not (isinstance(error, NotSent) and error.stage in _BEFORE_A_MESSAGE):
            return
        now = self.seconds()
        if self._pushed is None or now - self._pushed >= TOGETHER_SECONDS:
            self._pushed = now
            self._window.pushed_back()
            self._show()

    def _show(self) -> None:
        metrics.RELAY_CONNECTIONS.labels(self.name).set(self._window.connections)
