"""A few people in a shop, five days of their lives, and what must have happened.

| who     | does                                       | gets                               |
|---------|--------------------------------------------|------------------------------------|
| zoe     | signs up                                   | the whole welcome series           |
| nora    | signs up, unsubscribes from the first mail | nothing more                       |
| carl    | signs up without consent                   | nothing; the timeline says why     |
| adam    | fills a cart, clicks the reminder, buys    | another path, then silence         |
| bea     | fills a cart and forgets it                | three reminders                    |
| eve     | buys; the checkout event comes afterwards  | nothing                            |
| mallory | forges a webhook                           | a 401, and nothing is stored       |
| wes     | signs up through a write key               | a welcome mail                     |
"""

import asyncio
import datetime as dt
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from chappe.clock import WallClock, monotonic
from chappe.ids import random_id
from chappe_onebox.shop import Cart, Shop

MAIL_SECONDS_MAX = 15.0
LOOK_SECONDS = 0.05
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LINK = re.compile(r'href="(http[^"]*/c/[^"]+)"')

T = TypeVar("T")


@dataclass(slots=True)
class Checks:
    """What held and what did not, said as it is found."""

    say: Callable[[str], None]
    passed: int = 0
    total: int = 0

    @property
    def good(self) -> bool:
        return self.total > 0 and self.passed == self.total

    def that(self, what: str, *, holds: bool, found: object = None) -> bool:
        self.total += 1
        self.passed += holds
        self.say(f"{'✔' if holds else '✘'} {what}" + ("" if holds else f"; found: {found}"))
        return holds


@dataclass(slots=True)
class AheadClock:
    """The box's clock, as far ahead of ours as it says."""

    ahead: dt.timedelta = field(default_factory=dt.timedelta)

    def now(self) -> dt.datetime:
        return WallClock().now() + self.ahead


class Stage:
    """The box from outside."""

    def __init__(self, http: httpx.AsyncClient, url: str, inbox: str, token: str) -> None:
        self._http = http
        self.url = url
        self._inbox = inbox
        self._head = {"Authorization": f"Bearer {token}"}
        self.clock = AheadClock()

    async def api(self, method: str, path: str, body: Any = None, **params: str) -> httpx.Response:
        return await self._http.request(
            method, self.url + path, json=body, params=params, headers=self._head
        )

    async def source(self, kind: str, name: str, **more: str) -> dict[str, Any]:
        answer = await self.api("POST", "/api/v1/sources", {"kind": kind, "name": name, **more})
        answer.raise_for_status()
        return answer.json()

    async def advance(self, by: str) -> list[str]:
        """What was stuck; empty when everything came to rest."""
        answer = await self.api("POST", "/api/v1/demo/clock", {"advance": by})
        answer.raise_for_status()
        moved = answer.json()
        self.clock.ahead = dt.timedelta(seconds=moved["ahead_seconds"])
        return moved["stuck"]

    async def subjects(self, address: str) -> list[str]:
        """The mails to an address, oldest first."""
        return [mail["Subject"] for mail in reversed(await self._mails(address))]

    async def first_mails(self, address: str) -> list[str]:
        """The same, as soon as there is one."""
        return await until(lambda: self.subjects(address))

    async def newest(self, address: str) -> dict[str, Any]:
        number = (await self._mails(address))[0]["ID"]
        return (await self._http.get(f"{self._inbox}/api/v1/message/{number}")).json()

    async def newest_headers(self, address: str) -> dict[str, list[str]]:
        number = (await self._mails(address))[0]["ID"]
        return (await self._http.get(f"{self._inbox}/api/v1/message/{number}/headers")).json()

    async def timeline(self, address: str) -> list[dict[str, Any]]:
        answer = await self.api("GET", f"/api/v1/contacts/email:{address}/timeline", limit="500")
        return answer.json()["items"] if answer.is_success else []

    async def tells(self, address: str, name: str, reason: str | None = None) -> bool:
        """Whether the timeline has such a line; it is written a moment after the fact."""

        async def look() -> bool:
            return any(
                line["name"] == name and reason in {None, line["reason"]}
                for line in await self.timeline(address)
            )

        return await until(look)

    async def journey(self, name: str) -> dict[str, int]:
        answer = await self.api("GET", f"/api/v1/reports/journeys/{name}")
        return answer.json()["totals"]

    async def _mails(self, address: str) -> list[dict[str, Any]]:
        answer = await self._http.get(
            f"{self._inbox}/api/v1/search", params={"query": f"to:{address}", "limit": 500}
        )
        return answer.json()["messages"]


async def until(look: Callable[[], Awaitable[T]]) -> T:
    """What ``look`` finds, as soon as it is something; the last it found when patience ends."""
    deadline = monotonic() + MAIL_SECONDS_MAX
    while not (found := await look()) and monotonic() < deadline:  # noqa: ASYNC110 - others' doing
        await asyncio.sleep(LOOK_SECONDS)
    return found


