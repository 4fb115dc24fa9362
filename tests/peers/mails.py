"""Mails as the product sends them, from a shop that does not exist."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from chappe.ids import derived, random_id
from chappe_sender.adapters.smtp import Connection, Route, Security, SmtpWayOut, Timeouts
from chappe_sender.domain import dkim
from chappe_sender.domain.addresses import parse_address, parse_mailbox
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.mime import Mail, Marketing, build
from chappe_sender.domain.outcome import Reply
from tests.peers.authority import HOST
from tests.unit.sender.smtp_desk import Desk, Letter

DOMAIN: Final = "shop.example"
KEYS: Final = (
    dkim.Key(DOMAIN, "c1", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    dkim.Key(DOMAIN, "e1", ed25519.Ed25519PrivateKey.generate()),
)
RECORDS: Final = {key.record_name: key.record for key in KEYS}
BOUNCES: Final = "b-nxq3k7@bounce.shop.example"

QUICK: Final = Timeouts(
    connect=10, greeting=10, mail=10, rcpt=10, data=10, block=10, verdict=10, quit=2
)
DOTS: Final = ".\n..\n...\n.hidden\n. \n\n.\nlast."
"""Lines that a careless client or server eats."""


def sample(
    recipient: str = "zoe@example.com", *, back: str = BOUNCES, signed: bool = True, **changes: Any
) -> Letter:
    """A signed marketing mail. Its name is the message's id, by which a peer's copy is found;
    ``back`` is where it comes back to.
    """
    sender, to = parse_mailbox("Shöp, Inc <hello@shop.example>"), parse_address(recipient)
    assert sender is not None
    assert to is not None
    name = changes.pop("message", None) or derived("m_", random_id(""))
    mail = Mail(
        message=name,
        workspace="default",
        journey="abandoned-cart",
        sender=sender,
        reply_to=sender,
        to=to,
        subject="Zoé, your cart is waiting",
        date=dt.datetime.now(dt.UTC),
        html="<p>Zoé, it is 5 €.</p>\n.\n..\n",
        text=f"Zoé, it is 5 €.\n{DOTS}\n",
        plain_style=True,
        marketing=Marketing(
            unsubscribe_url=f"https://t.shop.example/u/{'x' * 80}",
            topic="offers",
            unsubscribe_address="u-nxq3k7@bounce.shop.example",
        ),
    )
    mail = dataclasses.replace(mail, **changes)
    sign = dkim.signer(KEYS, signed_at=int(mail.date.timestamp())) if signed else None
    return Letter(name, Envelope(back, str(to), build(mail, sign), utf8=mail.needs_utf8))


def route(port: int, security: Security = Security.NONE, **more: Any) -> Route:
    """To a peer on this machine, by the name that its certificate has."""
    plain = Route(HOST, port, security=security, timeouts=QUICK, connect_to="127.0.0.1")
    return dataclasses.replace(plain, ehlo_name="sender.shop.example", **more)


@asynccontextmanager
async def connected(where: Route) -> AsyncGenerator[Connection]:
    """Ended politely, whatever happens."""
    connection = await Connection.open(where)
    try:
        yield connection
    finally:
        await connection.quit()


async def send(where: Route, *samples: Letter) -> list[Reply]:
    """One connection, each announced with the one before."""
    replies: list[Reply] = []
    async with connected(where) as connection:
        for each, following in zip(samples, (*samples[1:], None), strict=True):
            await connection.begin(each.envelope)
            announced = following.envelope if following is not None else None
            replies.append(await connection.finish(each.envelope, announced))
    return replies


async def carry(where: Route, letters: list[Letter], lanes: int = 1) -> Desk:
    """As the product does it, over its own lanes; the desk knows what became of each."""
    desk = Desk(letters)
    running = asyncio.create_task(SmtpWayOut(where, lanes=lanes).run(desk))
    try:
        async with asyncio.timeout(60):
            await desk.done.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return desk
