"""What the sender's bench sends: a cart mail, the people it is for, and the commands that ask."""

import asyncio
import datetime as dt
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import asyncpg
import msgspec
from apart import KEY, ROOT

from chappe.broker import Broker, Outgoing
from chappe.clock import WallClock
from chappe.events import (
    EVENTS,
    SENDS,
    Event,
    Identifier,
    Send,
    Snapshot,
    contact_key,
    encode_event,
)
from chappe.events.streams import Stream
from chappe.ids import (
    ContactId,
    EnrollmentId,
    EventId,
    MessageId,
    StepId,
    WorkspaceId,
    derived,
    partition_of,
    random_id,
)
from chappe.shards import wrap
from chappe.tokens import Vault, secret_key_of
from chappe_sender.adapters.catalogue import PostgresCatalogue
from chappe_sender.adapters.compiler import examine
from chappe_sender.adapters.domain_shelf import PostgresDomains
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.sender_domain import KeyState, new_keys
from chappe_sender.domain.template import TemplateVersion

DEFAULT = WorkspaceId("default")
DOMAIN = "shop.example"
APPEND_RECORDS = 500
PATIENCE_SECONDS = 1_800.0
START_SECONDS = 10.0
SINK_BACKLOG = 256

_HEAD = """\
---
subject: "{{ contact.first_name | default: 'Hello' }}, you left something behind"
preheader: "We kept everything just as you left it"
class: marketing
topic: offers
---
"""

_ITEM = """\
<mj-raw>{% for item in event.items %}</mj-raw>
<mj-section background-color="#ffffff" padding="10px 24px">
<mj-column width="30%"><mj-image src="{{ item.image_url }}" alt="{{ item.title }}" width="150px"
 href="{{ item.url }}" border-radius="6px" /></mj-column>
<mj-column width="70%"><mj-text font-size="16px"><a href="{{ item.url }}">{{ item.title }}</a>
<b>{{ item.price | money }}</b></mj-text>
<mj-text font-size="13px" color="#6b7280">{{ item.variant }} · Qty {{ item.quantity }}</mj-text>
</mj-column></mj-section>
<mj-raw>{% endfor %}</mj-raw>
"""

_ADVICE = """\
<mj-section background-color="#ffffff"><mj-column>
<mj-image src="https://cdn.shop.example/reco-1.jpg" href="https://shop.example/p/reco-1?ref=cart"
 alt="A lamp" /><mj-text align="center">Recommended: lamp, turned oak</mj-text>
<mj-button href="https://shop.example/p/reco-1?ref=cart">Shop now</mj-button></mj-column>
<mj-column><mj-image src="https://cdn.shop.example/reco-2.jpg" alt="A shade"
 href="https://shop.example/p/reco-2?ref=cart" />
<mj-text align="center">Recommended: shade, white linen</mj-text>
<mj-button href="https://shop.example/p/reco-2?ref=cart">Shop now</mj-button>
</mj-column></mj-section>
"""

