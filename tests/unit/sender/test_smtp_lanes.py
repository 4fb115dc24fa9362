"""Lanes carry each message once, keep their connection while there is work, and report all."""

import asyncio
from dataclasses import dataclass, field

from chappe_sender.adapters.smtp import Route, Security, SmtpWayOut, Timeouts
from chappe_sender.application.ports import Parcel, Verdict
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.outcome import InDoubt, NotSent, Refused, Reply
from tests.unit.sender.scripted_smtp import CUT, Script, ScriptedServer, scripted

QUICK = Timeouts(connect=2, greeting=1, mail=1, rcpt=1, data=1, block=1, verdict=1, quit=0.2)


@dataclass(frozen=True)
class Letter:
    name: str
    envelope: Envelope


def letter(name: str) -> Letter:
    content = f"{name}\r\n".encode()
    return Letter(name, Envelope("shop@shop.example", f"{name}@example.com", content))


@dataclass
class Desk:
    """Hands out letters and writes down what became of them."""

    letters: list[Letter]
    forbidden: set[str] = field(default_factory=set)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._left = len(self.letters)

    async def take(self) -> Parcel:
        if not self.letters:
            await asyncio.Event().wait()
        return self.letters.pop(0)

    def take_now(self) -> Parcel | None:
        return self.letters.pop(0) if self.letters else None

    async def about_to_commit(self, parcel: Parcel) -> bool:
        assert isinstance(parcel, Letter)
        self.order.append(f"commit {parcel.name}")
        if parcel.name in self.forbidden:
            self._count()
            return False
        return True

    def report(self, parcel: Parcel, verdict: Verdict) -> None:
        assert isinstance(parcel, Letter)
        assert parcel.name not in self.verdicts
        self.order.append(f"report {parcel.name}")
        self.verdicts[parcel.name] = verdict
        self._count()

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self.done.set()


async def run(server: ScriptedServer, desk: Desk, lanes: int = 1) -> None:
    route = Route("127.0.0.1", server.port, security=Security.NONE, timeouts=QUICK)
    running = asyncio.create_task(SmtpWayOut(route, lanes=lanes).run(desk))
    async with asyncio.timeout(10):
        await desk.done.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_many_messages_use_one_connection_and_arrive_once_each() -> None:
    names = [f"m{n}" for n in range(30)]
    desk = Desk([letter(name) for name in names])
    async with scripted() as server:
        await run(server, desk)
    assert sorted(server.accepted) == sorted(f"{name}\r\n".encode() for name in names)
    assert server.connections == 1


async def test_nothing_is_written_before_the_commit_is_noted_and_outcomes_come_first() -> None:
    desk = Desk([letter("a"), letter("b"), letter("c")])
    async with scripted() as server:
        await run(server, desk)
    assert desk.order == ["commit a", "report a", "commit b", "report b", "commit c", "report c"]


async def test_a_message_that_must_not_go_after_all_is_not_sent() -> None:
    desk = Desk([letter("a"), letter("b"), letter("c")], forbidden={"b"})
    async with scripted() as server:
        await run(server, desk)
    assert sorted(server.accepted) == [b"a\r\n", b"c\r\n"]


async def test_a_server_that_hangs_up_after_each_message_costs_a_connection_not_a_message() -> None:
    script = Script(answers={"MAIL": ["250 ok", CUT, "250 ok", CUT, "250 ok"]})
    desk = Desk([letter("a"), letter("b"), letter("c")])
    async with scripted(script) as server:
        await run(server, desk)
    assert sorted(server.accepted) == [b"a\r\n", b"b\r\n", b"c\r\n"]
    assert all(isinstance(verdict, Reply) for verdict in desk.verdicts.values())


async def test_a_message_in_doubt_is_reported_and_never_written_again() -> None:
    desk = Desk([letter("a"), letter("b")])
    async with scripted(Script(answers={"dot": ["take-and-nonsense", "250 ok"]})) as server:
        await run(server, desk)
    assert isinstance(desk.verdicts["a"], InDoubt)
    assert server.accepted == [b"a\r\n", b"b\r\n"]


async def test_a_refused_recipient_does_not_hold_up_the_next() -> None:
    script = Script(answers={"RCPT": ["550 5.1.1 nobody", "250 ok"]})
    desk = Desk([letter("a"), letter("b")])
    async with scripted(script) as server:
        await run(server, desk)
    assert isinstance(desk.verdicts["a"], Refused)
    assert isinstance(desk.verdicts["b"], Reply)
    assert server.connections == 1


async def test_a_server_that_is_away_means_surely_not_sent() -> None:
    desk = Desk([letter("a")])
    async with scripted() as server:
        pass
    await run(server, desk)
    assert isinstance(desk.verdicts["a"], NotSent)
