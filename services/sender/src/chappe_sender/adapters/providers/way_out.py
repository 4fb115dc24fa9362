"""The way out over HTTP: a few requests in flight, each load given away once.

What can be in doubt at a time is the size of a load times the requests in flight. Where the
provider knows idempotency keys, a lost answer is asked for again with the very same bytes; without
them, silence leaves the load in doubt.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chappe.clock import Clock, monotonic
from chappe.http import Outbound
from chappe_sender import metrics
from chappe_sender.adapters.providers.base import Adapter, Draft, Verdict
from chappe_sender.adapters.providers.caller import (
    ANSWER_SECONDS,
    ask,
    judge,
    key_of,
    with_wait,
)
from chappe_sender.application.letter import Letter
from chappe_sender.application.line import Load
from chappe_sender.application.quota import Leased
from chappe_sender.application.routing import ProviderRecord
from chappe_sender.domain.outcome import HandOverError, InDoubt, Stage, Taken

AGAIN_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Between repeats under a key: two minutes in all, well inside every provider's memory of keys."""

ENCODED = 3
"""A content may take this many times its octets in a request, at the very most."""


class LoadWork(Protocol):
    """Where lanes take loads from and report to."""

    async def take_load(self, size: int, octets: int) -> Load: ...
    async def commit_load(self, load: Load) -> Load | None: ...
    def report_load(self, load: Load, verdicts: Sequence[Verdict]) -> None: ...


@dataclass(slots=True)
class _Pace:
    """When the next request of this route may start. ``shared``: of all processes together."""

    per_second: float | None
    shared: Leased | None = None
    _next: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def wait(self) -> None:
        """One lane after the other."""
        async with self._turn:
            while (seconds := self._next - monotonic()) > 0:  # noqa: ASYNC110 - a moment, no event
                await asyncio.sleep(seconds)
            if self.per_second:
                self._next = monotonic() + 1 / self.per_second

    async def share(self) -> None:
        """Until the rate that all processes share has room."""
        while self.shared is not None and (seconds := await self.shared.take()):  # noqa: ASYNC110
            await asyncio.sleep(seconds)  # no event of ours tells that others gave some back

    def pause(self, seconds: float | None) -> None:
        if seconds is not None:
            self._next = max(self._next, monotonic() + seconds)


class ProviderWayOut:
    """Runs the lanes of one provider."""

    def __init__(
        self,
        record: ProviderRecord,
        adapter: Adapter,
        outbound: Outbound,
        wall: Clock,
        *,
        again_seconds: Sequence[float] = AGAIN_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        shared: Leased | None = None,
    ) -> None:
        self._record = record
        self._adapter = adapter
        self._outbound = outbound
        self._wall = wall
        self._again = tuple(again_seconds)
        self._answer_seconds = answer_seconds
        self._pace = _Pace(record.per_second, shared)

    async def run(self, work: LoadWork) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            for number in range(self._record.in_flight):
                lanes.create_task(self._lane(work), name=f"{self._record.name} {number}")

    async def _lane(self, work: LoadWork) -> None:
        octets = self._record.capabilities.body_max // ENCODED
        while True:
            await self._pace.wait()
            load = await work.take_load(self._record.batch_size, octets)
            await self._pace.share()
            if not load.resumed:
                load.key = self.key(load.letters)
                committed = await work.commit_load(load)
                if committed is None:
                    continue
                load = committed
            work.report_load(load, await self._carry(load))

    def key(self, letters: Sequence[Letter]) -> str | None:
        """Of a request that carries these; None where the provider knows no keys."""
        if self._record.capabilities.key_ttl is None:
            return None
        return key_of(self._adapter, _drafts(letters))

    async def _carry(self, load: Load) -> list[Verdict]:
        drafts = _drafts(load.letters)
        verdicts: list[Verdict] = [InDoubt(Stage.VERDICT, "the sender stopped")] * len(drafts)
        pauses = self._again if load.key is not None else ()
        if load.resumed:
            pauses = (0.0, *pauses)
        else:
            verdicts = await self._once(drafts, load.key)
        for seconds in pauses:
            if not any(isinstance(verdict, InDoubt) for verdict in verdicts):
                break
            await asyncio.sleep(seconds)
            again = await self._once(drafts, load.key)
            # Only an acceptance says what became of the first request: a limit or a key that was
            # withdrawn is looked at before what was asked earlier.
            if any(isinstance(verdict, Taken) for verdict in again):
                verdicts = again
        return verdicts

    async def _once(self, drafts: Sequence[Draft], key: str | None) -> list[Verdict]:
        started = monotonic()
        seconds: float | None = None
        try:
            answer = await ask(
                self._outbound,
                self._adapter,
                drafts,
                key,
                self._wall,
                seconds=self._answer_seconds,
            )
            seconds = self._adapter.pause(answer, self._wall.now())
            verdicts = judge(self._adapter, answer, drafts)
        except HandOverError as error:
            verdicts = [error] * len(drafts)
        self._pace.pause(seconds)
        kind = self._record.kind
        metrics.PROVIDER_SECONDS.labels(kind).observe(monotonic() - started)
        for verdict in verdicts:
            metrics.PROVIDER_ANSWERS.labels(kind, _outcome(verdict)).inc()
        return [with_wait(verdict, seconds) for verdict in verdicts]


def _outcome(verdict: Verdict) -> str:
    return "taken" if isinstance(verdict, Taken) else type(verdict).__name__.lower()


def _drafts(letters: Sequence[Letter]) -> list[Draft]:
    return [
        Draft(letter.claimed.message.id, letter.envelope, letter.mail, letter.header_id)
        for letter in letters
    ]
