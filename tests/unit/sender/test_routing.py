"""Which provider a message goes by, and what may be claimed while some are closed."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chappe.clock import UTC
from chappe.ids import ContactId, MessageId, WorkspaceId
from chappe_sender.application.health import REST_SECONDS
from chappe_sender.application.letter import Letter
from chappe_sender.application.line import Line
from chappe_sender.application.lines import Lines
from chappe_sender.application.routing import Admission, ProviderRecord, Refusals, RouteState
from chappe_sender.domain.message import Message
from chappe_sender.domain.providers import CAPABILITIES, FORMS, Kind, may_send, problems_of
from chappe_sender.domain.template import MessageClass

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MARKETING, TRANSACTIONAL = MessageClass.MARKETING, MessageClass.TRANSACTIONAL


def record(name: str, kind: Kind = Kind.SENDGRID, **fields: Any) -> ProviderRecord:
    given: dict[str, Any] = {
        "id": name, "workspace": WorkspaceId("default"), "name": name, "kind": kind,
        "secrets": {}, "options": {}, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return ProviderRecord(**(given | fields))


def message(message_class: MessageClass = MARKETING, workspace: str = "default") -> Message:
    return Message(
        id=MessageId("m_1"),
        shard=0,
        workspace=WorkspaceId(workspace),
        contact=ContactId("c_1"),
        message_class=message_class,
    )


class Shelf:
    def __init__(self, *records: ProviderRecord) -> None:
        self.records = list(records)

    async def active(self) -> list[ProviderRecord]:
        return self.records

    async def stop(self, provider: str, reason: str, now: dt.datetime) -> None: ...


class Lanes:
    async def run(self, work: Line) -> None:
        await asyncio.Event().wait()

    def key(self, letters: Sequence[Letter]) -> str | None:
        return None


async def lines(*records: ProviderRecord) -> Lines:
    made = Lines(Shelf(*records), lambda _: Lanes())
    await made.refresh()
    return made


def chosen(of: Lines, what: Message, domain: str = "shop.example", *avoid: str) -> str | None:
    line = of.choose(what, domain, avoid)
    return line.record.name if line is not None else None


async def test_the_lowest_priority_goes_first_and_the_next_when_it_refused() -> None:
    of = await lines(record("b", priority=2), record("a", priority=1))
    assert chosen(of, message()) == "a"
    assert chosen(of, message(), "shop.example", "a") == "b"
    assert chosen(of, message(), "shop.example", "a", "b") is None


async def test_class_from_domain_and_workspace_are_kept_apart() -> None:
    of = await lines(
        record("receipts", classes=(TRANSACTIONAL,)),
        record("shop", classes=(MARKETING,), domains=("shop.example",)),
    )
    assert chosen(of, message(TRANSACTIONAL)) == "receipts"
    assert chosen(of, message()) == "shop"
    assert not of.concerns(message(), "other.example")
    assert not of.concerns(message(workspace="other"), "shop.example")


async def test_what_is_paused_keeps_its_mail_rather_than_let_it_go_another_way() -> None:
    of = await lines(record("a", state=RouteState.PAUSED))
    assert of.concerns(message(), "shop.example")
    assert chosen(of, message()) is None
    admission = Admission(of.admission(), frozenset(MessageClass))
    assert not admission.admits(WorkspaceId("default"), MARKETING)
    assert not admission.admits(WorkspaceId("default"), TRANSACTIONAL)
    assert admission.admits(WorkspaceId("other"), MARKETING)


async def test_a_full_default_way_does_not_hold_up_the_providers() -> None:
    of = await lines(record("a", classes=(TRANSACTIONAL,)))
    full = frozenset[MessageClass]()
    admission = Admission(of.admission(), full)
    assert admission
    assert admission.admits(WorkspaceId("default"), TRANSACTIONAL)
    assert not admission.admits(WorkspaceId("default"), MARKETING)
    assert not Admission((await lines()).admission(), full)


async def test_a_resting_provider_is_passed_over() -> None:
    of = await lines(record("a", priority=1), record("b", priority=2))
    line = of.get("a")
    assert line is not None
    for _ in range(3):
        line.health.failed("away")
    assert chosen(of, message()) == "b"


async def test_a_resumed_provider_starts_with_a_clean_slate() -> None:
    shelf = Shelf(record("a", state=RouteState.STOPPED))
    of = Lines(shelf, lambda _: Lanes())
    await of.refresh()
    line = of.get("a")
    assert line is not None
    for _ in range(9):
        line.health.doubted("silence")
    shelf.records = [replace(shelf.records[0], state=RouteState.ACTIVE)]
    await of.refresh()
    assert line.usable
    assert not line.health.must_stop


async def test_a_record_that_nothing_speaks_to_is_left_out() -> None:
    def nothing(record: ProviderRecord) -> Lanes:
        raise LookupError("not yet")

    of = Lines(Shelf(record("a")), nothing)
    await of.refresh()
    assert not of


def test_only_the_last_refusals_are_remembered() -> None:
    refusals = Refusals()
    for n in range(10_100):
        refusals.add(MessageId(f"m_{n}"), "a")
        refusals.isolate(MessageId(f"m_{n}"))
    assert refusals.of(MessageId("m_0")) == frozenset()
    assert refusals.of(MessageId("m_10099")) == {"a"}
    assert not refusals.is_alone(MessageId("m_0"))


def test_marketing_is_refused_where_links_or_the_way_to_leave_would_not_stay() -> None:
    refused = {kind for kind in Kind if may_send(kind, MARKETING, {}) is not None}
    assert refused == {Kind.BREVO, Kind.RESEND}
    assert all(may_send(kind, TRANSACTIONAL, {}) is None for kind in Kind)
    assert may_send(Kind.RESEND, MARKETING, {"tracking": "off"}) is None


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_says_what_it_needs(kind: Kind) -> None:
    form, able = FORMS[kind], CAPABILITIES[kind]
    missing = {where for where, _ in problems_of(kind, {}, {})}
    assert missing == {
        *(f"secrets.{name}" for name in form.secrets),
        *(f"options.{name}" for name in form.needed),
    }
    assert able.batch_size <= able.batch_max


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"batch": "501"}, "options.batch"),
        ({"batch": "0"}, "options.batch"),
        ({"in_flight": "many"}, "options.in_flight"),
        ({"rate": "0"}, "options.rate"),
        ({"rate": "nan"}, "options.rate"),
        ({"tracking": "off"}, "options.tracking"),
        ({"stream": "a\nb"}, "stream"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, str], wrong: str) -> None:
    found = problems_of(Kind.POSTMARK, {"server_token": "t"}, options)
    assert [where for where, _ in found] == [wrong]


async def test_the_preferred_provider_gets_the_mail_back_once_it_answers() -> None:
    of = await lines(record("a", priority=1), record("b", priority=2))
    line = of.get("a")
    assert line is not None
    now = 0.0
    line.health.seconds = lambda: now
    for _ in range(3):
        line.health.failed("away")
    assert chosen(of, message()) == "b"
    now = REST_SECONDS
    assert chosen(of, message()) == "a"
    line.health.begin()
    assert chosen(of, message()) == "b", "one mail tries it, the others do not wait for that"
    line.health.answered()
    assert chosen(of, message()) == "a"
