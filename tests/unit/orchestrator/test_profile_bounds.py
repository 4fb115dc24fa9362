"""A profile stays small and truthful, whatever is sent to it."""

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from chappe.events import Consent, ConsentState, Event, Flags, Identifier
from chappe.ids import ContactId, EventId, MessageId, SourceId, StepId, WorkspaceId
from chappe_orchestrator.domain.profile import (
    COUNTED_DAYS_MAX,
    COUNTED_NAMES_MAX,
    MAILS_MAX,
    PROFILE_BYTES_MAX,
    SCHEMA,
    SCORE_MAX,
    SEEN_MAX,
    Mail,
    Profile,
    ProfileTooNewError,
    absorb,
    add_score,
    is_repeat,
    merge,
    read_profile,
    score_now,
)

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC)
_encode = msgspec.json.Encoder(decimal_format="string").encode


def fact(name: str, data: dict[str, Any] | None = None, number: int = 0, **more: Any) -> Event:
    at = more.pop("at", NOW)
    given: dict[str, Any] = {
        "id": EventId(f"e_{number}"),
        "name": name,
        "workspace": WorkspaceId("default"),
        "source": SourceId("src_1"),
        "occurred_at": at,
        "received_at": at,
        "contact": ContactId("c_1"),
        "data": data or {},
    }
    return Event(**(given | more))


def hostile(number: int) -> Event:
    """The worst of everything, differently each time."""
    awful = "\x01é🙂" * 400
    return fact(
        f"custom.{number:05}_{'x' * 80}",
        {
            "total": {"amount": f"{number}.99", "currency": f"{chr(65 + number % 26)}XX"},
            "message_id": f"m_{number}",
        },
        number,
        at=NOW - dt.timedelta(days=number % 400, hours=number % 168),
        identifiers=tuple(
            Identifier(kind, f"{number}{'é' * 140}")
            for kind in ("email", "phone", "external_id", "anonymous_id", "cart_token")
        ),
        traits={
            f"{number % 500}{'n' * 60}": awful[:300],
            f"big{number}": awful * 50,
            "tags": [f"{n}{'t' * 150}" for n in range(300)],
            "consent": {"email": "subscribed", "sms": "pending"},
        },
        source=SourceId("s" * 5_000),
        id=EventId(f"{number}{'i' * 2_000}"),
    )


def test_a_hostile_source_cannot_make_a_profile_large() -> None:
    profile = Profile()
    for number in range(10_000):
        event = hostile(number)
        is_repeat(profile, event)
        absorb(profile, event, NOW)
        if number % 50 == 0:
            said = {"scope": "topic", "topic": f"{number}{'o' * 90}"}
            absorb(profile, fact("email.unsubscribed", said, number), NOW)
            mail = Mail(MessageId("m" * 30), "j" * 100, StepId("s" * 300), NOW, NOW, NOW, NOW)
            profile.mails = [*profile.mails, mail][-MAILS_MAX:]
    assert len(_encode(profile)) < PROFILE_BYTES_MAX
    assert len(profile.counters) == COUNTED_NAMES_MAX
    assert len(profile.seen) == SEEN_MAX
    assert read_profile(_encode(profile)) == profile


def test_every_name_seen_every_day_stays_within_the_bound() -> None:
    profile = Profile()
    for day in range(400):
        for name in range(COUNTED_NAMES_MAX):
            total = {"amount": "123456789012.123456", "currency": ("EUR", "USD", "GBP")[day % 3]}
            at = NOW - dt.timedelta(days=400 - day)
            absorb(profile, fact(f"custom.{name:02}{'x' * 90}", {"total": total}, at=at), NOW)
    assert all(len(one.days) == COUNTED_DAYS_MAX for one in profile.counters.values())
    assert len(_encode(profile)) < PROFILE_BYTES_MAX


def test_a_bot_s_million_events_weigh_as_much_as_a_few() -> None:
    profile = Profile()
    for number in range(20_000):
        absorb(profile, fact("page.viewed", number=number), NOW)
    size = len(_encode(profile))
    profile.counters["page.viewed"].total = 1_000_000
    profile.counters["page.viewed"].days = {20_000: 1_000_000}
    assert len(_encode(profile)) - size < 20
    assert size < 3_000


def test_room_for_a_new_name_is_made_by_rule() -> None:
    profile = Profile()
    absorb(profile, fact("order.placed", at=NOW - dt.timedelta(days=300)), NOW)
    for number in range(COUNTED_NAMES_MAX + 5):
        at = NOW - dt.timedelta(days=100 - number)
        absorb(profile, fact(f"custom.n{number}", at=at), NOW)
    assert "order.placed" in profile.counters
    assert "custom.n5" not in profile.counters
    assert "custom.n6" in profile.counters


