"""The SMTP client knows how far it got, and so whether a message may have been accepted."""

from dataclasses import replace
from typing import Any

import pytest

from chappe_sender.adapters.smtp import Connection, Route, Security, Timeouts
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.outcome import HandOverError, InDoubt, NotSent, Refused, Stage
from tests.unit.sender.scripted_smtp import CUT, SILENT, Script, ScriptedServer, scripted

QUICK = Timeouts(
    connect=2, greeting=0.2, mail=0.2, rcpt=0.2, data=0.2, block=0.2, verdict=0.2, quit=0.2
)


def route(server: ScriptedServer, security: Security = Security.NONE, **more: Any) -> Route:
    return replace(Route("127.0.0.1", server.port, security=security, timeouts=QUICK), **more)


def mail(number: int = 1, content: bytes = b"Subject: hello\r\n\r\nhello\r\n") -> Envelope:
    return Envelope("shop@shop.example", f"zoe{number}@example.com", content)


async def send(connection: Connection, envelope: Envelope) -> None:
    await connection.begin(envelope)
    await connection.finish(envelope)


async def failure(server: ScriptedServer, envelope: Envelope | None = None) -> HandOverError:
    envelope = envelope or mail()
    with pytest.raises(HandOverError) as caught:
        await send(await Connection.open(route(server)), envelope)
    return caught.value


async def test_a_message_is_accepted_with_its_bytes() -> None:
    async with scripted() as server:
        await send(await Connection.open(route(server)), mail())
    assert server.accepted == [b"Subject: hello\r\n\r\nhello\r\n"]


async def test_sender_recipient_and_data_travel_together() -> None:
    async with scripted() as server:
        await send(await Connection.open(route(server)), mail())
    assert any(
        chunk.startswith(b"MAIL") and b"RCPT" in chunk and chunk.endswith(b"DATA\r\n")
        for chunk in server.chunks
    )


async def test_the_next_message_is_announced_with_the_final_dot_of_this_one() -> None:
    async with scripted() as server:
        connection = await Connection.open(route(server))
        first, second = mail(1), mail(2)
        await connection.begin(first)
        await connection.finish(first, second)
        await connection.begin(second)
        await connection.finish(second)
    assert any(b".\r\nMAIL FROM" in chunk for chunk in server.chunks)
    assert len(server.accepted) == 2


async def test_without_pipelining_each_command_waits_for_its_answer() -> None:
    async with scripted(Script(features=())) as server:
        connection = await Connection.open(route(server))
        first, second = mail(1), mail(2)
        await connection.begin(first)
        await connection.finish(first, second)
        await connection.begin(second)
        await connection.finish(second)
    assert not any(b"MAIL" in chunk and b"RCPT" in chunk for chunk in server.chunks)
    assert len(server.accepted) == 2


async def test_a_server_that_knows_only_helo_is_spoken_to_in_helo() -> None:
    async with scripted(EHLO="502 what?") as server:
        await send(await Connection.open(route(server)), mail())
    assert "HELO localhost" in server.commands
    assert len(server.accepted) == 1


async def test_lines_that_begin_with_a_dot_arrive_as_they_were() -> None:
    content = b".\r\n..two\r\nx\r\n.\r\n"
    async with scripted() as server:
        await send(await Connection.open(route(server)), mail(content=content))
    assert server.accepted == [content]


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        ("banner", Stage.GREETING),
        ("EHLO", Stage.HELLO),
        ("MAIL", Stage.MAIL),
        ("RCPT", Stage.RCPT),
        ("DATA", Stage.DATA),
    ],
)
@pytest.mark.parametrize("said", [CUT, SILENT, "nonsense"])
async def test_before_the_content_a_lost_server_means_surely_not_sent(
    command: str, stage: Stage, said: str
) -> None:
    async with scripted(Script(answers={command: said})) as server:
        error = await failure(server)
    assert isinstance(error, NotSent)
    assert error.stage == stage or said != "nonsense"
    assert error.stage not in {Stage.CONTENT, Stage.VERDICT}
    assert server.accepted == []


async def test_a_connection_cut_while_the_content_is_written_is_surely_not_sent() -> None:
    content = b"x" * 70 + b"\r\n"
    async with scripted(Script(features=("PIPELINING",), cut_in_content_after=3)) as server:
        error = await failure(server, mail(content=content * 300_000))
    assert isinstance(error, NotSent)
    assert error.stage is Stage.CONTENT


@pytest.mark.parametrize("said", [CUT, SILENT, "nonsense", "354 once more", "take-and-cut"])
async def test_doubt_begins_with_the_final_dot_and_no_sooner(said: str) -> None:
    async with scripted(dot=said) as server:
        error = await failure(server)
    assert isinstance(error, InDoubt)
    assert error.stage is Stage.VERDICT
    assert (len(server.accepted) == 1) == said.startswith("take")


