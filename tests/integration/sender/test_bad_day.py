"""The bad day: an emergency stop, mail that is kept instead of sent, going live again."""

import asyncio
import datetime as dt
from typing import Any

import asyncpg
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import Identifier
from chappe_sender.adapters.bad_day import PostgresBadDay
from tests.integration.sender.place import (
    PARTITIONS,
    PATIENCE_SECONDS,
    Place,
    Script,
    a_sender,
    scripted,
    sender_at,
)
from tests.unit.sender.scripted_smtp import CUT, GATED


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


async def test_a_stop_reaches_a_message_that_a_server_is_waiting_for(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    script = Script(answers={"DATA": GATED})
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "DATA" not in place.smtp.commands:
                await asyncio.sleep(0.005)
        await stopped(place, "workspace")
        script.gate.set()
        await place.until("m_1", "pending")
        assert place.sent() == []
        await place.http.post("/api/v1/sending/resume", json={})
        await place.until("m_1", "accepted")


async def test_who_perhaps_got_it_is_on_the_list_too(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock, Script(answers={"dot": ["250 ok", CUT]})) as place:
        for who in ("ann", "bob"):
            await place.subscribe(who)
            await place.ask(who, f"m_{who}")
            await place.settle()
        made = await stopped(place, "template", "cart")
        assert (made["counts"]["received"], made["counts"]["in_doubt"]) == (1, 1)
        path = f"/api/v1/sending/stops/{made['id']}/received"
        got = (await place.http.get(path)).json()["items"]
        assert {item["address"]: item["state"] for item in got} == {
            "ann@example.com": "accepted", "bob@example.com": "in_doubt",
        }  # fmt: skip
        doubtful = (await place.http.get("/api/v1/messages?state=in_doubt")).json()["items"]
        assert [each["id"] for each in doubtful] == ["m_bob"]
        pages = [(await place.http.get(f"{path}?limit=1")).json()]
        pages.append((await place.http.get(f"{path}?limit=1&cursor={pages[0]['next']}")).json())
        assert [page["items"][0]["id"] for page in pages] == [item["id"] for item in got]
        assert pages[1]["next"] is None


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("email.unsubscribed", {"data": {"address": "zoe@example.com"}}, "unsubscribed"),
        ("email.unsubscribed", {"data": {"scope": "topic", "topic": "offers"}}, "topic_opted_out"),
        ("email.complained", {"data": {"address": "zoe@example.com"}}, "suppressed"),
        ("contact.deleted", {"identifiers": (Identifier("email", "zoe@example.com"),)}, "erased"),
    ],
)
async def test_a_change_of_mind_reaches_a_message_that_waits(
    pool: asyncpg.Pool, clock: HandClock, name: str, fields: dict[str, Any], reason: str
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await stopped(place, "workspace")
        await place.ask("zoe", "m_1")
        await place.until("m_1", "pending")
        clock.advance(dt.timedelta(minutes=1))
        await place.event("zoe", name, **fields)
        await place.settle()
        await place.http.post("/api/v1/sending/resume", json={})
        await place.until("m_1", "skipped")
        assert await place.state("m_1") == ("skipped", reason)
        assert place.sent() == []


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
        await place.http.post("/api/v1/sending/go-live")
        clock.advance(dt.timedelta(seconds=1))
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert place.sent() == ["m_2"]
        # What this database says is heard, although the log has newer words of the lost one.
        accepted = [event.data["message"] for event in place.told("email.accepted")]
        assert accepted == ["m_1", "m_2"]
    async with scripted() as smtp, sender_at(pool, clock, smtp, broker=broker) as place:
        assert (await place.http.get("/api/v1/sending")).json()["delivery"] == "live"


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
