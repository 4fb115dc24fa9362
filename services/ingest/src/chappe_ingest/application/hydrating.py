"""Ask shops for what their webhooks leave out, and give each delivery back to the log.

A delivery waits in a row, not in memory: it is appended again with the answer before its row
goes, so a crash at any point repeats it, and the resolver knows the repeat. Deliveries about one
thing are asked for one after the other; one slow shop takes few of the places there are.
"""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import asyncpg
import structlog

from chappe.broker import Broker, BrokerError, Outgoing, RecordTooLarge
from chappe.clock import Clock, monotonic
from chappe.ids import SourceId
from chappe_ingest import metrics
from chappe_ingest.application.hydration import Asking, with_document, without_document
from chappe_ingest.domain.rates import Buckets, Rate

LEASE: Final = dt.timedelta(seconds=90)
"""Longer than any one question takes, a token and two tries included."""

PER_SOURCE: Final = 4
AT_ONCE: Final = 32
SOURCES_MAX: Final = 500
LOOK_SECONDS: Final = 1.0
"""How often a worker looks for what is due, while anything waits."""

IDLE_LOOK_SECONDS: Final = 10.0
"""And while nothing does: what this process's resolver adds wakes it."""

FIRST_RETRY: Final = dt.timedelta(seconds=2)
LAST_RETRY: Final = dt.timedelta(minutes=10)
ATTEMPTS_MIN: Final = 5
"""So often a shop is asked, also about a delivery that came hours ago."""

REST_MAX: Final = dt.timedelta(hours=1)
"""The longest that a shop may ask us to wait."""

_DOUBLINGS_MAX: Final = 12

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Document:
    """The shop's answer, as JSON text."""

    text: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """There will be no answer: the thing is gone, or the question is refused. ``outcome`` counts.

    ``why`` goes with the delivery, and says nothing that is secret.
    """

    outcome: str
    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """No answer now. ``after``: how long the shop asks for; None: as we see fit.

    The whole shop is left alone meanwhile. ``operator``: only an operator can mend it.
    """

    why: str
    after: dt.timedelta | None = None
    operator: bool = False


Answer: TypeAlias = Document | Nothing | Later


class ShopApis(Protocol):
    """The shops' APIs. Never raises for what a shop does."""

    async def ask(self, asked: Asking) -> Answer: ...

    def rate(self, kind: str) -> Rate:
        """How often a shop of this kind may be asked."""
        ...


class Hydrations(Protocol):
    """The deliveries that wait."""

    async def due(self, now: dt.datetime, limit: int) -> Sequence[SourceId]:
        """Sources with a delivery whose turn has come."""
        ...

    async def claim(
        self, source: SourceId, limit: int, now: dt.datetime, until: dt.datetime
    ) -> Sequence[Asking]:
        """The oldest due, the first alone of those of one key; nobody else has them ``until``."""
        ...

    async def later(self, asked: Asking, next_at: dt.datetime) -> None: ...

    async def done(self, asked: Asking) -> None: ...

    async def say(self, source: SourceId, problem: str | None) -> None:
        """What ``sources status`` says of the shop's API; None: that it is well again."""
        ...

    async def waiting(self, now: dt.datetime) -> tuple[int, int]:
        """How many wait, and how many of them could be asked for now."""
        ...


def backoff(attempts: int, spread: float) -> dt.timedelta:
    """Doubling, from ``FIRST_RETRY`` to ``LAST_RETRY``; ``spread`` takes off up to half."""
    grown = FIRST_RETRY * (1 << min(max(attempts - 1, 0), _DOUBLINGS_MAX))
    return min(grown, LAST_RETRY) * (1 - spread / 2)


