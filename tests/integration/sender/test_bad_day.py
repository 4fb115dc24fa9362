"""The bad day: an emergency stop, mail that is kept instead of sent, going live again."""

import datetime as dt
from typing import Any

import asyncpg
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe_sender.adapters.bad_day import PostgresBadDay
from tests.integration.sender.place import PARTITIONS, Place, Script, a_sender, scripted, sender_at


async def stopped(place: Place, kind: str, value: str = "", **body: Any) -> dict[str, Any]:
    answer = await place.http.post(
        "/api/v1/sending/stops", json={"kind": kind, "value": value} | body
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("workspace", ""),
        ("journey", "abandoned-cart"),
        ("template", "cart"),
        ("class", "marketing"),
        ("domain", "example.com"),
        ("domain", "mail.example"),
        ("provider", "default"),
    ],
)
async def test_a_stop_holds_what_it_is_about_until_it_is_resumed(
    pool: asyncpg.Pool, clock: HandClock, kind: str, value: str
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_before")
        await place.settle()
        made = await stopped(place, kind, value)
        assert made["counts"]["received"] == 1
        await place.ask("zoe", "m_cart")
        await place.until("m_cart", "pending")
        (stop,) = (await place.http.get("/api/v1/sending")).json()["stops"]
        assert stop["counts"]["waiting"] == 1
        got = (await place.http.get(f"/api/v1/sending/stops/{made['id']}/received")).json()
        assert [item["id"] for item in got["items"]] == ["m_before"]
        assert place.sent() == ["m_before"]
        await place.http.post("/api/v1/sending/resume", json={})
        await place.until("m_cart", "accepted")


async def test_a_stop_leaves_everything_else_alone(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        for kind, value in (
            ("journey", "welcome"), ("template", "other"), ("class", "marketing"),
            ("domain", "other.example"),
        ):  # fmt: skip
            await stopped(place, kind, value)
        await place.ask("zoe", "m_receipt", "receipt")
        await place.settle()
        assert place.sent() == ["m_receipt"]


async def test_a_message_claimed_before_the_stop_does_not_go(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        # Another process's stop: nobody tells this one.
        await pool.execute(
            "INSERT INTO sender.stop (id, workspace, kind, from_domain, created_at, since)"
            " VALUES ('st_1', 'default', 'workspace', 'x.example', now(), now())"
        )
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert place.sent() == []
        assert (await place.state("m_1"))[0] == "pending"


async def test_a_stop_of_what_is_not_there_is_refused(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        for body in (
            {"kind": "provider", "value": "nobody"},
            {"kind": "journey"},
            {"kind": "class", "value": "spam"},
        ):
            answer = await place.http.post("/api/v1/sending/stops", json=body)
            assert answer.status_code in {404, 422}


async def test_captured_mail_is_written_kept_and_never_sent_after_going_live(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock, delivery="capture") as place:
        await place.ask("zoe", "m_1", "receipt")
        await place.ask("zoe", "m_later", "receipt", due_at=clock.now() + dt.timedelta(hours=1))
        await place.settle()
        assert await place.state("m_1") == ("skipped", "captured")
        kept = await place.http.get("/api/v1/sending/captured/m_1")
        assert b"Your cart, Zo" in kept.content or b"=?utf-8?" in kept.content
        live = (await place.http.post("/api/v1/sending/go-live")).json()
        assert live["delivery"] == "live"
        assert "CHAPPE_DELIVERY" in live["warning"]
        await place.advance(dt.timedelta(hours=2))
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert place.sent() == ["m_2"]
        assert (await place.state("m_later"))[0] == "skipped"


async def test_only_those_on_the_allow_list_get_mail(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(
        pool, clock, delivery="allowlist", delivery_allow="zoe@example.com, shop.example"
    ) as place:
        await place.ask("zoe", "m_zoe", "receipt")
        await place.ask("ann", "m_ann", "receipt")
        await place.ask("bob", "m_bob", "receipt", address="bob@mail.shop.example")
        await place.settle()
        assert place.sent() == ["m_bob", "m_zoe"]
        assert await place.state("m_ann") == ("skipped", "captured")


async def test_a_misfit_captures_until_somebody_goes_live_and_is_then_known(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        store = PostgresBadDay(pool)
        assert await store.misfit("ahead:events", clock.now(), clock.now())
        assert (await place.http.get("/api/v1/sending")).json()["delivery"] == "capture"
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "captured")
        assert (await place.http.post("/api/v1/sending/go-live")).json()["warning"] is None
        assert not await store.misfit("ahead:events", clock.now(), clock.now())
        clock.advance(dt.timedelta(seconds=1))
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert place.sent() == ["m_2"]


async def test_a_database_restored_from_a_backup_does_not_send_again(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    broker = MemoryBroker(PARTITIONS)
    async with a_sender(pool, clock, broker=broker) as place:
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert place.sent() == ["m_1"]
    # The backup was made before the message was asked for.
    await pool.execute("DELETE FROM sender.message")
    await pool.execute("DELETE FROM sender.outbox")
    await pool.execute("DELETE FROM sender.shard_seen")
    await pool.execute("UPDATE sender.shard SET next_offsets = '{}', out_seq = 0, pub_seq = 0")
    async with scripted() as smtp, sender_at(pool, clock, smtp, broker=broker) as place:
        await place.until("m_1", "skipped")
        assert (await place.http.get("/api/v1/sending")).json()["delivery"] == "capture"
        assert await place.state("m_1") == ("skipped", "captured")
        assert place.sent() == []


async def test_a_log_that_lost_what_was_read_captures(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
    async with scripted() as smtp, sender_at(pool, clock, smtp) as place:
        status = (await place.http.get("/api/v1/sending")).json()
        assert (status["delivery"], status["reason"]) == ("capture", "ahead:events")


async def test_an_ordinary_restart_stays_live(pool: asyncpg.Pool, clock: HandClock) -> None:
    broker = MemoryBroker(PARTITIONS)
    async with a_sender(pool, clock, broker=broker) as place:
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
    async with scripted() as smtp, sender_at(pool, clock, smtp, broker=broker) as place:
        assert (await place.http.get("/api/v1/sending")).json()["delivery"] == "live"


async def test_marketing_refused_as_spam_waits_while_receipts_go(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    spam = Script(answers={"dot": "550 5.7.1 Message rejected as spam"})
    async with a_sender(pool, clock, spam) as place:
        for n in range(60):
            await place.subscribe(f"c{n}")
            await place.ask(f"c{n}", f"m_{n}")
        await place.settle()
        await place.subscribe("late")
        await place.ask("late", "m_late")
        await place.ask("late", "m_receipt", "receipt")
        await place.settle()
        assert await place.state("m_late") == ("scheduled", "breaker")
        assert (await place.state("m_receipt"))[0] == "bounced"
