"""What comes back is believed once, in any order, and changes the message and the address."""

import datetime as dt

import asyncpg

from chappe.clock import HandClock, WallClock
from chappe.tokens import Vault
from chappe_sender.adapters.feedback_store import FeedbackTables
from tests.integration.sender.feedback_place import (
    KEY,
    a_sent_mail,
    deliver,
    endpoint,
    event,
    failed,
    full_mailbox,
    mailgun,
    returned,
    suppressed,
    unknown_user,
)
from tests.integration.sender.place import Script, a_sender
from tests.unit.sender.scripted_smtp import CUT

DAY = dt.timedelta(days=1)


async def test_a_hard_bounce_makes_the_message_bounced_and_closes_the_address(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await a_sent_mail(place)
        await deliver(place, mailgun(unknown_user("m_1"), token="t1"), endpoint=at)
        await place.settle()
        assert await place.state("m_1") == ("bounced", "invalid_recipient")
        assert await suppressed(place) == {"zoe@example.com": "bounced"}
        (told,) = place.told("email.bounced")
        assert told.data["bounce_class"] == "invalid_recipient"
        assert told.data["permanent"] is True
        assert told.data["provider"] == "mailgun"
        assert told.contact == "zoe"
        assert ("bounced", "invalid_recipient") in [(d.what, d.reason) for d in place.journal()]
        await place.ask("zoe", "m_2", "receipt")
        await place.settle()
        assert await place.state("m_2") == ("skipped", "suppressed")


async def test_a_webhook_told_three_times_is_one_fact(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await a_sent_mail(place)
        for _ in range(3):
            await deliver(place, mailgun(full_mailbox("m_1"), token="same"), endpoint=at)
            await place.settle()
        assert len(place.told("email.bounced")) == 1
        health = await pool.fetchval("SELECT full_count FROM sender.address_health")
        assert health == 1
        assert await suppressed(place) == {}


async def test_delivered_after_bounced_does_not_bring_the_message_back(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await a_sent_mail(place)
        await deliver(place, mailgun(unknown_user("m_1"), token="t1"), endpoint=at)
        await deliver(place, mailgun(event("delivered", "m_1"), token="t2"), endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "bounced"
        assert place.told("email.delivered") == []
        assert await suppressed(place) == {"zoe@example.com": "bounced"}


async def test_bounced_after_delivered_is_bounced(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await a_sent_mail(place)
        await deliver(place, mailgun(event("delivered", "m_1"), token="t1"), endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "delivered"
        await deliver(place, mailgun(unknown_user("m_1"), token="t2"), endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "bounced"
        assert len(place.told("email.delivered")) == len(place.told("email.bounced")) == 1


async def test_a_forged_webhook_changes_nothing_and_is_counted(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await a_sent_mail(place)
        forged = mailgun(unknown_user("m_1"), token="t1", key="somebody-elses-key")
        await deliver(place, forged, endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "accepted"
        assert await suppressed(place) == {}
        (shown,) = (await place.http.get("/api/v1/providers/endpoints")).json()["items"]
        assert (shown["accepted"], shown["refused"]) == (0, 1)
        assert "signing key" in shown["refused_reason"]
        assert await pool.fetchval("SELECT count(*) FROM sender.feedback_delivery") == 0


async def test_a_provider_cannot_speak_of_another_workspaces_message(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        headers = {"Chappe-Workspace": "other"}
        answer = await place.http.post(
            "/api/v1/providers/endpoints", json={"kind": "mailgun", "secret": KEY}, headers=headers
        )
        await a_sent_mail(place)
        body = mailgun(unknown_user("m_1"), token="t1")
        await deliver(place, body, endpoint=answer.json())
        await place.settle()
        assert (await place.state("m_1"))[0] == "accepted"
        assert await suppressed(place) == {}


async def test_what_comes_before_the_secret_waits_for_it(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, name="main")
        await a_sent_mail(place)
        await deliver(place, mailgun(unknown_user("m_1"), token="t1"), endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "accepted"
        path = "/api/v1/providers/endpoints/main/secret"
        assert (await place.http.put(path, json={"secret": KEY})).status_code == 200
        await place.settle()
        assert (await place.state("m_1"))[0] == "bounced"


async def test_while_a_secret_is_rotated_the_one_before_is_good_for_a_day(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, name="main", secret=KEY)
        path = "/api/v1/providers/endpoints/main/secret"
        assert (await place.http.put(path, json={"secret": "a-new-key"})).status_code == 200
        await a_sent_mail(place)
        await deliver(place, mailgun(unknown_user("m_1"), token="t1"), endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "bounced"
        await place.http.put(path, json={"secret": "the-one-after"})
        await deliver(place, mailgun(unknown_user("m_1"), token="t2"), endpoint=at)
        await place.settle()
        (shown,) = (await place.http.get("/api/v1/providers/endpoints")).json()["items"]
        assert (shown["accepted"], shown["refused"]) == (1, 1)


async def test_a_deleted_endpoint_is_believed_no_more(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await a_sent_mail(place)
        gone = await place.http.delete("/api/v1/providers/endpoints/mailgun")
        assert gone.status_code == 204
        await deliver(place, mailgun(unknown_user("m_1"), token="t1"), endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "accepted"


async def test_a_delivery_settles_a_doubt(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock, Script(answers={"dot": CUT})) as place:
        at = await endpoint(place, secret=KEY)
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        assert (await place.state("m_1"))[0] == "in_doubt"
        await deliver(place, mailgun(event("delivered", "m_1"), token="t1"), endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "delivered"
        (resolved,) = place.told("email.resolved")
        assert (resolved.data["as"], resolved.data["by"]) == ("delivered", "evidence")
        assert len(place.told("email.delivered")) == 1


async def test_a_click_settles_a_doubt(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock, Script(answers={"dot": CUT})) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        data = {"message": "m_1", "verdict": "human"}
        await place.event("zoe", "email.clicked", data=data)
        await place.settle()
        assert (await place.state("m_1"))[0] == "delivered"
        assert len(place.told("email.resolved")) == 1
        assert place.told("email.clicked") == []


async def test_a_complaint_closes_the_address_for_every_mail(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await a_sent_mail(place)
        await deliver(place, mailgun(event("complained", "m_1"), token="t1"), endpoint=at)
        await place.settle()
        assert len(place.told("email.complained")) == 1
        assert await suppressed(place) == {"zoe@example.com": "complained"}
        assert (await place.state("m_1"))[0] == "accepted"


async def test_a_foreign_final_recipient_counts_as_soft(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await a_sent_mail(place)
        await returned(place, dsn("forwarded@elsewhere.example"), "m_1")
        await place.settle()
        assert (await place.state("m_1"))[0] == "bounced"
        assert await suppressed(place) == {}
        (told,) = place.told("email.bounced")
        assert told.data["permanent"] is False
        assert told.data["recipient"] == "forwarded@elsewhere.example"
        assert await pool.fetchval("SELECT soft FROM sender.address_health") == 1


async def test_a_returned_mail_to_our_token_is_a_bounce(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await a_sent_mail(place)
        await returned(place, dsn("zoe@example.com"), "m_1")
        await place.settle()
        assert await place.state("m_1") == ("bounced", "invalid_recipient")
        assert await suppressed(place) == {"zoe@example.com": "bounced"}
        feedback = (await place.http.get("/api/v1/messages/m_1/feedback")).json()["items"]
        assert [each["kind"] for each in feedback] == ["bounced"]
        raw = await place.http.get(f"/api/v1/messages/m_1/feedback/{feedback[0]['delivery']}/raw")
        assert raw.content == dsn("zoe@example.com")


async def test_a_mail_to_the_address_for_leaving_unsubscribes(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await a_sent_mail(place)
        mail = b"From: zoe@example.com\r\nSubject: unsubscribe\r\n\r\n\r\n"
        await returned(place, mail, "m_1", "u")
        await place.settle()
        (told,) = place.told("email.unsubscribed")
        assert told.data["address"] == "zoe@example.com"
        await place.ask("zoe", "m_2")
        await place.settle()
        assert await place.state("m_2") == ("skipped", "unsubscribed")


async def test_five_soft_bounces_over_a_week_close_an_address_and_a_delivery_forgives(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await place.subscribe("zoe")
        for count in range(1, 7):
            message = f"m_{count}"
            await place.ask("zoe", message)
            await place.settle()
            body = failed(message, 451, "4.4.1 connection timed out")
            if count == 1:
                body = event("delivered", message)
            await deliver(place, mailgun(body, token=f"t{count}"), endpoint=at)
            await place.settle()
            assert ("zoe@example.com" in await suppressed(place)) == (count == 6)
            await place.advance(2 * DAY)


async def test_a_dead_domain_needs_two_looks_a_day_apart(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await place.subscribe("zoe")
        for count, closed in ((1, False), (2, False), (3, True)):
            message = f"m_{count}"
            await place.ask("zoe", message)
            await place.settle()
            body = failed(message, 550, "5.1.2 Host or domain name not found")
            await deliver(place, mailgun(body, token=f"t{count}"), endpoint=at)
            await place.settle()
            assert bool(await suppressed(place)) is closed, count
            await place.advance(dt.timedelta(hours=13))


async def test_a_spike_at_one_site_is_quarantined_and_can_be_undone(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await place.http.put("/api/v1/suppressions/policy", json={"spike_bounces": 3})
        at = await endpoint(place, secret=KEY)
        since = clock.now()
        for count in range(4):
            name = f"c{count}"
            await a_sent_mail(place, f"m_{count}", name)
            body = unknown_user(f"m_{count}", recipient=f"{name}@example.com")
            await deliver(place, mailgun(body, token=f"t{count}"), endpoint=at)
            await place.settle()
        assert set((await suppressed(place)).values()) == {"quarantined"}
        body = {"since": since.isoformat(), "mx": "example.com"}
        undone = await place.http.post("/api/v1/suppressions/undo", json=body)
        assert undone.json()["count"] == 4
        assert await suppressed(place) == {}
        path = "/api/v1/suppressions/history?address=c0@example.com"
        history = (await place.http.get(path)).json()["items"]
        changes = [(each["change"], each["reason"]) for each in history]
        assert changes == [
            ("removed", "quarantined"), ("changed", "quarantined"), ("added", "bounced"),
        ]  # fmt: skip


async def test_a_blocked_sender_is_never_held_against_the_address(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await a_sent_mail(place)
        body = failed("m_1", 550, "5.7.1 your IP is on a block list")
        await deliver(place, mailgun(body, token="t1"), endpoint=at)
        await place.settle()
        assert (await place.state("m_1"))[0] == "bounced"
        assert await suppressed(place) == {}
        assert await pool.fetchval("SELECT count(*) FROM sender.address_health") == 0


async def test_a_person_settles_a_doubt_and_marketing_is_not_sent_again(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock, Script(answers={"dot": CUT})) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        body = {"as": "not_accepted", "note": "asked the host"}
        answer = await place.http.post("/api/v1/messages/m_1/resolve", json=body)
        assert (answer.status_code, answer.json()["applied"]) == (200, True)
        await place.settle()
        assert await place.state("m_1") == ("failed", "not_accepted")
        (told,) = place.told("email.resolved")
        assert (told.data["as"], told.data["by"]) == ("not_accepted", "operator")
        assert told.data["note"] == "asked the host"
        again = await place.http.post("/api/v1/messages/m_1/resolve", json=body)
        assert again.status_code == 409
        assert ("resolved", "not_accepted") in [(d.what, d.reason) for d in place.journal()]


async def test_a_receipt_that_was_not_accepted_is_sent_again(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await a_sent_mail(place, template="receipt")
        await pool.execute("UPDATE sender.message SET state = 'in_doubt'")
        body = {"as": "not_accepted"}
        answer = await place.http.post("/api/v1/messages/m_1/resolve", json=body)
        assert answer.status_code == 200
        await place.settle()
        assert (await place.state("m_1"))[0] == "accepted"
        assert place.sent() == ["m_1", "m_1"]


async def test_mail_comes_back_to_an_address_that_names_its_message(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock, bounce_domain="bounce.shop.example") as place:
        await a_sent_mail(place)
        (path,) = [line for line in place.smtp.commands if line.startswith("MAIL FROM")]
        local = path.partition("<")[2].partition("@")[0]
        assert place.tokens.open_return(local) == ("b", "m_1")
        (mail,) = place.mails()
        leave = str(mail["List-Unsubscribe"]).partition("mailto:")[2].partition("@")[0]
        assert place.tokens.open_return(leave) == ("u", "m_1")


def letter(sender: str, *more: str) -> bytes:
    head = [f"From: {sender}", "Subject: Re: Your cart", "Message-Id: <r1@mail.example>", *more]
    return ("\n".join(head) + "\n\nThanks, is it blue?\n").encode()


async def test_an_answer_by_a_human_is_told_as_a_reply_and_one_by_a_robot_is_not(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock, bounce_domain="bounce.shop.example") as place:
        await a_sent_mail(place)
        await returned(place, letter("zoe@example.com", "Auto-Submitted: auto-replied"), "m_1")
        await returned(place, letter("zoe@example.com", "Precedence: list"), "m_1")
        await returned(place, letter("stranger@spam.example"), "m_1")
        await place.settle()
        assert place.told("contact.replied") == []
        await returned(place, letter("Zoé <Zoe@Example.com>"), "m_1")
        await returned(place, letter("Zoé <Zoe@Example.com>"), "m_1")
        await place.settle()
        (told,) = place.told("contact.replied")
        assert (told.contact, told.data["message"]) == ("zoe", "m_1")
        assert (await place.state("m_1"))[0] == "accepted"
        assert await suppressed(place) == {}


async def test_a_bounce_while_handing_over_counts_for_the_address_too(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    script = Script(answers={"RCPT": "550 5.1.1 no such user"})
    async with a_sender(pool, clock, script) as place:
        await place.subscribe("zoe")
        await place.ask("zoe", "m_1")
        await place.settle()
        assert (await place.state("m_1"))[0] == "bounced"
        assert await suppressed(place) == {"zoe@example.com": "bounced"}
        site = await pool.fetchval("SELECT site FROM sender.suppression")
        assert site == "example.com"
        assert len(place.told("email.bounced")) == 1


def dsn(recipient: str) -> bytes:
    return f"""From: MAILER-DAEMON@mx.example.com (Mail Delivery System)
To: b-token@bounce.shop.example
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Message-Id: <one@mx.example.com>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="edge"

--edge
Content-Type: text/plain

I could not deliver your message.
--edge
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <{recipient}>: Recipient address rejected: User unknown
--edge--
""".replace("\n", "\r\n").encode()


async def test_a_complaint_by_mail_counts_only_with_a_link_of_ours_in_it(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        await a_sent_mail(place)
        (mail,) = place.mails()
        await returned(
            place, arf("List-Unsubscribe: <https://mail.example/u/forged>"), "default", "f"
        )
        await place.settle()
        assert await suppressed(place) == {}
        await returned(place, arf(f"List-Unsubscribe: {mail['List-Unsubscribe']}"), "default", "f")
        await place.settle()
        assert await suppressed(place) == {"zoe@example.com": "complained"}


def arf(header: str) -> bytes:
    return f"""From: fbl@mailbox.example
To: f-token@bounce.shop.example
Subject: complaint
Message-Id: <two@mailbox.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="edge"

--edge
Content-Type: text/plain

This is an email abuse report.
--edge
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Loop/1.0
Version: 1

--edge
Content-Type: text/rfc822-headers

From: hello@shop.example
To: redacted@example.com
{header}

--edge--
""".replace("\n", "\r\n").encode()


async def test_housekeeping_forgets_what_is_old_and_releases_what_was_quarantined(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        at = await endpoint(place, secret=KEY)
        await place.http.put("/api/v1/suppressions/policy", json={"spike_bounces": 1})
        await a_sent_mail(place)
        await deliver(place, mailgun(unknown_user("m_1"), token="t1"), endpoint=at)
        await place.settle()
        assert await suppressed(place) == {"zoe@example.com": "quarantined"}
        tables = FeedbackTables(pool, Vault(b"a-secret-key-for-tests-only-0001"), 4)
        wall = WallClock().now()
        await tables.tidy(clock.now() + dt.timedelta(hours=23), wall)
        assert await pool.fetchval("SELECT count(*) FROM sender.feedback_delivery") == 1
        assert await suppressed(place) != {}
        await tables.tidy(clock.now() + dt.timedelta(hours=25), wall + 15 * DAY)
        assert await suppressed(place) == {}
        assert await pool.fetchval("SELECT count(*) FROM sender.feedback_delivery") == 0
        assert await pool.fetchval("SELECT count(*) FROM sender.feedback") == 1
        await tables.tidy(clock.now(), wall + 31 * DAY)
        assert await pool.fetchval("SELECT count(*) FROM sender.feedback") == 0