async def test_a_refusal_after_the_content_is_no_doubt() -> None:
    async with scripted(dot="554 5.7.1 looks like spam") as server:
        error = await failure(server)
    assert isinstance(error, Refused)
    assert error.permanent
    assert error.reply.enhanced == "5.7.1"
    assert error.reply.text == "looks like spam"


@pytest.mark.parametrize(("command", "stage"), [("MAIL", Stage.MAIL), ("RCPT", Stage.RCPT)])
async def test_a_refusal_says_what_was_refused_and_the_connection_goes_on(
    command: str, stage: Stage
) -> None:
    answers = {command: ["550 5.1.1 no such user", "250 ok"]}
    async with scripted(Script(answers={**answers, "DATA": ["503 no", "354 go"]})) as server:
        connection = await Connection.open(route(server))
        with pytest.raises(Refused) as caught:
            await connection.begin(mail(1))
        assert (caught.value.stage, caught.value.permanent) == (stage, True)
        await send(connection, mail(2))
    assert server.connections == 1
    assert "RSET" in server.commands
    assert len(server.accepted) == 1


async def test_data_accepted_without_a_recipient_sends_nothing() -> None:
    async with scripted(RCPT="450 4.2.1 later", dot="554 no recipients") as server:
        error = await failure(server)
    assert isinstance(error, Refused)
    assert not error.permanent
    assert error.stage is Stage.RCPT
    assert server.accepted == []


async def test_content_asked_for_after_a_refused_sender_gets_no_dot_that_could_be_a_mail() -> None:
    answers: dict[str, str | list[str]] = {"MAIL": "553 5.1.8 not you", "DATA": "354 go on"}
    async with scripted(Script(answers=answers)) as server:
        error = await failure(server)
    assert isinstance(error, Refused)
    assert error.stage is Stage.MAIL
    assert server.accepted == []
    assert "." not in server.commands


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("features", [("PIPELINING",), ()])
async def test_a_server_out_of_step_says_nothing_of_the_message(
    command: str, features: tuple[str, ...]
) -> None:
    script = Script(features=features, answers={command: "503 5.5.1 bad sequence"})
    async with scripted(script) as server:
        error = await failure(server)
    assert isinstance(error, NotSent)
    assert "out of step" in error.detail


@pytest.mark.parametrize(
    ("command", "stage"), [("MAIL", Stage.MAIL), ("RCPT", Stage.RCPT), ("DATA", Stage.DATA)]
)
async def test_a_server_that_closes_within_a_group_is_heard(command: str, stage: Stage) -> None:
    async with scripted(Script(answers={command: "421 4.7.0 going down"})) as server:
        connection = await Connection.open(route(server))
        with pytest.raises(Refused) as caught:
            await connection.begin(mail())
        assert (caught.value.stage, caught.value.reply.text) == (stage, "going down")
        assert not connection.alive


async def test_what_a_server_says_unasked_is_no_answer_to_the_next_mail() -> None:
    async with scripted(Script(answers={"dot": "250 ok\r\n421 4.4.2 idle too long"})) as server:
        connection = await Connection.open(route(server))
        await send(connection, mail(1))
        with pytest.raises(NotSent) as caught:
            await connection.begin(mail(2))
    assert "idle too long" in caught.value.detail


async def test_after_a_refused_content_the_next_mail_starts_from_nothing() -> None:
    async with scripted(Script(answers={"dot": ["554 5.7.1 spam", "250 ok"]})) as server:
        connection = await Connection.open(route(server))
        with pytest.raises(Refused):
            await send(connection, mail(1))
        await send(connection, mail(2))
    assert "RSET" in server.commands
    assert len(server.accepted) == 1


async def test_the_verdict_belongs_to_its_own_message_when_the_next_is_announced() -> None:
    script = Script(answers={"dot": ["451 4.3.0 later", "250 ok"]})
    async with scripted(script) as server:
        connection = await Connection.open(route(server))
        first, second = mail(1, b"one\r\n"), mail(2, b"two\r\n")
        await connection.begin(first)
        with pytest.raises(Refused):
            await connection.finish(first, second)
        await connection.begin(second)
        await connection.finish(second)
    assert server.accepted == [b"two\r\n"]


async def test_a_message_larger_than_the_server_takes_is_refused_without_asking() -> None:
    async with scripted(Script(features=("SIZE 10",))) as server:
        error = await failure(server)
    assert isinstance(error, Refused)
    assert error.permanent
    assert not any(command.startswith("MAIL") for command in server.commands)


async def test_an_international_address_needs_a_server_that_can() -> None:
    envelope = Envelope("shop@shop.example", "zoé@example.com", b"x\r\n", utf8=True)
    async with scripted(Script(features=("PIPELINING",))) as server:
        error = await failure(server, envelope)
        assert isinstance(error, Refused)
    async with scripted() as server:
        await send(await Connection.open(route(server)), envelope)
    assert any(command.endswith("SMTPUTF8") for command in server.commands)