CART = f"""\
{_HEAD}<mjml lang="en"><mj-head>
<mj-attributes><mj-all font-family="Helvetica, Arial, sans-serif" />
<mj-text line-height="1.5" color="#111827" /></mj-attributes>
<mj-style>.small a{{color:#6b7280;text-decoration:underline}} .btn a{{background:#111827}}
</mj-style>
</mj-head><mj-body background-color="#f3f4f6" width="640px">
<mj-section padding="24px"><mj-column><mj-image src="https://cdn.shop.example/logo.png"
 width="140px" alt="Shop" href="https://shop.example/?src=mail" /></mj-column></mj-section>
<mj-section><mj-column><mj-text align="center"><a href="https://shop.example/women">Women</a> ·
<a href="https://shop.example/men">Men</a> · <a href="https://shop.example/sale">Sale</a></mj-text>
</mj-column></mj-section>
<mj-section background-color="#2a3448" padding="60px 0"><mj-column>
<mj-text color="#ffffff" align="center" font-size="30px" font-weight="700">{{% if
 contact.first_name %}}{{{{ contact.first_name }}}}, you{{% else %}}You{{% endif %}} left something
 behind</mj-text>
<mj-button href="{{{{ event.recovery_url }}}}" background-color="#f59e0b" css-class="btn">Return to
 your cart</mj-button></mj-column></mj-section>
{_ITEM}
<mj-section background-color="#ffffff"><mj-column>
<mj-divider border-color="#e5e7eb" border-width="1px" />
<mj-text align="right" font-size="18px">Total: <b>{{{{ event.total | money }}}}</b></mj-text>
<mj-text align="center" color="#065f46">{{% if event.big %}}You have unlocked <b>free
 shipping</b>!{{% else %}}Add a little more for free shipping.{{% endif %}}</mj-text>
<mj-button href="{{{{ event.recovery_url }}}}" background-color="#111827" width="260px">Complete my
 order</mj-button></mj-column></mj-section>
{_ADVICE}
<mj-section><mj-column><mj-text css-class="small" align="center" font-size="12px" color="#6b7280">
You receive this because you began a checkout at shop.example on
 {{{{ event.created_at | date: "long" }}}}.<br />
{{{{ brand.name }}}}, {{{{ brand.address }}}}<br />
<a href="{{{{ unsubscribe_url }}}}">Unsubscribe</a> ·
<a href="{{{{ preferences_url }}}}">Preferences</a> ·
<a href="https://shop.example/privacy">Privacy</a></mj-text></mj-column></mj-section>
</mj-body></mjml>
"""
"""Like the cart mails that shops send: nav, hero, three lines, advice, 17 links, 40 KB."""

SMALL = (
    _HEAD
    + """\
<p>Hello {{ contact.first_name }}, <a href="{{ event.recovery_url }}">your cart</a> waits.
{{ brand.address }} <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
"""
)


# -- what is there before -----------------------------------------------------------------------


def versions() -> dict[str, TemplateVersion]:
    """Both mails, compiled."""
    return {
        "cart": examine("cart", {"cart.mjml": CART}).version,
        "small": examine("small", {"small.html": SMALL}).version,
    }


async def furnish(pool: asyncpg.Pool) -> None:
    """Templates and a brand kit, as the API would have written them."""
    catalogue = PostgresCatalogue(pool, WallClock())
    for version in versions().values():
        await catalogue.publish(DEFAULT, version, {})
    brand = Brand(name="Shop", address="1 Quay, Brest", from_=f"Shop <news@{DOMAIN}>")
    await catalogue.save_brand(DEFAULT, brand)


async def give_key(pool: asyncpg.Pool) -> None:
    """From now on mail is signed, with RSA of 2048 bits."""
    now = WallClock().now()
    keys = new_keys(DOMAIN, ed25519_too=False, state=KeyState.ACTIVE, new_id=random_id, now=now)
    await PostgresDomains(pool, Vault(secret_key_of(KEY))).add(DEFAULT, DOMAIN, keys, now)


# -- commands and events ------------------------------------------------------------------------


def contact_of(number: int) -> ContactId:
    return ContactId(derived("c_", "bench", str(number)))


async def subscribe(broker: Broker, numbers: Iterable[int]) -> None:
    """Everybody agrees to get mail, on ``events``."""
    now = WallClock().now()
    await _append(broker, EVENTS, ((contact_of(n), encode_event(_agrees(n, now))) for n in numbers))


def _agrees(number: int, now: dt.datetime) -> Event:
    return Event(
        id=EventId(derived("ev_", "bench", str(number))),
        name="contact.created",
        workspace=DEFAULT,
        occurred_at=now,
        received_at=now,
        contact=contact_of(number),
        identifiers=(Identifier("email", f"user-{number}@example.com"),),
        traits={"consent": {"email": "subscribed"}},
    )


async def ask(broker: Broker, round_: str, template: str, numbers: Iterable[int]) -> None:
    """A mail for each, on ``sends``."""
    now, encode = WallClock().now(), msgspec.json.Encoder().encode
    sends = ((contact_of(n), encode(_send(round_, template, n, now))) for n in numbers)
    await _append(broker, SENDS, sends)


