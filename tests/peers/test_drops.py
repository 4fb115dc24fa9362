"""Servers that break off at every stage: what surely was not sent is told from what may have been.

``smtp-sink`` does it with and without PIPELINING, aiosmtpd as a second opinion.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from chappe_sender.domain.outcome import (
    HandOverError,
    InDoubt,
    NotSent,
    Refused,
    Reply,
    Stage,
)
from tests.peers.mails import QUICK, carry, route, sample, send
from tests.peers.sink import sink

pytestmark = pytest.mark.peers

STAGES = {
    "connect": Stage.GREETING,
    "ehlo": Stage.HELLO,
    "mail": Stage.MAIL,
    "rcpt": Stage.RCPT,
    "data": Stage.DATA,
    ".": Stage.VERDICT,
}
PIPELINING = pytest.mark.parametrize("flags", [(), ("-p",)], ids=["pipelining", "one by one"])
AT_EVERY_STAGE = pytest.mark.parametrize("command", STAGES)
LANES = 4


async def failure(port: int, **timeouts: float) -> HandOverError:
    where = route(port, timeouts=replace(QUICK, **timeouts))
    with pytest.raises(HandOverError) as caught:
        await send(where, sample())
    return caught.value


@AT_EVERY_STAGE
@PIPELINING
async def test_a_server_that_vanishes(command: str, flags: tuple[str, ...]) -> None:
    with sink(None, "-q", command, *flags, dump=True) as server:
        error = await failure(server.port)
    assert error.stage is STAGES[command]
    assert isinstance(error, InDoubt if command == "." else NotSent)


@AT_EVERY_STAGE
@PIPELINING
async def test_a_server_that_says_421_and_closes(command: str, flags: tuple[str, ...]) -> None:
    with sink(None, "-Q", command, *flags) as server:
        error = await failure(server.port)
    assert isinstance(error, Refused)
    assert (error.stage, error.reply.code) == (STAGES[command], 421)


@pytest.mark.parametrize(("option", "first"), [("-f", 5), ("-r", 4)])
@pytest.mark.parametrize("command", [each for each in STAGES if each != "ehlo"])
@PIPELINING
async def test_a_server_that_says_no(
    option: str, first: int, command: str, flags: tuple[str, ...]
) -> None:
    with sink(None, option, command, *flags) as server:
        error = await failure(server.port)
    assert isinstance(error, Refused)
    assert (error.stage, error.reply.code // 100) == (STAGES[command], first)
    assert error.permanent == (first == 5)


async def test_a_server_that_knows_no_ehlo_takes_the_mail_all_the_same() -> None:
    with sink(None, "-f", "ehlo", dump=True) as server:
        mail = sample()
        await send(route(server.port), mail)
        assert mail.name.encode() in server.dumped_with(mail.name.encode())


@pytest.mark.parametrize("command", ["mail", "rcpt", "data", "."])
@PIPELINING
async def test_a_server_that_falls_silent(command: str, flags: tuple[str, ...]) -> None:
    with sink(None, "-W", f"{command}:20", *flags) as server:
        error = await failure(server.port, mail=0.3, rcpt=0.3, data=0.3, verdict=0.3)
    # What smtp-sink answers to a group of commands it holds back until it has worked off them all.
    within = {STAGES[command]} if flags or command == "." else {Stage.MAIL, Stage.RCPT, Stage.DATA}
    assert error.stage in within
    assert isinstance(error, InDoubt if command == "." else NotSent)


@pytest.mark.parametrize("after", [7, 20])
async def test_a_server_that_dies_among_many_mails_leaves_no_more_doubts_than_connections(
    after: int,
) -> None:
    letters = [sample(f"zoe{n}@example.com") for n in range(after + LANES)]
    names = [each.name for each in letters]
    with sink(None, "-M", str(after), dump=True) as server:
        desk = await carry(route(server.port), [*letters], lanes=LANES)
        dumped = [raw for raw in server.dumped() if raw.endswith(b"--\n\n")]
    taken = {name for name in names if any(name.encode() in raw for raw in dumped)}
    said = {name for name in names if isinstance(desk.verdicts[name], Reply)}
    doubtful = {name for name in names if isinstance(desk.verdicts[name], InDoubt)}
    not_sent = {name for name in names if isinstance(desk.verdicts[name], NotSent)}
    assert said | doubtful | not_sent == set(names)
    assert len(doubtful) <= LANES
    assert said <= taken
    assert not not_sent & taken
    assert len(dumped) == len(taken)
    assert after <= len(taken) <= after + LANES


# -- aiosmtpd -------------------------------------------------------------------------------------


@dataclass
class Breaking:
    """Cuts the connection when it hears ``at``; ``keeps`` the mail before."""

    at: str
    keeps: bool = False
    port: int = 0
    kept: list[bytes] = field(default_factory=list[bytes])

    def _cut(self, server: SMTP, hook: str) -> None:
        if hook == self.at:
            cast("asyncio.Transport", server.transport).abort()

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, name: str, said: list[str]
    ) -> list[str]:
        del envelope
        session.host_name = name
        self._cut(server, "ehlo")
        return said

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        self._cut(server, "mail")
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session, options
        envelope.rcpt_tos.append(address)
        self._cut(server, "rcpt")
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del session
        if self.keeps:
            assert isinstance(envelope.content, bytes)
            self.kept.append(envelope.content)
        self._cut(server, ".")
        return "250 OK"


@asynccontextmanager
async def breaking(at: str, *, keeps: bool = False) -> AsyncGenerator[Breaking]:
    peer = Breaking(at, keeps)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: SMTP(peer, loop=loop, enable_SMTPUTF8=True), "127.0.0.1", 0
    )
    peer.port = listening.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        listening.close()
        await listening.wait_closed()


@pytest.mark.parametrize("at", ["ehlo", "mail", "rcpt"])
async def test_aiosmtpd_that_vanishes_before_the_content(at: str) -> None:
    async with breaking(at, keeps=True) as peer:
        error = await failure(peer.port)
    assert isinstance(error, NotSent)
    assert error.stage is STAGES[at]
    assert peer.kept == []


@pytest.mark.parametrize("keeps", [True, False])
async def test_aiosmtpd_that_vanishes_after_the_final_dot(keeps: bool) -> None:
    """Nobody can tell from here whether it kept the mail."""
    async with breaking(".", keeps=keeps) as peer:
        error = await failure(peer.port)
    assert isinstance(error, InDoubt)
    assert len(peer.kept) == keeps


async def test_aiosmtpd_takes_our_mail_as_it_is() -> None:
    mails = [sample(), sample("zoé@example.com"), sample(text=".\n..\n")]
    async with breaking("never", keeps=True) as peer:
        await send(route(peer.port), *mails)
    assert peer.kept == [mail.envelope.content for mail in mails]
