"""Letters as the sender writes them, and a desk that hands them out in loads."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chappe.clock import UTC, WallClock
from chappe.http import Outbound
from chappe.ids import ContactId, MessageId, WorkspaceId
from chappe_sender.adapters.providers import ProviderWayOut, account_of, adapter_of
from chappe_sender.application.letter import Letter
from chappe_sender.application.line import Load
from chappe_sender.application.ports import Claimed
from chappe_sender.application.routing import ProviderRecord
from chappe_sender.domain import mime
from chappe_sender.domain.addresses import Address, Mailbox
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.message import Message
from chappe_sender.domain.outcome import HandOverError, Taken
from chappe_sender.domain.providers import Kind
from chappe_sender.domain.template import MessageClass
from tests.fakes.providers import Fake, options_of, secrets_of

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PATIENCE_SECONDS = 15.0


def letter(id_: str, *, marketing: bool = True, to: str | None = None) -> Letter:
    address = Address(to or id_.replace("_", "-"), "example.com")
    mail = mime.Mail(
        message=id_,
        workspace="default",
        journey="abandoned-cart",
        sender=Mailbox("Zoé's, Shop", Address("hello", "shop.example")),
        reply_to=Mailbox("", Address("help", "shop.example")),
        to=address,
        subject=f"Votre panier vous attend, {id_} é",
        date=NOW,
        html=f"<p>Bonjour Zoé, votre panier {id_}</p>\n",
        text=f"Bonjour Zoé, votre panier {id_}\n",
        plain_style=True,
        marketing=mime.Marketing(unsubscribe_url="https://mail.example/u/tok", topic="offers")
        if marketing
        else None,
    )
    message = Message(
        id=MessageId(id_),
        shard=0,
        workspace=WorkspaceId("default"),
        contact=ContactId("c_1"),
        message_class=MessageClass.MARKETING if marketing else MessageClass.TRANSACTIONAL,
    )
    claimed = Claimed(
        message=message, epoch=1, address=str(address), locale=None, topic="offers", attempts=1,
        asked_at=NOW, dated_at=NOW, snapshot=b"{}",
    )  # fmt: skip
    envelope = Envelope("hello@shop.example", str(address), mime.build(mail))
    return Letter(claimed, envelope, mime.message_id(mail), mail.subject, mail)


def record(kind: str, **options: str) -> ProviderRecord:
    return ProviderRecord(
        id=f"pr_{kind}",
        workspace=WorkspaceId("default"),
        name=kind,
        kind=Kind(kind),
        secrets=secrets_of(kind),
        options=options_of(kind) | options,
        created_at=NOW,
        updated_at=NOW,
    )


@dataclass
class Desk:
    """Hands out loads and writes down what became of each message."""

    letters: list[Letter]
    size: int | None = None
    verdicts: dict[str, Taken | HandOverError] = field(default_factory=dict)
    committed: list[list[str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def take_load(self, size: int, octets: int) -> Load:
        if not self.letters:
            await asyncio.Event().wait()
        count = min(size, self.size or size)
        taken, self.letters = self.letters[:count], self.letters[count:]
        return Load(taken)

    async def commit_load(self, load: Load) -> Load | None:
        self.committed.append([each.claimed.message.id for each in load.letters])
        self.keys.append(load.key)
        return load

    def report_load(self, load: Load, verdicts: Sequence[Taken | HandOverError]) -> None:
        for each, verdict in zip(load.letters, verdicts, strict=True):
            assert each.claimed.message.id not in self.verdicts
            self.verdicts[each.claimed.message.id] = verdict
        outstanding = sum(len(load) for load in self.committed) - len(self.verdicts)
        if not self.letters and not outstanding:
            self.done.set()


@asynccontextmanager
async def lanes(
    fake: Fake, desk: Desk, *, answer_seconds: float = 0.4, **options: str
) -> AsyncGenerator[ProviderWayOut]:
    made = record(fake.kind, **options)
    outbound = Outbound(allow_loopback=True)
    account = account_of(made.kind, made.secrets, made.options, fake.url)
    way_out = ProviderWayOut(
        made,
        adapter_of(account),
        outbound,
        WallClock(),
        again_seconds=(0.01, 0.02, 0.03),
        answer_seconds=answer_seconds,
    )
    running = asyncio.create_task(way_out.run(desk))
    try:
        yield way_out
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await outbound.aclose()


async def carried(
    fake: Fake, *ids: str, size: int | None = None, answer_seconds: float = 0.4, **options: str
) -> Desk:
    """Send these, and wait until all have ended."""
    desk = Desk([letter(id_) for id_ in ids], size)
    async with lanes(fake, desk, answer_seconds=answer_seconds, **options):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await desk.done.wait()
    return desk