async def test_starttls_that_is_required_and_not_offered_means_no_mail() -> None:
    async with scripted() as server:
        with pytest.raises(NotSent) as caught:
            await Connection.open(route(server, Security.REQUIRE))
    assert caught.value.stage is Stage.TLS


async def test_text_slipped_in_before_tls_is_refused() -> None:
    script = Script(features=("STARTTLS",), answers={"STARTTLS": "220 go\r\n250 injected"})
    async with scripted(script) as server:
        with pytest.raises(NotSent) as caught:
            await Connection.open(route(server, Security.OPPORTUNISTIC))
    assert caught.value.stage is Stage.TLS


@pytest.mark.parametrize(
    ("offer", "said"), [("AUTH PLAIN LOGIN", ["235 ok"]), ("AUTH LOGIN", ["334 VXNlcg=="])]
)
async def test_it_logs_in_with_what_the_server_offers(offer: str, said: list[str]) -> None:
    answers: dict[str, str | list[str]] = {
        "AUTH": said,
        "dG9t": "334 UGFzcw==",
        "c2VjcmV0": "235 ok",
    }
    async with scripted(Script(features=(offer,), answers=answers)) as server:
        await send(await Connection.open(route(server, username="tom", password="secret")), mail())
    assert len(server.accepted) == 1


async def test_a_refused_login_is_a_refusal_and_the_password_is_in_no_message() -> None:
    script = Script(features=("AUTH PLAIN",), answers={"AUTH": "535 5.7.8 no"})
    async with scripted(script) as server:
        where = route(server, username="tom", password="hunter22")
        with pytest.raises(Refused) as caught:
            await Connection.open(where)
    assert caught.value.stage is Stage.AUTH
    assert "hunter22" not in f"{caught.value!r} {where!r}"


@pytest.mark.parametrize("offer", ["AUTH PLAIN LOGIN", "AUTH XOAUTH2"])
async def test_no_password_goes_in_clear_unless_the_route_is_meant_to_be_in_clear(
    offer: str,
) -> None:
    async with scripted(Script(features=(offer,))) as server:
        where = route(server, Security.OPPORTUNISTIC, username="tom", password="hunter22")
        for auth in (None, offer.rpartition(" ")[2].lower()):
            with pytest.raises(NotSent) as caught:
                await Connection.open(replace(where, auth=auth))
            assert caught.value.stage is Stage.AUTH
    assert not any(command.startswith("AUTH") for command in server.commands)


async def test_a_server_that_repeats_the_password_is_not_repeated() -> None:
    told = "535 5.7.8 no: AHRvbQBodW50ZXIyMg== is tom with hunter22"
    async with scripted(Script(features=("AUTH PLAIN",), answers={"AUTH": told})) as server:
        with pytest.raises(Refused) as caught:
            await Connection.open(route(server, username="tom", password="hunter22"))
    assert str(caught.value) == "auth: 535 no: … is tom with …"


@pytest.mark.parametrize(
    ("challenge", "shown"),
    [
        ("eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIn0=", "no (status 400)"),
        ("eyJzdGF0dXMiOiAiYVxuYiJ9", "no"),
        ("bm9uc2Vuc2U=", "no"),
        ("W10=", "no"),
        ("%", "no"),
    ],
)
async def test_a_refused_token_is_answered_and_its_reason_told(challenge: str, shown: str) -> None:
    answers: dict[str, str | list[str]] = {"AUTH": f"334 {challenge}", "": "535 5.7.8 no"}
    async with scripted(Script(features=("AUTH XOAUTH2",), answers=answers)) as server:
        where = route(server, username="tom", password="token", auth="xoauth2")
        with pytest.raises(Refused) as caught:
            await Connection.open(where)
    assert (caught.value.stage, caught.value.reply.text) == (Stage.AUTH, shown)
    assert server.commands[-1] == ""


async def test_a_server_that_never_stops_talking_is_hung_up_on() -> None:
    async with scripted(banner="220-" + "x" * 10_000) as server:
        error = await failure(server)
    assert isinstance(error, NotSent)


@pytest.mark.parametrize("address", ["a b@c", "a\r\nRCPT TO:<x@y>", "a>@b", "", "a\0@b"])
def test_an_envelope_takes_no_address_that_could_be_a_command(address: str) -> None:
    with pytest.raises(ValueError, match="envelope"):
        Envelope("shop@shop.example", address, b"x\r\n")


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\n.\r\n", b"no end"])
def test_content_with_a_bare_line_end_never_reaches_the_wire(content: bytes) -> None:
    with pytest.raises(ValueError, match="CRLF"):
        Envelope("shop@shop.example", "zoe@example.com", content)
