"""Each message goes out once, or not at all with a reason, and everybody is told."""

import datetime as dt
import re

import asyncpg

from chappe.clock import HandClock
from chappe.events import Hold, Identifier, Release, Snapshot
from chappe.ids import DEFAULT_WORKSPACE, MessageId
from tests.integration.sender.place import Script, a_sender
from tests.unit.sender.scripted_smtp import CUT

DAY = dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)


async def test_a_consenting_contact_gets_the_mail_and_everybody_is_told(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("accepted", None)
        (mail,) = place.mails()
        assert mail["Subject"] == "Your cart, Zoé"
        assert mail["To"] == "zoe@example.com"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        token = re.search(r"<https://mail\.example/u/([\w-]+)>", str(mail["List-Unsubscribe"]))
        assert token is not None
        said = place.tokens.open("unsubscribe", token[1])
        assert said is not None
        assert said[:5] == ["default", "zoe", "zoe@example.com", "m_1", "offers"]
        (told,) = place.told()
        assert told.name == "email.accepted"
        assert told.data["message"] == "m_1"
        assert told.data["step"] == "cart"
        assert [line.what for line in place.journal()] == ["handed_over"]


async def test_asking_twice_is_asking_once(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.ask("zoe", "m_1")
        await place.settle()
        await place.ask("zoe", "m_1")
        await place.settle()
        assert place.sent() == ["m_1"]


async def test_without_consent_there_is_no_marketing_and_the_reason_is_told(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.ask("zoe", "m_1")
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "no_consent")
        assert place.sent() == ["m_2"]
        (skipped,) = place.told("email.skipped")
        assert (skipped.data["message"], skipped.data["reason"]) == ("m_1", "no_consent")
        assert ("skipped", "no_consent") in [(d.what, d.reason) for d in place.journal()]


async def test_a_transactional_mail_has_no_unsubscribe_header(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        (mail,) = place.mails()
        assert mail["List-Unsubscribe"] is None


async def test_an_unsubscribe_stops_what_is_asked_for_later(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.event("zoe", "email.unsubscribed", data={"address": "zoe@example.com"})
        await place.ask("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")


async def test_an_unsubscribe_counts_for_the_address_whoever_holds_it(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.subscribe("other")
        clock.advance(MINUTE)
        await place.event("zoe", "email.unsubscribed", data={"address": "zoe@example.com"})
        await place.settle()
        await place.ask("other", "m_1", address="Zoe@Example.com")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")


async def test_a_restated_consent_does_not_undo_an_unsubscribe_and_a_newer_one_does(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        granted = clock.now()
        await place.subscribe("zoe")
        clock.advance(MINUTE)
        await place.event("zoe", "email.unsubscribed", data={"address": "zoe@example.com"})
        await place.subscribe("zoe", at=granted)
        await place.ask("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "unsubscribed")
        clock.advance(MINUTE)
        await place.subscribe("zoe")
        await place.ask("zoe", "m_2")
        await place.settle()
        assert await place.state("m_2") == ("accepted", None)


async def test_a_topic_is_opted_out_of_alone(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.event("zoe", "email.unsubscribed", data={"scope": "topic", "topic": "offers"})
        await place.ask("zoe", "m_1")
        await place.ask("zoe", "m_2", topic="news")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "topic_opted_out")
        assert await place.state("m_2") == ("accepted", None)


async def test_a_complaint_closes_the_address_even_for_receipts(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.event("zoe", "email.complained", data={"address": "zoe@example.com"})
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "suppressed")


async def test_an_erased_contact_gets_nothing(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await place.event(
            "zoe", "contact.deleted", identifiers=(Identifier("email", "zoe@example.com"),)
        )
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "erased")


async def test_a_cancel_that_comes_first_wins(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.cancel("zoe", "m_1")
        await place.ask("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("cancelled", "exited")
        assert place.sent() == []
        assert len(place.told("email.cancelled")) == 1


async def test_a_cancel_reaches_a_mail_that_waits(pool: asyncpg.Pool, clock: HandClock) -> None:
    script = Script(answers={"RCPT": ["451 4.3.0 later", "250 ok"]})
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.until("m_1", "scheduled")
        await place.cancel("zoe", "m_1")
        await place.settle()
        await place.advance(DAY / 2)
        await place.settle()
        assert await place.state("m_1") == ("cancelled", "exited")
        assert place.sent() == []


async def test_a_cancel_that_is_too_late_is_written_down(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        await place.cancel("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("accepted", None)
        assert place.told("email.cancelled") == []
        assert "cancel_too_late" in [line.what for line in place.journal()]


async def test_a_later_mail_of_the_enrollment_overtakes_one_that_waits(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    script = Script(answers={"RCPT": ["451 4.3.0 later", "250 ok"]})
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.until("m_1", "scheduled")
        await place.ask("zoe", "m_2", overtakes=(MessageId("m_1"),))
        await place.settle()
        assert await place.state("m_1") == ("cancelled", "overtaken")
        assert place.sent() == ["m_2"]


async def test_a_paused_journey_holds_its_mails_and_releases_them(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        hold = Hold(workspace=DEFAULT_WORKSPACE, journey="abandoned-cart", at=clock.now())
        await place.command("zoe", hold)
        await place.ask("zoe", "m_1")
        await place.settle()
        assert await place.state("m_1") == ("pending", None)
        release = Release(workspace=DEFAULT_WORKSPACE, journey="abandoned-cart", at=clock.now())
        await place.command("zoe", release)
        await place.settle()
        assert place.sent() == ["m_1"]


async def test_a_mail_waits_until_the_events_its_asker_had_read_are_read(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.subscribe("zoe")
        await place.settle()
        await place.ask("zoe", "m_1", needs={"events": 2})
        await place.until("m_1", "pending")
        await place.event("zoe", "email.unsubscribed", data={"address": "zoe@example.com"})
        await place.until("m_1", "skipped")
        assert place.sent() == []


async def test_past_its_deadline_a_mail_is_not_sent(pool: asyncpg.Pool, clock: HandClock) -> None:
    script = Script(answers={"RCPT": "451 4.3.0 later"})
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.until("m_1", "scheduled")
        await place.advance(2 * DAY)
        await place.settle()
        assert await place.state("m_1") == ("skipped", "deadline")


async def test_a_deferred_mail_goes_out_later_with_the_same_bytes(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    script = Script(answers={"dot": ["451 4.3.0 later", "250 ok"]})
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.until("m_1", "scheduled")
        due = await place.next_due()
        assert MINUTE < due - clock.now() < 10 * MINUTE
        await place.advance(due - clock.now())
        await place.settle()
        assert await place.state("m_1") == ("accepted", None)
        assert [line.what for line in place.journal()] == ["postponed", "handed_over"]


async def test_a_dead_address_bounces_and_is_written_to_no_more(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    script = Script(answers={"RCPT": "550 5.1.1 no such user", "DATA": ["503 no", "354 go"]})
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        await place.ask("zoe", "m_2")
        await place.settle()
        assert await place.state("m_1") == ("bounced", "invalid_recipient")
        assert await place.state("m_2") == ("skipped", "suppressed")
        (bounced,) = place.told("email.bounced")
        assert bounced.data["permanent"] is True


async def test_a_marketing_mail_in_doubt_stays_so_and_a_receipt_goes_again(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    script = Script(answers={"dot": [CUT, CUT, "250 ok"]})
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        await place.ask("zoe", "m_2", "receipt")
        await place.until("m_2", "scheduled")
        await place.advance(DAY / 2)
        await place.settle()
        assert await place.state("m_1") == ("in_doubt", "no_answer")
        assert await place.state("m_2") == ("accepted", None)
        assert len(place.told("email.in_doubt")) == 1


async def test_a_template_that_cannot_be_filled_in_is_a_reason_not_a_crash(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        broken = '---\nsubject: "x"\nclass: transactional\n---\n<p>{{ event.total | money }}</p>'
        await place.publish("broken", broken)
        await place.ask("zoe", "m_1", "broken", snapshot=Snapshot(event={"total": 12}))
        await place.ask("zoe", "m_2", "receipt")
        await place.ask("zoe", "m_3", "nowhere@000000000000")
        await place.ask("zoe", "m_4", "receipt", address="not an address")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "render_failed")
        assert await place.state("m_3") == ("failed", "template_missing")
        assert await place.state("m_4") == ("skipped", "no_address")
        assert place.sent() == ["m_2"]


async def test_in_capture_nothing_leaves(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock, delivery="capture") as place:
        await place.ask("zoe", "m_1", "receipt")
        await place.settle()
        assert await place.state("m_1") == ("skipped", "captured")
        assert place.sent() == []


async def test_many_mails_arrive_once_each(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        for n in range(300):
            await place.subscribe(f"c{n}")
            await place.ask(f"c{n}", f"m_{n}")
        await place.settle()
        assert place.sent() == sorted(f"m_{n}" for n in range(300))
        assert len(place.told("email.accepted")) == 300