async def play(url: str, inbox: str, token: str, checks: Checks) -> None:
    """Play it against a box that was started with ``--demo``."""
    async with httpx.AsyncClient(timeout=130, trust_env=False) as http:
        stage = Stage(http, url, inbox, token)
        secret = random_id("shpss_")
        source = await stage.source("shopify", "scenario", secret=secret)
        shop = Shop(
            client=http,
            address=source["url"],
            secret=secret,
            clock=stage.clock,
            new_id=random_id,
        )
        await Play(stage, shop, http, checks).all()


def _at(name: str) -> str:
    return f"{name}@people.example"


ZOE, NORA, CARL, ADAM, BEA, EVE, MALLORY, WES = map(
    _at, ("zoe", "nora", "carl", "adam", "bea", "eve", "mallory", "wes")
)
CART_REPORT = {"entered": 2, "sent": 5, "clicked": 1, "exited": 1, "finished": 1}
WELCOME_REPORT = {"entered": 3, "sent": 4}


class Play:
    """The acts, in order."""

    def __init__(self, stage: Stage, shop: Shop, http: httpx.AsyncClient, checks: Checks) -> None:
        self.stage = stage
        self.shop = shop
        self.http = http
        self.that = checks.that

    async def all(self) -> None:
        """From the first sign-up to the reports."""
        await self.sign_ups()
        cart = await self.carts()
        await self.order_before_checkout(cart)
        await self.unsubscribing()
        await self.first_hour(cart)
        await self.five_days()
        await self.who_is_left_alone()
        await self.counts()
        await self.segment()

    async def sign_ups(self) -> None:
        """Three people make an account; one of them does not want offers."""
        answers = [
            await self.shop.sign_up(ZOE, first_name="Zoé", consent=True),
            await self.shop.sign_up(NORA, first_name="Nora", consent=True),
            await self.shop.sign_up(CARL, first_name="Carl", consent=False),
        ]
        good = all(answer.status == HTTPStatus.OK for answer in answers)
        self.that("signed webhooks are accepted", holds=good, found=answers)
        mails = await self.stage.first_mails(ZOE)
        self.that("a sign-up gets its welcome mail at once", holds=len(mails) == 1, found=mails)

    async def carts(self) -> Cart:
        """Two people fill a cart; one delivery is repeated, one is forged."""
        cart, answer = await self.shop.fill_cart(ADAM, consent=True)
        body = self.shop.checkout(cart, consent=True)
        again = await self.shop.post("checkouts/create", body, delivery=answer.delivery)
        good = again.status == HTTPStatus.OK
        self.that("a duplicate webhook is answered like the first", holds=good, found=again)
        await self.shop.fill_cart(BEA, consent=True)

        forged = self.shop.checkout(Cart(random_id(""), MALLORY, cart.items), consent=True)
        answer = await self.shop.post("checkouts/create", forged, secret=random_id(""))
        good = answer.status == HTTPStatus.UNAUTHORIZED
        self.that("a forged webhook is refused with 401", holds=good, found=answer)
        return cart

    async def order_before_checkout(self, cart: Cart) -> None:
        """The order of a cart closes it, whatever comes later."""
        late = Cart(random_id(""), EVE, cart.items)
        await self.shop.buy(late, consent=True)
        await self.stage.tells(EVE, "order.placed")
        await self.shop.post("checkouts/create", self.shop.checkout(late, consent=True))
        told = await self.stage.tells(EVE, "not_entered")
        found = await self.stage.timeline(EVE)
        self.that("a cart whose order came first is not entered", holds=told, found=found)

    async def unsubscribing(self) -> None:
        """One click in the mail reader's own button."""
        await self.stage.first_mails(NORA)
        headers = await self.stage.newest_headers(NORA)
        links = (headers.get("List-Unsubscribe") or [""])[0].split(",")
        target = next((link.strip(" <>") for link in links if "/u/" in link), None)
        one_click = headers.get("List-Unsubscribe-Post") == ["List-Unsubscribe=One-Click"]
        good = target is not None and one_click
        if not self.that("a mail has RFC 8058's one-click link", holds=good, found=headers):
            return
        answer = await self.http.post(str(target), data={"List-Unsubscribe": "One-Click"})
        self.that("unsubscribing by POST is accepted", holds=answer.is_success, found=answer)
        heard = await self.stage.tells(NORA, "email.unsubscribed")
        found = await self.stage.timeline(NORA)
        self.that("… and is on the timeline", holds=heard, found=found)

    async def first_hour(self, cart: Cart) -> None:
        """The reminder, the click on it, the other path, the order."""
        await self._gets(CARL, 0, "who did not consent gets no marketing mail")
        reasons = {line["reason"] for line in await self.stage.timeline(CARL)}
        known = bool(reasons & {"no_consent", "consent_unknown"})
        self.that("… and the timeline says why", holds=known, found=reasons)
        await self._wait("PT61M", "an hour passes, and everything comes to rest")
        await self._gets(ADAM, 1, "a cart is reminded after one hour, once")
        await self._click()
        await self._wait("PT21M", "twenty minutes pass")
        await self._gets(ADAM, 2, "who clicked gets another mail, on another path")
        await self._gets(BEA, 1, "… and who did not is left alone for now")
        answer = await self.shop.buy(cart, consent=True)
        await self.shop.post("orders/create", self.shop.order(cart, consent=True))
        self.that("the order is accepted", holds=answer.status == HTTPStatus.OK, found=answer)
        ended = await self.stage.tells(ADAM, "exited", "order.placed")
        found = await self.stage.timeline(ADAM)
        self.that("an order ends the reminders at once", holds=ended, found=found)

    async def _click(self) -> None:
        mail = await self.stage.newest(ADAM)
        links = LINK.findall(mail["HTML"])
        head = mail["HTML"][:300]
        if not self.that("the reminder's links lead through us", holds=bool(links), found=head):
            return
        link = links[0].replace("&amp;", "&")
        answer = await self.http.get(link, headers={"User-Agent": BROWSER})
        target = answer.headers.get("location", "")
        self.that("a click leads to the shop", holds=target.startswith("https://"), found=answer)
        heard = await self.stage.tells(ADAM, "email.clicked")
        found = await self.stage.timeline(ADAM)
        self.that("… and is on the timeline", holds=heard, found=found)

    async def five_days(self) -> None:
        """The rest of both series."""
        await self._wait("P2D", "two days pass, hop by hop")
        await self._gets(ZOE, 2, "the second welcome mail comes on day two")
        await self._gets(BEA, 2, "a forgotten cart is reminded again after a day")
        await self._wait("P3D", "three more days pass")
        mails = await self._gets(ZOE, 3, "the welcome series is complete: three mails")
        different = len(set(mails)) == len(mails)
        self.that("… each a different one", holds=different, found=mails)
        await self._gets(BEA, 3, "a forgotten cart got its three reminders")

    async def who_is_left_alone(self) -> None:
        """The mails that must not be there."""
        await self._gets(ADAM, 2, "who bought got no further mail")
        await self._gets(EVE, 0, "who had bought before got none")
        await self._gets(NORA, 1, "who unsubscribed stays without mail")
        await self._gets(CARL, 0, "who never consented got none")
        await self._gets(MALLORY, 0, "nothing was sent for the forgery")
        who = await self.stage.api("GET", f"/api/v1/contacts/email:{MALLORY}")
        nobody = who.status_code == HTTPStatus.NOT_FOUND
        self.that("… and nothing was stored of it", holds=nobody, found=who)

    async def counts(self) -> None:
        """The reports say the same."""
        await self._reports("abandoned-cart", CART_REPORT)
        await self._reports("welcome", WELCOME_REPORT)
        doubt = (await self.stage.api("GET", "/api/v1/messages", state="in_doubt")).json()["items"]
        self.that("no mail is in doubt", holds=not doubt, found=doubt)

    async def segment(self) -> None:
        """The other way in: a write key."""
        key = (await self.stage.source("segment", "scenario-web"))["secret"]
        traits = {"email": WES, "consent": {"email": "subscribed"}}
        batch = [
            {"type": "identify", "userId": "wes", "messageId": "wes-1", "traits": traits},
            {"type": "track", "event": "Signed Up", "userId": "wes", "messageId": "wes-2"},
        ]
        answer = await self.http.post(
            f"{self.stage.url}/v1/batch", json={"batch": batch}, auth=httpx.BasicAuth(key, "")
        )
        self.that("Segment's batch is accepted", holds=answer.is_success, found=answer)
        mails = await self.stage.first_mails(WES)
        self.that("… and leads to the same welcome mail", holds=len(mails) == 1, found=mails)

    async def _gets(self, who: str, mails: int, what: str) -> list[str]:
        found = await self.stage.subjects(who)
        self.that(what, holds=len(found) == mails, found=found)
        return found

    async def _wait(self, by: str, what: str) -> None:
        stuck = await self.stage.advance(by)
        self.that(what, holds=not stuck, found=stuck)

    async def _reports(self, journey: str, wanted: dict[str, int]) -> None:
        async def look() -> bool:
            return wanted.items() <= (await self.stage.journey(journey)).items()

        said = ", ".join(f"{number} {name}" for name, number in wanted.items())
        holds = await until(look)
        found = await self.stage.journey(journey)
        self.that(f"the report on {journey} says {said}", holds=holds, found=found)