class Hydrator:
    """Asks until it is stopped. ``spread`` gives numbers in [0, 1)."""

    def __init__(
        self,
        *,
        hydrations: Hydrations,
        shops: ShopApis,
        broker: Broker,
        wall: Clock,
        spread: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._hydrations = hydrations
        self._shops = shops
        self._broker = broker
        self._wall = wall
        self._spread = spread
        self._sleep = sleep
        self._asking: Counter[SourceId] = Counter()
        self._resting: dict[SourceId, dt.datetime] = {}
        self._troubles: Counter[SourceId] = Counter()
        self._buckets: dict[str, Buckets] = {}
        self._said: dict[SourceId, str | None] = {}
        self._news = asyncio.Event()
        self._any = False
        self._stopped = False

    def wake(self) -> None:
        """Something waits that did not before."""
        self._news.set()

    async def stop(self) -> None:
        """What is under way is finished; what waits stays in its rows."""
        self._stopped = True
        self._news.set()

    async def busy(self) -> str | None:
        """What could be asked for now and has not been."""
        _, due = await self._hydrations.waiting(self._wall.now())
        left = due + self._asking.total()
        return f"{left} deliveries wait for their shop's API" if left else None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while not self._stopped:
                self._news.clear()
                try:
                    for asked in await self._claimed():
                        tasks.create_task(self._one(asked))
                except _AWAY as error:
                    logger.warning("The hydrator's table does not answer", error=repr(error))
                try:
                    async with asyncio.timeout(LOOK_SECONDS if self._any else IDLE_LOOK_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    pass

    async def _claimed(self) -> list[Asking]:
        """As many as there are places, from every source in turn."""
        now = self._wall.now()
        waiting, _ = await self._hydrations.waiting(now)
        self._any = waiting > 0
        metrics.HYDRATIONS_WAITING.set(waiting)
        claimed: list[Asking] = []
        if not waiting:
            return claimed
        for source in await self._hydrations.due(now, SOURCES_MAX):
            rests_until = self._resting.get(source)
            places = min(PER_SOURCE - self._asking[source], AT_ONCE - self._asking.total())
            if places <= 0 or (rests_until is not None and now < rests_until):
                continue
            found = await self._hydrations.claim(source, places, now, now + LEASE)
            self._asking[source] += len(found)
            claimed += found
        return claimed

    async def _one(self, asked: Asking) -> None:
        try:
            await self._pace(asked)
            answer = await self._shops.ask(asked)
            await self._settle(asked, answer)
        except BrokerError as error:
            logger.warning("The log did not take a delivery back", error=repr(error))
        except _AWAY as error:
            logger.warning("The hydrator's table does not answer", error=repr(error))
        finally:
            self._asking[asked.source] -= 1
            if not self._asking[asked.source]:
                del self._asking[asked.source]
            self._news.set()

    async def _pace(self, asked: Asking) -> None:
        buckets = self._buckets.setdefault(asked.kind, Buckets(self._shops.rate(asked.kind)))
        while (wait := buckets.take(asked.source, 1, monotonic())) > 0:
            await self._sleep(wait)

    async def _settle(self, asked: Asking, answer: Answer) -> None:
        now = self._wall.now()
        if not isinstance(answer, Later):
            self._resting.pop(asked.source, None)
            self._troubles.pop(asked.source, None)
        match answer:
            case Document(text):
                await self._give_back(asked, text)
            case Nothing(outcome, why):
                await self._give_up(asked, outcome, why)
            case Later(why) if now >= asked.deadline and asked.attempts >= ATTEMPTS_MIN:
                await self._give_up(asked, "gave_up", f"its shop's API gave no answer: {why}")
            case Later(why, after):
                metrics.HYDRATION_RETRIES.labels(asked.kind).inc()
                await self._rest(asked, now, why, after)
        await self._say(asked.source, answer)

    async def _say(self, source: SourceId, answer: Answer) -> None:
        """Once for each change; silence and 5xx are no operator's business yet."""
        if isinstance(answer, Later) and not answer.operator:
            return
        problem = answer.why if isinstance(answer, Later) else None
        if source not in self._said or self._said[source] != problem:
            await self._hydrations.say(source, problem)
            self._said[source] = problem

    async def _rest(
        self,
        asked: Asking,
        now: dt.datetime,
        why: str,
        after: dt.timedelta | None,
    ) -> None:
        wait = backoff(asked.attempts, self._spread())
        if after is not None:
            wait = max(wait, min(after, REST_MAX))
        self._troubles[asked.source] += 1
        rest = after or backoff(self._troubles[asked.source], self._spread())
        self._resting[asked.source] = now + min(rest, REST_MAX)
        logger.info(
            "A shop's API is asked again later",
            source=asked.source,
            attempts=asked.attempts,
            wait_s=round(wait.total_seconds(), 1),
            reason=why,
        )
        await self._hydrations.later(asked, now + wait)

    async def _give_back(self, asked: Asking, text: str) -> None:
        try:
            await self._append(asked, with_document(asked, text, self._broker.partitions))
        except RecordTooLarge:
            await self._give_up(
                asked, "too_large", "its shop's answer is larger than the log takes"
            )
            return
        await self._finish(asked, "hydrated")

    async def _give_up(self, asked: Asking, outcome: str, why: str) -> None:
        logger.warning("A delivery goes on with its ids alone", source=asked.source, reason=why)
        await self._append(asked, without_document(asked, why, self._broker.partitions))
        await self._finish(asked, outcome)

    async def _append(self, asked: Asking, record: Outgoing) -> None:
        await self._broker.append(asked.stream, [record])

    async def _finish(self, asked: Asking, outcome: str) -> None:
        metrics.HYDRATIONS.labels(asked.kind, outcome).inc()
        await self._hydrations.done(asked)


_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
