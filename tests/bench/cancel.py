"""A purchase takes back the mail that is still queued: how long from its webhook's 2xx.

The provider is slow (five seconds a mail), so that a queue of thousands stands and moves all the
while. Orders for carts at its end come as signed webhooks, at a steady rate. Twice looked at: when
the ledger took the mail out, as journaled in the same commit (``decided``), and when whoever
watches the live timeline saw it (``seen``).
"""

import asyncio
import datetime as dt
import itertools
import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session
from harness import TOKEN, Box, one_box, percentile, result

from chappe.clock import WallClock
from chappe.ids import random_id
from chappe_onebox.shop import Cart, Shop

QUEUE = 2_000
PURCHASES = 300
RATE_PER_SECOND = 20
AT_ONCE = 32
SECONDS_A_MAIL = 5.0
QUEUED_SECONDS_MAX = 120
CANCELLED_SECONDS_MAX = 30
SECRET = "bench-shop-secret"

JOURNEY = """\
schema: 1
journey: carts
trigger: {event: checkout.started}
entry: {key: event.checkout_token}
exit: [{event: order.placed, match: {event.checkout_token: entry.key}}]
steps:
  - send: {template: cart-mail}
  - wait: 1d
"""


class SlowProvider:
    """Takes every mail, long after its final dot, and keeps whose it was."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del server, session
        await asyncio.sleep(SECONDS_A_MAIL)
        self.taken.update(envelope.rcpt_tos)
        return "250 taken"

    async def serve(self, door: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: SMTP(self, hostname="slow.example"), sock=door)


@dataclass(slots=True)
class Seen:
    """Of each buyer: when the order's webhook was answered, when its mail was cancelled."""

    answered: dict[str, float] = field(default_factory=dict[str, float])
    decided: dict[str, float] = field(default_factory=dict[str, float])
    shown: dict[str, float] = field(default_factory=dict[str, float])
    watching: asyncio.Event = field(default_factory=asyncio.Event)

    def after(self, when: dict[str, float]) -> list[float]:
        """Seconds since the webhook's 2xx."""
        return [when[email] - at for email, at in self.answered.items()]

    async def watch(self, http: httpx.AsyncClient, url: str) -> None:
        """Look at the live timeline until every buyer's mail was cancelled."""
        async with http.stream("GET", f"{url}/api/v1/live", params={"token": TOKEN}) as live:
            async for line in live.aiter_lines():
                self.watching.set()  # The first line is a greeting.
                assert not line.startswith("event: lagged"), line
                if "email.cancelled" not in line:
                    continue
                told = json.loads(line.removeprefix("data:"))
                self.shown[told["email"]] = time.time()
                self.decided[told["email"]] = dt.datetime.fromisoformat(told["at"]).timestamp()
                if len(self.shown) == PURCHASES:
                    return


class Buyers:
    """A shop whose customers fill carts, and buy them later."""

    def __init__(self, box: Box, http: httpx.AsyncClient) -> None:
        source = {"kind": "shopify", "name": "shop", "secret": SECRET}
        address = box.api("POST", "/api/v1/sources", source)["url"]
        self._shop = Shop(
            client=http, address=address, secret=SECRET, clock=WallClock(), new_id=random_id
        )
        self._box = box

    async def fill(self, count: int) -> list[Cart]:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Cart:
            async with room:
                email = f"buyer{number}@bench.example"
                cart, answer = await self._shop.fill_cart(email, consent=True)
                assert answer.status == 200, answer
                return cart

        return list(await asyncio.gather(*(one(number) for number in range(count))))

    async def buy(self, cart: Cart, seen: Seen) -> None:
        answer = await self._shop.buy(cart, consent=True)
        assert answer.status == 200, answer
        seen.answered[str(cart.email)] = time.time()

    def queued(self) -> int:
        """How many mails wait."""
        found, more = 0, ""
        while True:
            page = self._box.api("GET", f"/api/v1/messages?state=pending&limit=500{more}")
            found += len(page["items"])
            if page["next"] is None:
                return found
            more = f"&cursor={page['next']}"

    def check(self, cart: Cart) -> None:
        """The exit is journaled with its cancellation, and nothing was handed over."""
        path = f"/api/v1/contacts/email:{cart.email}/timeline?limit=200"
        lines = self._box.api("GET", path)["items"][::-1]
        decided = [line["name"] for line in lines if line["kind"] == "decision"]
        assert "handed_over" not in decided, lines
        assert ("exited", "cancelled") in itertools.pairwise(decided), lines


async def _measure(box: Box, provider: SlowProvider, door: socket.socket) -> tuple[Seen, int]:
    async with await provider.serve(door), httpx.AsyncClient(timeout=60) as http:
        buyers = Buyers(box, http)
        carts = await buyers.fill(QUEUE)
        deadline = time.monotonic() + QUEUED_SECONDS_MAX
        while (queued := buyers.queued()) < QUEUE * 3 // 4:
            assert time.monotonic() < deadline, f"only {queued} of {QUEUE} are queued"
            await asyncio.sleep(0.2)
        seen, bought = Seen(), carts[-PURCHASES:]
        watching = asyncio.create_task(seen.watch(http, box.url))
        await seen.watching.wait()
        started = time.monotonic()
        async with asyncio.TaskGroup() as purchases:
            for number, cart in enumerate(bought, 1):
                await asyncio.sleep(max(0, started + number / RATE_PER_SECOND - time.monotonic()))
                purchases.create_task(buyers.buy(cart, seen))
        await asyncio.wait_for(watching, CANCELLED_SECONDS_MAX)
        for cart in bought:
            buyers.check(cart)
        return seen, queued


def measure(stack: str, **environment: str) -> list[dict[str, Any]]:
    """Order webhook → cancelled, over a queue that moves."""
    provider = SlowProvider()
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"smtp://127.0.0.1:{door.getsockname()[1]}"
        with one_box(CHAPPE_SMTP_URL=url, **environment) as box:
            box.publish("carts", JOURNEY, "cart-mail")
            seen, queued = asyncio.run(_measure(box, provider, door))
    assert provider.taken.isdisjoint(seen.answered)
    settings = {
        "stack": stack,
        "purchases": len(seen.answered),
        "rate_per_second": RATE_PER_SECOND,
        "queued_at_start": queued,
        "handed_over_meanwhile": len(provider.taken),
    }
    series = {"decided": seen.after(seen.decided), "seen": seen.after(seen.shown)}
    return [
        result(
            f"cancel_{name}_{quantile}_{stack}",
            percentile(seconds, share) * 1e3,
            "ms",
            "purchase",
            **settings,
        )
        for name, seconds in series.items()
        for quantile, share in (("p50", 0.5), ("p99", 0.99))
    ]