def test_amounts_add_up_exactly_and_by_currency() -> None:
    profile = Profile()
    for amount, currency in (("0.10", "EUR"), ("0.20", "EUR"), ("7", "USD"), ("much", "EUR")):
        total = {"total": {"amount": amount, "currency": currency}}
        absorb(profile, fact("order.placed", total), NOW)
    kept = read_profile(_encode(profile)).counters["order.placed"].spent
    assert (kept["EUR"].sum, kept["EUR"].max) == (Decimal("0.30"), Decimal("0.20"))
    assert kept["USD"].sum == 7


def test_a_machine_s_open_is_not_the_contact_s() -> None:
    profile = Profile(mails=[Mail(MessageId("m_1"), "j", StepId("s"), NOW)])
    for verdict in ("machine", "unsure"):
        absorb(profile, fact("email.opened", {"message_id": "m_1", "verdict": verdict}), NOW)
        assert (profile.mails[0].opened is None) == (verdict == "machine")
        assert ("email.opened" in profile.counters) == (verdict != "machine")


def test_the_hours_of_what_a_person_does_are_counted_and_habits_may_change() -> None:
    profile = Profile()
    for _ in range(201):
        absorb(profile, fact("page.viewed", at=NOW), NOW)
    absorb(profile, fact("email.delivered", at=NOW), NOW)
    sunday_at_nine = 6 * 24 + 9
    assert profile.hours == {sunday_at_nine: 100}


def test_a_score_halves_in_its_half_life_and_is_bounded() -> None:
    profile, month = Profile(), dt.timedelta(days=30)
    add_score(profile, 10, NOW, month)
    assert score_now(profile, NOW + month, month) == 5
    assert add_score(profile, 1, NOW + 2 * month, month) == 3.5
    assert score_now(profile, NOW + 9 * month) == 3.5
    assert add_score(profile, 10**12, NOW) == SCORE_MAX


def test_opting_out_of_a_topic_is_kept_with_its_proof_and_leaves_the_channel() -> None:
    profile = Profile()
    absorb(profile, fact("email.unsubscribed", {"scope": "topic", "topic": "offers"}, 1), NOW)
    assert profile.topics["offers"] == Consent(ConsentState.UNSUBSCRIBED, NOW, "src_1", "e_1")
    assert profile.consent == {}


def test_a_merge_keeps_the_refusal_and_adds_up_what_was_done() -> None:
    one, other = Profile(), Profile()
    yes, no = {"consent": {"email": "subscribed"}}, {"consent": {"email": "unsubscribed"}}
    day_before = NOW - dt.timedelta(days=1)
    absorb(one, fact("contact.created", traits=no | {"city": "Lyon", "a": 1}, at=day_before), NOW)
    absorb(other, fact("contact.created", traits=yes | {"city": "Nice"}), NOW)
    for profile in (one, other):
        total = {"total": {"amount": "5", "currency": "EUR"}}
        absorb(profile, fact("order.placed", total, at=day_before), NOW)
        add_score(profile, 2, NOW)
    absorb(other, fact("page.viewed"), NOW)
    merge(one, other)
    assert one.consent["email"].state is ConsentState.UNSUBSCRIBED
    assert one.traits == {"city": "Nice", "a": 1}
    assert one.counters["order.placed"].total == 2
    assert one.counters["order.placed"].spent["EUR"].sum == 10
    assert one.score == 4
    assert len(_encode(one)) < PROFILE_BYTES_MAX


def test_a_copy_of_another_s_fact_changes_nothing() -> None:
    profile = Profile()
    absorb(profile, fact("order.placed", flags=Flags(copy=True)), NOW)
    assert profile == Profile()


def test_a_document_of_the_first_schema_is_read_and_written_as_the_present_one() -> None:
    old = (
        b'{"traits":{"city":"Lyon"},"consent":{"email":{"state":"subscribed",'
        b'"at":"2026-11-20T09:00:00Z","source":"s","proof":"e"}},"tags":["vip"],"counters":'
        b'{"order.placed":[2,"2026-11-01T09:00:00Z","2026-11-20T09:00:00Z",{"20777":2}]},'
        b'"mails":[],"recent":[["order.placed","2026-11-20T09:00:00Z","e_9"]],"seen":["x"]}'
    )
    profile = read_profile(old)
    assert profile.schema == 1
    assert profile.counters["order.placed"].spent == {}
    absorb(profile, fact("order.placed"), NOW)
    assert profile.schema == SCHEMA
    assert profile.counters["order.placed"].total == 3


def test_a_document_of_a_later_schema_is_refused_rather_than_cut() -> None:
    with pytest.raises(ProfileTooNewError):
        read_profile(b'{"schema": 3}')
