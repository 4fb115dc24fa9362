"""The calls that steps ask for: signed, tried again, and their answers told."""

import asyncio
import base64
import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from standardwebhooks import Webhook

from chappe.broker import BrokerUnavailable
from chappe.clock import UTC
from chappe.events import Event
from chappe.http import OutboundAnswer, OutboundRefused, OutboundUnreachable
from chappe_orchestrator.adapters.pen import LiquidPen
from chappe_orchestrator.application.call_ports import Claimed, NoticeFailedError
from chappe_orchestrator.application.webhooks import (
    ATTEMPTS_MAX,
    LONGEST_PAUSE,
    CallMaker,
    pause_after,
)
from chappe_orchestrator.domain import Call
from tests.unit.orchestrator.world import World, small

SECRET = b"s" * 32
NOW = dt.datetime(2026, 11, 22, 9, tzinfo=UTC)


class Table:
    """Calls in memory."""

    def __init__(self, *calls: Call) -> None:
        self.due = list(calls)
        self.ended: list[tuple[str, str, str | None]] = []
        self.delayed: list[tuple[str, dt.datetime, str]] = []
        self.attempts: dict[str, int] = {}

    async def claim(self, now: dt.datetime, until: dt.datetime, limit: int) -> Sequence[Claimed]:
        del now, until
        taken, self.due = self.due[:limit], self.due[limit:]
        for call in taken:
            self.attempts[call.id] = self.attempts.get(call.id, 0) + 1
        return [Claimed(call, self.attempts[call.id]) for call in taken]

    async def end(self, call: str, state: str, now: dt.datetime, reason: str | None) -> None:
        del now
        self.ended.append((call, state, reason))

    async def again(self, call: str, at: dt.datetime, reason: str) -> None:
        self.delayed.append((call, at, reason))

    async def next_at(self) -> dt.datetime | None:
        delayed = [at for _, at, _ in self.delayed]
        return NOW if self.due else min(delayed, default=None)

    async def forget(self, before: dt.datetime) -> None: ...


class Server:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, *answers: OutboundAnswer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        limit_bytes: int = 0,
        timeout_seconds: float | None = None,
    ) -> OutboundAnswer:
        del limit_bytes, timeout_seconds
        self.asked.append((method, url, dict(headers or {}), content or b""))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Team:
    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.mails: list[tuple[str, str, str]] = []

    async def mail(self, call: str, workspace: str, address: str, subject: str, text: str) -> None:
        del call, workspace
        if self.away:
            raise NoticeFailedError("the sender cannot be reached")
        self.mails.append((address, subject, text))


class Log:
    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.facts: list[Event] = []

    async def tell(self, event: Event) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        self.facts.append(event)


class Now:
    def now(self) -> dt.datetime:
        return dt.datetime.now(UTC)


class Still:
    def now(self) -> dt.datetime:
        return NOW


def call_of(step: str) -> Call:
    """What a step of a journey asks for."""
    world = World(small("{event: custom.go}", f"[{step}]"))
    world.meet()
    world.hear("custom.go", {"n": 7, "title": 'A "hat"'})
    return world.calls[0]


def maker(
    table: Table, server: Server, *, team: Team | None = None, log: Log | None = None
) -> CallMaker:
    return CallMaker(
        calls=table,
        outside=server,
        notices=team or Team(),
        pen=LiquidPen(),
        teller=log or Log(),
        secret=lambda _: SECRET,
        business=Still(),
        wall=Now(),
    )


def answer(status: int, body: bytes = b"") -> OutboundAnswer:
    return OutboundAnswer(status, {}, body)


HOOK = '{id: hook, webhook: {url: "https://x.example/y", headers: {X-Key: k}%s}}'


async def test_a_call_is_signed_as_standard_webhooks_say() -> None:
    call = call_of(HOOK % "")
    server = Server(answer(204))
    await maker(Table(call), server).work()
    ((method, url, headers, body),) = server.asked
    assert (method, url, headers["X-Key"]) == ("POST", "https://x.example/y", "k")
    seen: Any = Webhook(base64.b64encode(SECRET).decode()).verify(body, headers)
    assert seen["data"]["event"]["n"] == 7
    assert headers["webhook-id"] == call.id


async def test_texts_of_the_body_may_hold_liquid_and_cannot_break_out_of_it() -> None:
    body = ', body: {text: "{{ event.title | upcase }}", list: ["{{ contact.email }}"], n: 1}'
    server = Server(answer(200))
    await maker(Table(call_of(HOOK % body)), server).work()
    said = json.loads(server.asked[0][3])
    assert said == {"text": 'A "HAT"', "list": ["zoe@example.com"], "n": 1}


async def test_a_text_that_cannot_be_filled_in_fails_the_call_with_its_reason() -> None:
    table, log = Table(call_of(HOOK % ', body: {a: "{{ x | nope }}"}')), Log()
    await maker(table, Server(), log=log).work()
    assert table.ended[0][1] == "failed"
    assert "nope" in (table.ended[0][2] or "")
    assert log.facts[0].data["answer"]["ok"] is False


