"""Lanes carry each message once, keep their connection while there is work, and report all."""

import asyncio

from chappe_sender.adapters.smtp import Connection, Route, Security, SmtpWayOut, Timeouts
from chappe_sender.adapters.smtp.way_out import Lane
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.outcome import InDoubt, NotSent, Refused, Reply
from tests.unit.sender.scripted_smtp import CUT, Script, ScriptedServer, scripted
from tests.unit.sender.smtp_desk import Desk, Letter

QUICK = Timeouts(connect=2, greeting=1, mail=1, rcpt=1, data=1, block=1, verdict=1, quit=0.2)


def letter(name: str) -> Letter:
    content = f"{name}\r\n".encode()
    return Letter(name, Envelope("shop@shop.example", f"{name}@example.com", content))


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


async def test_a_connection_that_has_carried_enough_is_replaced_without_a_refusal() -> None:
    script = Script(answers={"MAIL": ["250 ok", "421 4.7.0 enough, closing", "250 ok"]})
    desk = Desk([letter("a"), letter("b"), letter("c")])
    async with scripted(script) as server:
        await run(server, desk)
    assert sorted(server.accepted) == [b"a\r\n", b"b\r\n", b"c\r\n"]
    assert all(isinstance(verdict, Reply) for verdict in desk.verdicts.values())
    assert server.connections == 2


async def test_a_fresh_connection_that_closes_at_once_is_a_refusal_for_now() -> None:
    desk = Desk([letter("a")])
    async with scripted(MAIL="421 4.7.0 busy") as server:
        await run(server, desk)
    verdict = desk.verdicts["a"]
    assert isinstance(verdict, Refused)
    assert (verdict.reply.code, verdict.permanent, server.connections) == (421, False, 1)


async def test_a_server_that_forgets_to_reset_after_a_refusal_costs_a_connection_not_a_mail() -> (
    None
):
    script = Script(
        answers={
            "MAIL": ["250 ok", "503 5.5.1 nested MAIL command", "250 ok"],
            "dot": ["554 5.7.1 spam", "250 ok"],
        }
    )
    desk = Desk([letter("a"), letter("b"), letter("c")])
    async with scripted(script) as server:
        await run(server, desk)
    assert isinstance(desk.verdicts["a"], Refused)
    assert server.accepted == [b"b\r\n", b"c\r\n"]


async def test_a_connection_that_has_had_its_number_of_mails_is_left_politely() -> None:
    desk = Desk([letter(name) for name in "abcd"])
    async with scripted() as server:
        route = Route("127.0.0.1", server.port, security=Security.NONE, timeouts=QUICK)
        lane = Lane(lambda: Connection.open(route), desk, messages_max=2)
        running = asyncio.create_task(lane.run())
        async with asyncio.timeout(10):
            await desk.done.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert server.connections == 2
    assert server.commands.count("QUIT") == 1
    assert len(server.accepted) == 4
