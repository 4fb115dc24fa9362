"""Mail by a provider over HTTP: once, another way when it may, and honest about the rest."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from tests.fakes.providers import KINDS, SECRET, Fake, Fault, options_of, secrets_of, serving
from tests.integration.sender.place import Place, a_sender, scripted, sender_at
from tests.unit.sender.scripted_smtp import Script

PATIENCE_SECONDS = 20.0


@asynccontextmanager
async def fakes(*kinds: str) -> AsyncGenerator[list[Fake]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(serving(Fake(kind))) for kind in kinds]


async def add(place: Place, fake: Fake, name: str | None = None, **fields: Any) -> dict[str, Any]:
    options = options_of(fake.kind) | {"base_url": fake.url} | fields.pop("options", {})
    body = {
        "kind": fake.kind,
        "name": name or fake.kind,
        "secrets": secrets_of(fake.kind),
        "options": options,
    }
    answer = await place.http.post("/api/v1/providers", json=body | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():
            await asyncio.sleep(0.005)


async def subscribed(place: Place, *people: str) -> None:
    for who in people:
        await place.subscribe(who)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_workspace_with_a_provider_sends_by_it(
    pool: asyncpg.Pool, clock: HandClock, kind: str
) -> None:
    async with fakes(kind) as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake)
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert sorted(fake.messages) == ["m_1", "m_2"]
        assert place.sent() == []
        assert await place.state("m_1") == ("accepted", None)
        (one, _) = sorted(place.told("email.accepted"), key=lambda event: event.data["message"])
        assert one.data["provider"] == kind
        assert one.data["provider_message_id"] in {taken.id for taken in fake.taken}


async def test_without_a_provider_the_relay_carries_it(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("sendgrid") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake, classes=["transactional"])
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert place.sent() == ["m_1"]
        assert fake.messages == ["m_2"]


async def test_a_provider_serves_its_from_domains_only(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("sendgrid") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake, domains=["shop.example"])
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert place.sent() == ["m_1"]
        await place.http.put("/api/v1/brand", json={"from": "Shop <hello@shop.example>"})
        await place.advance(dt.timedelta(minutes=10))
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert (place.sent(), fake.messages) == (["m_1"], ["m_2"])


async def test_a_definite_refusal_sends_it_the_next_way_and_a_doubt_does_not(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with (
        fakes("sendgrid", "mailgun") as (first, second),
        a_sender(pool, clock, outbound_loopback=True) as place,
    ):
        await add(place, first, priority=1)
        await add(place, second, priority=2)
        await subscribed(place, "zoe", "max")
        first.faults = [Fault.AUTH]
        await place.ask("zoe", "m_1")
        await place.settle()
        assert (first.messages, second.messages) == ([], ["m_1"])
        first.faults = [Fault.ERROR_AFTER_ACCEPT]
        await place.ask("max", "m_2")
        await place.settle()
        assert await place.state("m_2") == ("in_doubt", "no_answer")
        assert (first.messages, second.messages) == (["m_2"], ["m_1"])


async def test_a_message_that_one_provider_refuses_is_tried_at_the_next_and_then_fails(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with (
        fakes("sendgrid", "sparkpost") as (first, second),
        a_sender(pool, clock, outbound_loopback=True) as place,
    ):
        await add(place, first, priority=1)
        await add(place, second, priority=2)
        first.faults = [Fault.REFUSED]
        second.faults = [Fault.REFUSED]
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert await place.state("m_1") == ("failed", "refused")
        assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_marketing_in_doubt_stays_so_and_a_receipt_goes_again_with_the_same_bytes(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("sendgrid") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake)
        await place.subscribe("zoe")
        fake.faults = [Fault.RESET_AFTER_BODY]
        await place.ask("zoe", "m_1")
        await place.settle()
        fake.faults = [Fault.RESET_AFTER_BODY]
        await place.ask("zoe", "m_2", "receipt")
        await place.until("m_2", "scheduled")
        await place.advance(dt.timedelta(hours=2))
        await place.settle()
        assert await place.state("m_1") == ("in_doubt", "no_answer")
        assert await place.state("m_2") == ("accepted", None)
        assert fake.messages == ["m_1", "m_2", "m_2"]
        assert fake.requests[1].body == fake.requests[2].body
        ids = [taken.headers["Message-ID"] for taken in fake.taken[1:]]
        assert ids[0] == ids[1]


async def test_under_a_key_a_lost_answer_makes_no_second_mail(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("resend") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake)
        await place.subscribe("zoe")
        fake.faults = [Fault.RESET_AFTER_BODY]
        await place.ask("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("accepted", None)
        assert fake.messages == ["m_1"]


async def test_too_many_is_waited_for(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with fakes("postmark") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake)
        fake.faults = [Fault.RATE]
        await place.ask("zoe", "m_1", "receipt")
        await place.until("m_1", "scheduled")
        due = await place.next_due()
        assert dt.timedelta(seconds=5) < due - clock.now() < dt.timedelta(seconds=9)
        assert (await place.state("m_1"))[1] == "throttled"


async def test_doubt_after_doubt_stops_the_provider_until_it_is_resumed(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("sendgrid") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake, options={"in_doubt_max": "2", "in_flight": "1"})
        await subscribed(place, "a", "b", "c")
        fake.faults = [Fault.ERROR_AFTER_ACCEPT] * 2
        await place.ask("a", "m_1")
        await place.settle()
        await place.ask("b", "m_2")
        await place.until("m_2", "in_doubt")

        async def state() -> str:
            return (await place.http.get("/api/v1/providers/sendgrid")).json()["state"]

        async with asyncio.timeout(PATIENCE_SECONDS):
            while await state() != "stopped":
                await asyncio.sleep(0.01)
        await place.ask("c", "m_3")
        await place.until("m_3", "pending")
        assert fake.messages == ["m_1", "m_2"]
        shown = (await place.http.get("/api/v1/providers/sendgrid")).json()
        assert "2 requests in a row in doubt" in shown["reason"]
        await place.http.post("/api/v1/providers/sendgrid/resume")
        await place.settle()
        assert fake.messages == ["m_1", "m_2", "m_3"]


async def test_a_paused_provider_keeps_its_mail_waiting_and_a_removed_one_lets_it_go(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("ses") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake)
        await place.http.post("/api/v1/providers/ses/pause")
        await place.ask("zoe", "m_1", "receipt")
        await place.until("m_1", "pending")
        await asyncio.sleep(0.1)
        assert await place.state("m_1") == ("pending", None)
        await place.http.delete("/api/v1/providers/ses")
        await place.settle()
        assert place.sent() == ["m_1"]
        assert fake.messages == []
        sealed = await pool.fetchval("SELECT secrets FROM sender.provider")
        assert sealed == b""


async def test_a_provider_that_is_away_rests_and_the_next_one_carries_the_mail(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with (
        fakes("mailgun") as (second,),
        a_sender(pool, clock, outbound_loopback=True) as place,
    ):
        away = Fake("sendgrid", url="http://127.0.0.1:9")
        await add(place, away, priority=1)
        await add(place, second, priority=2)
        for n in range(6):
            await place.ask(f"c{n}", f"m_{n}", "receipt")
        await place.settle()
        assert sorted(second.messages) == [f"m_{n}" for n in range(6)]


async def test_many_mails_in_batches_arrive_once_each(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with fakes("postmark") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake)
        for n in range(200):
            await place.subscribe(f"c{n}")
            await place.ask(f"c{n}", f"m_{n}")
        await place.settle()
        assert sorted(fake.messages) == sorted(f"m_{n}" for n in range(200))
        assert len(fake.requests) < 150


async def test_a_batch_refused_as_a_whole_goes_one_by_one(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("postmark") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake, options={"in_flight": "1"})
        await place.http.post("/api/v1/providers/postmark/pause")
        for n in range(4):
            await place.ask(f"c{n}", f"m_{n}", "receipt")
        await place.until("m_3", "pending")
        fake.faults = [Fault.REFUSED]
        await place.http.post("/api/v1/providers/postmark/resume")
        await place.settle()
        assert sorted(fake.messages) == [f"m_{n}" for n in range(4)]
        assert [len(request.json) for request in fake.requests] == [4, 1, 1, 1, 1]


async def test_a_sender_that_dies_asks_a_keyed_provider_again_byte_for_byte(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    broker = MemoryBroker(4)
    async with fakes("resend") as (fake,):
        async with a_sender(pool, clock, broker=broker, outbound_loopback=True) as place:
            await add(place, fake)
            await place.http.post("/api/v1/providers/resend/pause")
            for n in range(5):
                await place.subscribe(f"c{n}")
                await place.ask(f"c{n}", f"m_{n}")
            for n in range(5):
                await place.until(f"m_{n}", "pending")
            fake.hold = asyncio.Event()
            await place.http.post("/api/v1/providers/resend/resume")
            await until(lambda: len(fake.taken) == 5)
        fake.hold.set()
        async with (
            scripted(Script()) as smtp,
            sender_at(pool, clock, smtp, broker=broker, outbound_loopback=True) as again,
        ):
            await again.settle()
            for n in range(5):
                assert await again.state(f"m_{n}") == ("accepted", None)
        assert len(fake.taken) == 5
        bodies = {request.body for request in fake.requests}
        assert len(bodies) < len(fake.requests)


async def dies_unanswered(
    pool: asyncpg.Pool, clock: HandClock, broker: MemoryBroker, fake: Fake
) -> None:
    """A sender hands a mail over, the provider takes it, and the sender dies before the answer."""
    async with a_sender(pool, clock, broker=broker, outbound_loopback=True) as place:
        await add(place, fake)
        fake.hold = asyncio.Event()
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await until(lambda: len(fake.taken) == 1)
    fake.hold.set()


@pytest.mark.parametrize(
    ("kind", "minutes", "state"),
    [
        ("resend", 11 * 60, "accepted"),
        ("resend", 13 * 60, "in_doubt"),
        ("brevo", 8, "in_doubt"),
    ],
)
async def test_a_key_is_used_again_only_well_within_the_providers_memory(
    pool: asyncpg.Pool, clock: HandClock, kind: str, minutes: int, state: str
) -> None:
    broker = MemoryBroker(4)
    async with fakes(kind) as (fake,):
        await dies_unanswered(pool, clock, broker, fake)
        asked = len(fake.requests)
        ago = dt.timedelta(minutes=minutes)
        await pool.execute("UPDATE sender.message SET load_at = load_at - $1::interval", ago)
        async with (
            scripted(Script()) as smtp,
            sender_at(pool, clock, smtp, broker=broker, outbound_loopback=True) as again,
        ):
            await again.until("m_1", state)
        assert (len(fake.requests) > asked) is (state == "accepted")
        assert fake.messages == ["m_1"]


@pytest.mark.parametrize("fault", [Fault.RATE, Fault.AUTH, Fault.REFUSED])
async def test_a_refusal_of_a_repeat_says_nothing_of_the_first_request(
    pool: asyncpg.Pool, clock: HandClock, fault: Fault
) -> None:
    broker = MemoryBroker(4)
    async with fakes("resend") as (fake,):
        await dies_unanswered(pool, clock, broker, fake)
        fake.faults = [fault]
        async with (
            scripted(Script()) as smtp,
            sender_at(pool, clock, smtp, broker=broker, outbound_loopback=True) as again,
        ):
            await again.until("m_1", "accepted")
        assert fake.messages == ["m_1"]
        assert {request.headers["idempotency-key"] for request in fake.requests[1:]} == {
            fake.requests[0].headers["idempotency-key"]
        }


async def test_a_sender_that_dies_leaves_a_load_without_a_key_in_doubt(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    broker = MemoryBroker(4)
    async with fakes("sendgrid") as (fake,):
        await dies_unanswered(pool, clock, broker, fake)
        async with (
            scripted(Script()) as smtp,
            sender_at(pool, clock, smtp, broker=broker, outbound_loopback=True) as again,
        ):
            await again.settle()
            assert await again.state("m_1") == ("in_doubt", "no_answer")
        assert fake.messages == ["m_1"]


async def test_a_load_that_would_not_be_the_same_is_not_asked_for_again(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    broker = MemoryBroker(4)
    async with fakes("resend") as (fake,):
        async with a_sender(pool, clock, broker=broker, outbound_loopback=True) as place:
            await add(place, fake)
            fake.hold = asyncio.Event()
            await place.subscribe("zoe")
            await place.ask("zoe", "m_1")
            await until(lambda: len(fake.taken) == 1)
            await place.http.put("/api/v1/brand", json={"from": "New <new@shop.example>"})
        fake.hold.set()
        async with (
            scripted(Script()) as smtp,
            sender_at(pool, clock, smtp, broker=broker, outbound_loopback=True) as again,
        ):
            await again.settle()
            assert await again.state("m_1") == ("in_doubt", "no_answer")
        assert fake.messages == ["m_1"]


async def test_a_relay_of_its_own_is_a_provider_too(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with scripted() as relay, a_sender(pool, clock, outbound_loopback=True) as place:
        url = f"smtp://127.0.0.1:{relay.port}?starttls=never"
        body = {"kind": "smtp", "name": "relay", "secrets": {"url": url}}
        answer = await place.http.post("/api/v1/providers", json=body)
        assert answer.status_code == 201, answer.text
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert len(relay.accepted) == 1
        assert place.sent() == []
        tried = await place.http.post(
            "/api/v1/providers/relay/test", json={"to": "me@shop.example"}
        )
        assert tried.json()["outcome"] == "taken"


# -- set-up -----------------------------------------------------------------------------------


async def test_a_test_mail_says_in_words_what_the_provider_answered(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("mailjet") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        await add(place, fake)
        path = "/api/v1/providers/mailjet/test"
        good = (await place.http.post(path, json={"to": "me@shop.example"})).json()
        assert (good["outcome"], good["meaning"]) == ("taken", "The provider took the mail.")
        fake.faults = [Fault.AUTH]
        bad = (await place.http.post(path, json={"to": "me@shop.example"})).json()
        assert bad["outcome"] == "refused"
        assert "look at the key" in bad["meaning"]
        assert "401" in bad["said"]
        wrong = await place.http.post(path, json={"to": "nobody"})
        assert wrong.status_code == 422


async def test_secrets_are_sealed_and_never_shown(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with fakes("brevo") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        shown = await add(place, fake)
        assert shown["secrets"] == ["api_key"]
        listed = await place.http.get("/api/v1/providers")
        assert SECRET not in str(shown) + listed.text
        sealed = await pool.fetchval("SELECT secrets FROM sender.provider")
        assert SECRET.encode() not in sealed


async def test_what_is_missing_or_wrong_is_said_at_once(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:

        async def refused(**body: Any) -> str:
            answer = await place.http.post("/api/v1/providers", json={"name": "x"} | body)
            assert answer.status_code == 422, answer.text
            return answer.text

        assert "secrets.access_key" in await refused(kind="ses", options={"region": "eu-west-1"})
        assert "eu-west-1" in await refused(
            kind="ses", secrets=secrets_of("ses"), options={"region": "mars"}
        )
        assert "domain" in await refused(kind="mailgun", secrets={"api_key": "k"})
        assert "tracking=off" in await refused(
            kind="brevo", secrets={"api_key": "k"}, classes=["marketing"]
        )
        assert "no option" in await refused(
            kind="sendgrid", secrets={"api_key": "k"}, options={"base_url": "http://10.0.0.1"}
        )
        assert "ehlo_name" in await refused(kind="direct")
        assert "url" in await refused(kind="smtp", secrets={"url": "http://x"})


async def test_marketing_does_not_go_by_a_provider_that_would_track_it(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with fakes("brevo") as (fake,), a_sender(pool, clock, outbound_loopback=True) as place:
        body = {
            "kind": "brevo",
            "name": "brevo",
            "secrets": secrets_of("brevo"),
            "options": {"base_url": fake.url},
        }
        shown = (await place.http.post("/api/v1/providers", json=body)).json()
        assert "tracking=off" in shown["marketing"]
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert (place.sent(), fake.messages) == (["m_1"], ["m_2"])


async def test_a_message_refused_by_one_waits_for_the_next_that_rests(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with (
        fakes("sendgrid", "mailgun") as (first, second),
        a_sender(pool, clock, outbound_loopback=True) as place,
    ):
        await add(place, first, priority=1)
        await add(place, second, priority=2)
        first.faults, second.faults = [Fault.REFUSED] * 4, [Fault.AUTH] * 3
        for n in range(3):
            await place.ask(f"c{n}", f"m_{n}", "receipt")
            await place.until(f"m_{n}", "scheduled")
        await place.ask("zoe", "m_3", "receipt")
        await place.until("m_3", "scheduled")
        assert await place.state("m_3") == ("scheduled", "no_route")
        for change in ("pause", "resume"):
            await place.http.post(f"/api/v1/providers/mailgun/{change}")
        await place.advance(dt.timedelta(minutes=1))
        await place.settle()
        assert second.messages == ["m_3"]
        assert sorted(first.messages) == ["m_0", "m_1", "m_2"]