def _send(round_: str, template: str, number: int, now: dt.datetime) -> Send:
    return Send(
        message=MessageId(derived("m_", round_, str(number))),
        workspace=DEFAULT,
        contact=contact_of(number),
        enrollment=EnrollmentId(derived("en_", round_, str(number))),
        journey="abandoned-cart",
        version=1,
        step=StepId("cart-1"),
        template=template,
        address=f"user-{number}@example.com",
        locale="en-US",
        asked_at=now,
        due_at=now,
        deadline=now + dt.timedelta(days=1),
        snapshot=snapshot(number),
    )


def snapshot(number: int) -> Snapshot:
    """Somebody's cart of three lines; every one is another."""
    items = [
        {
            "product_id": f"p_{(number + n) % 997}",
            "title": f"Cotton T-shirt & co {number % 997 + n}",
            "variant": "Blue / M",
            "quantity": n + 1,
            "price": {"amount": f"{19 + n}.90", "currency": "EUR"},
            "url": f"https://shop.example/products/tee-{(number + n) % 997}?variant=blue&size=m",
            "image_url": f"https://cdn.shop.example/images/tee-{(number + n) % 997}-800x800.jpg",
        }
        for n in range(3)
    ]
    return Snapshot(
        contact={"first_name": f"Jürgen {number}", "locale": "en-US", "city": "Köln"},
        event={
            "checkout_token": f"token-{number}",
            "recovery_url": f"https://shop.example/checkouts/{number:032x}/recover?key={number}",
            "created_at": "2026-11-22T09:00:00Z",
            "total": {"amount": "129.50", "currency": "EUR"},
            "big": number % 2 == 0,
            "items": items,
        },
    )


async def _append(
    broker: Broker, stream: Stream, records: Iterable[tuple[ContactId, bytes]]
) -> None:
    waiting: list[Outgoing] = []
    for contact, body in records:
        key = contact_key(DEFAULT, contact)
        waiting.append(Outgoing(partition_of(key, broker.partitions), key, wrap(body)))
        if len(waiting) == APPEND_RECORDS:
            await broker.append(stream, waiting)
            waiting = []
    if waiting:
        await broker.append(stream, waiting)


# -- how far it is ------------------------------------------------------------------------------

ENDED = """
    SELECT count(*) FILTER (WHERE state = 'accepted') AS accepted,
           count(*) FILTER (WHERE state NOT IN ('accepted', 'pending', 'scheduled', 'sending'))
               AS otherwise
      FROM sender.message WHERE asked_at >= $1
"""

STORED = "SELECT count(*) FROM sender.message"
PERMITTED = "SELECT count(*) FROM sender.permission WHERE state = 'subscribed'"


async def until_accepted(
    pool: asyncpg.Pool, since: dt.datetime, count: int, look_seconds: float = 0.25
) -> None:
    """Until so many were taken by the server; anything else that became of one is an error."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            row = await pool.fetchrow(ENDED, since)
            assert row is not None
            if row["otherwise"]:
                raise SystemExit(f"{row['otherwise']} mails were not accepted")
            if row["accepted"] >= count:
                return
            await asyncio.sleep(look_seconds)


async def until(pool: asyncpg.Pool, query: str, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await pool.fetchval(query) < count:
            await asyncio.sleep(0.25)


# -- where it goes ------------------------------------------------------------------------------


def smtp_sink() -> str | None:
    """Postfix's, which takes mail and forgets it: the quickest server there is."""
    return shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def postfix_sink(path: str) -> Generator[int]:
    """Its port."""
    port = _free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with _listening([path, *user, f"127.0.0.1:{port}", str(SINK_BACKLOG)], port):
        yield port


@contextmanager
def distant_sink(round_trip_ms: float) -> Generator[int]:
    """The port of a sink of our own, as far away as that."""
    port = _free_port()
    script = ROOT / "tests" / "bench" / "sender_sink.py"
    with _listening([sys.executable, str(script), str(port), str(round_trip_ms)], port):
        yield port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _listening(command: list[str], port: int) -> Generator[None]:
    """A server in a process of its own; it listens when this is entered."""
    handle = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if handle.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not listen")
            time.sleep(0.05)
        yield
    finally:
        handle.terminate()
        handle.wait(START_SECONDS)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