async def test_the_answer_is_told_as_a_fact_about_the_contact() -> None:
    call = call_of(HOOK % "")
    table, log = Table(call), Log()
    await maker(table, Server(answer(200, b'{"tier": "gold"}')), log=log).work()
    (fact,) = log.facts
    assert (fact.name, fact.contact, fact.flags.derived) == (
        "webhook.answered",
        call.contact,
        False,
    )
    assert fact.data["answer"] == {"status": 200, "ok": True, "body": {"tier": "gold"}}
    assert table.ended == [(call.id, "done", None)]


@pytest.mark.parametrize(
    "bad", [answer(500), answer(429), answer(408), OutboundUnreachable("away", sent=True)]
)
async def test_what_may_pass_is_tried_again_later(bad: OutboundAnswer | Exception) -> None:
    table, log = Table(call_of(HOOK % "")), Log()
    made = maker(table, Server(bad), log=log)
    assert await made.busy()
    await made.work()
    assert table.ended == []
    assert log.facts == []
    assert not await made.busy()
    assert await made.next_due() == NOW + pause_after(1)


@pytest.mark.parametrize(
    "bad", [answer(400), answer(301), answer(410), OutboundRefused("not public")]
)
async def test_what_will_not_pass_is_not_tried_again(bad: OutboundAnswer | Exception) -> None:
    table, log = Table(call_of(HOOK % "")), Log()
    await maker(table, Server(bad), log=log).work()
    assert table.ended[0][1] == "failed"
    assert log.facts[0].data["answer"]["ok"] is False


async def test_attempts_and_time_are_bounded() -> None:
    assert [pause_after(n).total_seconds() for n in (1, 2, 3)] == [5, 20, 80]
    assert pause_after(ATTEMPTS_MAX) == LONGEST_PAUSE
    call = call_of(HOOK % "")
    table = Table(call)
    table.attempts[call.id] = ATTEMPTS_MAX - 1
    await maker(table, Server(answer(500))).work()
    assert table.ended[0][1] == "failed"


async def test_past_its_deadline_a_call_is_not_made() -> None:
    call = dataclasses.replace(call_of(HOOK % ""), deadline=NOW - dt.timedelta(seconds=1))
    table, server = Table(call), Server()
    await maker(table, server).work()
    assert server.asked == []
    assert table.ended[0][1:] == ("failed", "the deadline has passed")


async def test_an_answer_that_cannot_be_told_is_asked_for_again() -> None:
    table = Table(call_of(HOOK % ""))
    await maker(table, Server(answer(200)), log=Log(away=True)).work()
    assert table.ended == []
    assert len(table.delayed) == 1


async def test_a_huge_or_odd_answer_is_kept_short() -> None:
    for body in (b"x" * 100_000, b"\x00\xff" * 10, b"[" * 5_000):
        log = Log()
        await maker(Table(call_of(HOOK % "")), Server(answer(200, body)), log=log).work()
        assert len(json.dumps(log.facts[0].data)) < 12_000


NOTICE = """{notify: {email: team@shop.example, subject: "New: {{ event.n }}",
  text: "{{ contact.email }}"}}"""


async def test_the_team_gets_its_mail_and_nobody_hears_of_it() -> None:
    team, log, table = Team(), Log(), Table(call_of(NOTICE))
    await maker(table, Server(), team=team, log=log).work()
    assert team.mails == [("team@shop.example", "New: 7", "zoe@example.com")]
    assert log.facts == []
    assert table.ended[0][1] == "done"


async def test_a_mail_to_the_team_that_is_not_taken_is_tried_again() -> None:
    table = Table(call_of(NOTICE))
    await maker(table, Server(), team=Team(away=True)).work()
    assert len(table.delayed) == 1


async def test_a_notice_may_go_to_a_webhook_of_the_team() -> None:
    server = Server(answer(200))
    step = '{notify: {webhook: "https://chat.example/x", text: "n is {{ event.n }}"}}'
    await maker(Table(call_of(step)), server).work()
    assert json.loads(server.asked[0][3]) == {"text": "n is 7"}


async def test_no_more_calls_than_so_many_run_at_once_and_all_are_made() -> None:
    one = call_of(HOOK % "")
    calls = [dataclasses.replace(one, id=f"wh_{n}") for n in range(40)]
    table, server = Table(*calls), Server(*[answer(200)] * 40)
    made = maker(table, server)
    task = asyncio.create_task(made.run())
    while len(table.ended) < 40:
        await asyncio.sleep(0)
    task.cancel()
    assert {call for call, _, _ in table.ended} == {call.id for call in calls}


@pytest.mark.parametrize(
    "text",
    ["{% for i in (1..99999999) %}x{% endfor %}", "{% include 'x' %}", "{{ 'a' | times: 9 }}"],
)
def test_the_pen_knows_no_loops_and_few_filters(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        LiquidPen().fill(text, {})
