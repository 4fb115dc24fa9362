"""The way out over SMTP: a few lanes, each one connection at a time, each message once.

A lane takes a message, has its recipient accepted, waits until the caller has written down that it
is about to commit, writes the content, reports the verdict, and announces the next message in the
same breath. Connections stay open while there is work and a little longer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from chappe.clock import monotonic
from chappe_sender.adapters.smtp.connection import CLOSING, Connection
from chappe_sender.adapters.smtp.gate import Gate
from chappe_sender.adapters.smtp.route import Route
from chappe_sender.application.ports import Parcel, Work
from chappe_sender.domain.outcome import HandOverError, NotSent, Refused

IDLE_SECONDS = 20.0
REUSE_SECONDS = 300.0
"""After this long a connection is not used again: a slow host must not attract all mail."""
PAUSE_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""How long a lane rests after the server could not be reached, time after time."""


Opener: TypeAlias = Callable[[], Awaitable[Connection]]


@dataclass(slots=True)
class _Open:
    connection: Connection
    since: float


class SmtpWayOut:
    """Runs ``lanes`` lanes over one route; None: as many as the route has connections."""

    def __init__(
        self, route: Route, *, lanes: int | None = None, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._route = route
        self._lanes = lanes or route.connections
        self._idle_seconds = idle_seconds
        self._gate = Gate(f"{route.host}:{route.port}", self._lanes)

    async def run(self, work: Work) -> None:
        """Until cancelled; then open connections are dropped where they stand."""
        async with asyncio.TaskGroup() as lanes:
            for number in range(self._lanes):
                lane = Lane(self._connect, work, self._idle_seconds, gate=self._gate)
                lanes.create_task(lane.run(), name=f"lane {number}")

    async def _connect(self) -> Connection:
        return await Connection.open(self._route)


class Lane:
    """``opener`` connects; after ``messages_max`` messages a connection is not used again; ``gate``
    says whether it is this lane's turn to work.
    """

    def __init__(
        self,
        opener: Opener,
        work: Work,
        idle_seconds: float = IDLE_SECONDS,
        messages_max: int | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._gate = gate
        self._opener = opener
        self._work = work
        self._idle_seconds = idle_seconds
        self._messages_max = messages_max
        self._open: _Open | None = None
        self._failures = 0

    async def run(self) -> None:
        try:
            while True:
                await self._work_on()
        finally:
            self._close()

    async def _work_on(self) -> None:
        """As long as one message announces the next."""
        if self._gate is not None:
            if not self._gate.is_open:
                self._close()
            await self._gate.enter()
        try:
            parcel: Parcel | None = await self._next()
            while parcel is not None:
                parcel = await self._carry(parcel)
        finally:
            if self._gate is not None:
                self._gate.leave()

    async def _next(self) -> Parcel:
        """The next message; closes an idle connection while waiting."""
        if self._open is None:
            return await self._work.take()
        waiting = asyncio.ensure_future(self._work.take())
        try:
            done, _ = await asyncio.wait({waiting}, timeout=self._idle_seconds)
            if not done:
                opened, self._open = self._open, None
                await opened.connection.quit()
            return await waiting
        finally:
            waiting.cancel()

    async def _carry(self, parcel: Parcel) -> Parcel | None:
        """One message to its end; returns the next one when it was announced already."""
        try:
            connection = await self._begin(parcel)
        except HandOverError as error:
            if self._gate is not None:
                self._gate.failed(error)
            self._work.report(parcel, error)
            if self._open is None or not self._open.connection.alive:
                await self._rest()
            return None
        if not await self._work.about_to_commit(parcel):
            self._close()
            return None
        following = self._following(connection)
        try:
            reply = await connection.finish(
                parcel.envelope, following.envelope if following is not None else None
            )
        except HandOverError as error:
            self._work.report(parcel, error)
            return following
        self._failures = 0
        if self._gate is not None:
            self._gate.went_well()
        self._work.report(parcel, reply)
        return following

    async def _begin(self, parcel: Parcel) -> Connection:
        """A connection that waits for the content. A kept one may have died: one fresh try then."""
        kept = await self._usable()
        if kept is not None:
            try:
                await kept.begin(parcel.envelope)
            except NotSent:
                self._close()
            except Refused as refused:
                if refused.reply.code != CLOSING:
                    raise
                # Many servers end a connection so after so many messages.
                self._close()
            else:
                return kept
        connection = await self._opener()
        self._open = _Open(connection, monotonic())
        await connection.begin(parcel.envelope)
        return connection

    def _following(self, connection: Connection) -> Parcel | None:
        full = self._messages_max is not None and connection.handed_over + 1 >= self._messages_max
        crowded = self._gate is not None and self._gate.is_crowded
        if full or crowded or not connection.features.pipelining:
            return None
        return self._work.take_now()

    async def _usable(self) -> Connection | None:
        """The open one. Takes leave of it when it has had its time or its number of messages."""
        if self._open is None:
            return None
        opened = self._open
        too_old = monotonic() - opened.since > REUSE_SECONDS and not opened.connection.announced
        full = self._messages_max is not None and (
            opened.connection.handed_over >= self._messages_max and not opened.connection.announced
        )
        if not opened.connection.alive or too_old or full:
            self._open = None
            await opened.connection.quit()
            return None
        return opened.connection

    async def _rest(self) -> None:
        pause = PAUSE_SECONDS[min(self._failures, len(PAUSE_SECONDS) - 1)]
        self._failures += 1
        self._close()
        await asyncio.sleep(pause)

    def _close(self) -> None:
        if self._open is not None:
            with suppress(OSError):
                self._open.connection.abort()
            self._open = None
