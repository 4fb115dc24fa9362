"""Runs with kills, and their tallies: by SMTP into a sink, and by a provider over HTTP."""

import asyncio
import json
import os
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.apart.counting import Tally, tally
from tests.e2e.apart.driving import api, messages
from tests.e2e.apart.fleet import Process
from tests.e2e.apart.sending import Senders, Strike, eventually, senders
from tests.fakes.dropping_sink import IN_DOUBT, Drop, sinking
from tests.fakes.providers import BATCHES, Fake, Fault, options_of, secrets_of, serving

CONNECTIONS = 16
BATCH = 20
IN_FLIGHT = 4
REQUESTS_MAX = 100_000
SETTLE_SECONDS = 90.0
NOBODY = "smtp://127.0.0.1:9"
"""A relay that is not there: whatever goes out goes by the provider."""

HANG_UPS = {
    Drop.BANNER: 0.05,
    Drop.EHLO: 0.05,
    Drop.MAIL: 0.003,
    Drop.RCPT: 0.003,
    Drop.DATA: 0.003,
    Drop.CONTENT: 0.003,
    Drop.DOT_LOST: 0.002,
    Drop.DOT_KEPT: 0.002,
    Drop.ANSWERED: 0.003,
}
"""A few in a thousand: most of the work must go on, so that every kill finds some."""

FAULTS = {
    Fault.ERROR_AFTER_ACCEPT: 2,
    Fault.ERROR: 2,
    Fault.MALFORMED: 1,
    Fault.RESET_BEFORE_BODY: 1,
    Fault.RESET_AFTER_BODY: 2,
    Fault.PARTIAL: 3,
    Fault.REFUSED: 1,
    Fault.RATE: 1,
}
"""In a hundred requests."""
UNSURE = {
    Fault.ERROR_AFTER_ACCEPT,
    Fault.ERROR,
    Fault.MALFORMED,
    Fault.RESET_BEFORE_BODY,
    Fault.RESET_AFTER_BODY,
}
"""What proves nothing."""


async def by_smtp(
    database: str,
    directory: Path,
    strikes: Sequence[Sequence[Strike]],
    dice: random.Random,
    **more: str,
) -> tuple[Tally, dict[str, int]]:
    """The tally, and how often the server hung up at each stage."""
    async with sinking(dice, HANG_UPS) as sink:
        url = f"smtp://127.0.0.1:{sink.port}?connections={CONNECTIONS}"
        more |= {"CHAPPE_SMTP_URL": url}
        async with senders(database, directory, os.environ["PATH"], **more) as place:
            await place.begin()
            await place.suffer(strikes, dice)
            last = place.fleet.start("sender")
            await place.settle(SETTLE_SECONDS)
            shown = await asyncio.to_thread(messages, last, "in_doubt")
            copies = {
                id_: [(copy.header_id, copy.content) for copy in kept]
                for id_, kept in sink.kept.items()
            }
            bound = CONNECTIONS * place.kills + sum(sink.dropped[each] for each in IN_DOUBT)
            found = await tally(place, copies, (each["id"] for each in shown), bound)
    return found, {each.name.lower(): sink.dropped[each] for each in Drop}


@dataclass(frozen=True)
class ByProvider:
    """A run by a provider, and what is still running after it."""

    found: Tally
    fake: Fake
    faults: int
    place: Senders
    last: Process


@asynccontextmanager
async def by_provider(
    kind: str,
    database: str,
    directory: Path,
    strikes: Sequence[Sequence[str | None]],
    dice: random.Random,
    **more: str,
) -> AsyncGenerator[ByProvider]:
    """``strikes`` name points of ours, ``unanswered`` for a moment between a request and its
    answer, None for any.
    """
    odds = {Fault.NONE: 100 - sum(FAULTS.values()), **FAULTS}
    faults = dice.choices(list(odds), list(odds.values()), k=REQUESTS_MAX)
    more |= {"CHAPPE_SMTP_URL": NOBODY, "CHAPPE_OUTBOUND_LOOPBACK": "true"}
    async with (
        serving(Fake(kind, list(faults), retry_after=1)) as fake,
        senders(database, directory, os.environ["PATH"], **more) as place,
    ):
        first = await place.begin()
        await _add(first, fake)
        moment = _Unanswered(place, fake)
        rows = [[_strike(name, moment, dice) for name in row] for row in strikes]
        await place.suffer(rows, dice)
        last = place.fleet.start("sender")
        await place.settle(SETTLE_SECONDS)
        used = faults[: REQUESTS_MAX - len(fake.faults)]
        loads = IN_FLIGHT * place.kills + sum(each in UNSURE for each in used)
        bound = loads * (BATCH if kind in BATCHES else 1)
        shown = await asyncio.to_thread(messages, last, "in_doubt")
        shown_ids = [each["id"] for each in shown]
        found = await tally(place, _copies(fake), shown_ids, bound, fake.refused)
        yield ByProvider(found, fake, sum(each is not Fault.NONE for each in used), place, last)


def _strike(name: str | None, moment: "_Unanswered", dice: random.Random) -> Strike:
    if name is None:
        return Strike()
    if name == "unanswered":
        return Strike("between request and answer", moment=moment.of)
    return Strike(name, dice.randint(3, 8))


async def _add(sender: Process, fake: Fake) -> None:
    ours = {"base_url": fake.url, "in_flight": str(IN_FLIGHT), "in_doubt_max": "1000"}
    ours |= {"batch": str(BATCH)} if fake.kind in BATCHES else {}
    body = {
        "kind": fake.kind,
        "name": fake.kind,
        "secrets": secrets_of(fake.kind),
        "options": options_of(fake.kind) | ours,
    }
    await asyncio.to_thread(api, sender, "POST", "/api/v1/providers", body)


class _Unanswered:
    """Holds a provider's answers back until a sender has requests on the wire."""

    def __init__(self, place: Senders, fake: Fake) -> None:
        self._place = place
        self._fake = fake
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def of(self, doomed: Process) -> AsyncGenerator[None]:
        async def waits() -> bool:
            return bool(self._fake.in_flight) and await self._place.on_the_wire(doomed) > 0

        async with self._one_at_a_time:
            held = self._fake.hold = asyncio.Event()
            try:
                await eventually("a request without an answer", waits)
                yield
            finally:
                self._fake.hold = None
                held.set()


def _copies(fake: Fake) -> dict[str, list[tuple[str, bytes]]]:
    copies: dict[str, list[tuple[str, bytes]]] = {}
    for taken in fake.taken:
        content = json.dumps([taken.headers, taken.html, taken.recipient]).encode()
        name = taken.headers.get("Message-ID", "")
        copies.setdefault(taken.message, []).append((name, content))
    return copies
