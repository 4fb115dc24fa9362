"""Whatever a provider calls it, we say what happened, to whom, and whether the address is dead."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from chappe_sender.domain.feedback import PROVIDERS, try_provider

ZOE = "zoe@customer.example"
AT = "2026-11-20T09:05:07Z"
SECONDS = 1795165507


def told(kind: str, payload: Any) -> list[dict[str, Any]]:
    return try_provider(kind, json.dumps(payload).encode(), {}, None)["events"]


def short(kind: str, payload: Any) -> tuple[str, str | None, bool]:
    (event,) = told(kind, payload)
    assert event["recipient"] == ZOE
    return event["kind"], event["bounce_class"], event["permanent"]


def ses(name: str, key: str, **more: Any) -> dict[str, Any]:
    mail = {
        "timestamp": "2026-11-20T09:00:00.000Z",
        "messageId": "0102018c-0001",
        "source": "hello@shop.example",
        "destination": [ZOE],
        "headers": [{"name": "Chappe-Message", "value": "m_42"}],
    }
    inner = {"eventType": name, "mail": mail, key: {"timestamp": AT, **more}}
    return {
        "Type": "Notification",
        "MessageId": "sns-1",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail",
        "Message": json.dumps(inner),
        "Timestamp": AT,
    }


def ses_bounce(sort: str, sub: str, status: str = "", said: str = "") -> dict[str, Any]:
    each = {"emailAddress": ZOE, "action": "failed", "status": status, "diagnosticCode": said}
    return ses("Bounce", "bounce", bounceType=sort, bounceSubType=sub, bouncedRecipients=[each])


def ses_complaint(word: str | None) -> dict[str, Any]:
    feedback = {} if word is None else {"complaintFeedbackType": word}
    return ses("Complaint", "complaint", complainedRecipients=[{"emailAddress": ZOE}], **feedback)


def ses_delay(sort: str) -> dict[str, Any]:
    each = {"emailAddress": ZOE, "status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1 no answer"}
    return ses("DeliveryDelay", "deliveryDelay", delayType=sort, delayedRecipients=[each])


def sendgrid(name: str, **more: Any) -> list[dict[str, Any]]:
    ident = "LRzXlNHStOGhQ4kofSmA.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0"
    return [
        {"email": ZOE, "timestamp": SECONDS, "event": name, "sg_event_id": "e1",
         "sg_message_id": ident, "chappe_message": "m_42", **more}
    ]  # fmt: skip


def mailgun(name: str, **more: Any) -> dict[str, Any]:
    data = {
        "event": name,
        "id": "G9Bn5sl1TC6nu79C8C0bwg",
        "timestamp": SECONDS + 0.25,
        "recipient": ZOE,
        "message": {"headers": {"message-id": "m_42@shop.example", "to": ZOE}},
        "user-variables": {"chappe_message": "m_42"},
        **more,
    }
    return {"signature": {"timestamp": "1", "token": "t", "signature": "s"}, "event-data": data}


def mailgun_failed(severity: str, reason: str, code: int, said: str) -> dict[str, Any]:
    status = {"code": code, "message": said, "description": ""}
    return mailgun("failed", severity=severity, reason=reason, **{"delivery-status": status})


def postmark(record: str, **more: Any) -> dict[str, Any]:
    who = "Email" if record in {"Bounce", "SpamComplaint"} else "Recipient"
    when = {"Bounce": "BouncedAt", "SpamComplaint": "BouncedAt", "Delivery": "DeliveredAt"}
    return {
        "RecordType": record, "ID": 42, "MessageID": "883953f4-6105-42a2", who: ZOE,
        when.get(record, "ReceivedAt"): "2026-11-20T09:05:07.1234567Z",
        "Metadata": {"chappe_message": "m_42"}, **more,
    }  # fmt: skip


def mailjet(name: str, **more: Any) -> dict[str, Any]:
    return {"event": name, "time": SECONDS, "MessageID": 19421777835146490, "email": ZOE,
            "CustomID": "m_42", "Payload": "", **more}  # fmt: skip


def brevo(name: str, **more: Any) -> dict[str, Any]:
    return {"event": name, "email": ZOE, "id": 26224, "date": "2026-11-20 10:05:07",
            "ts_event": SECONDS, "message-id": "<2026@smtp-relay.brevo.example>",
            "X-Mailin-custom": '{"chappe_message": "m_42"}', **more}  # fmt: skip


def resend(name: str, **more: Any) -> dict[str, Any]:
    data = {
        "email_id": "56761188-7520",
        "to": [ZOE],
        "from": "Shop <hello@shop.example>",
        "created_at": AT,
        "headers": [{"name": "Chappe-Message", "value": "m_42"}],
        **more,
    }
    return {"type": name, "created_at": "2026-11-20T09:05:07.126Z", "data": data}  # fmt: skip


def sparkpost(group: str, name: str, **more: Any) -> list[dict[str, Any]]:
    inner = {
        "type": name,
        "event_id": "92356927693813856",
        "rcpt_to": ZOE,
        "timestamp": str(SECONDS),
        "message_id": "000443ee14578172be22",
        "transmission_id": "65832150921904138",
        "rcpt_meta": {"chappe_message": "m_42"},
        **more,
    }
    return [{"msys": {group: inner}}]  # fmt: skip


def spark_bounce(code: int, said: str = "", error: str = "550") -> list[dict[str, Any]]:
    return sparkpost("message_event", "bounce", bounce_class=str(code), raw_reason=said,
                     error_code=error)  # fmt: skip


NO_USER = "550 5.1.1 <zoe@customer.example>: user unknown"

FAILURES = [
    ("ses", ses_bounce("Permanent", "General", "5.1.1", f"smtp; {NO_USER}"),
     ("bounced", "invalid_recipient", True)),
    ("ses", ses_bounce("Permanent", "NoEmail"), ("bounced", "invalid_recipient", True)),
    ("ses", ses_bounce("Permanent", "General", "5.7.1", "smtp; 550 5.7.1 blocked using Spamhaus"),
     ("bounced", "reputation", False)),
    ("ses", ses_bounce("Permanent", "Suppressed"), ("rejected", "invalid_recipient", True)),
    ("ses", ses_bounce("Permanent", "OnAccountSuppressionList"), ("rejected", "policy", False)),
    ("ses", ses_bounce("Transient", "MailboxFull"), ("bounced", "mailbox_full", False)),
    ("ses", ses_bounce("Transient", "General"), ("bounced", "unknown", False)),
    ("ses", ses_bounce("Transient", "General", "5.1.1", NO_USER),
     ("bounced", "invalid_recipient", False)),
    ("ses", ses_bounce("Undetermined", "Undetermined"), ("bounced", "unknown", False)),
    ("ses", ses_delay("TransientCommunicationFailure"), ("deferred", "connection", False)),
    ("ses", ses_delay("MailboxFull"), ("deferred", "mailbox_full", False)),
    ("ses", ses("Reject", "reject", reason="Bad content"), ("rejected", "content", False)),
    ("sendgrid", sendgrid("bounce", type="bounce", status="5.1.1", reason=NO_USER),
     ("bounced", "invalid_recipient", True)),
    ("sendgrid", sendgrid("bounce", type="blocked", status="5.7.1",
                          reason="550 5.7.1 blocked by spamcop"), ("bounced", "reputation", False)),
    ("sendgrid", sendgrid("bounce", type="bounce", reason="something odd",
                          bounce_classification="Invalid Address"),
     ("bounced", "invalid_recipient", True)),
    ("sendgrid", sendgrid("deferred", response="452 4.2.2 mailbox full"),
     ("deferred", "mailbox_full", False)),
    ("sendgrid", sendgrid("dropped", reason="Bounced Address"),
     ("rejected", "invalid_recipient", True)),
    ("sendgrid", sendgrid("dropped", reason="Unsubscribed Address"), ("rejected", "policy", False)),
    ("mailgun", mailgun_failed("permanent", "bounce", 550, "5.1.1 no such user"),
     ("bounced", "invalid_recipient", True)),
    ("mailgun", mailgun_failed("temporary", "generic", 421, "4.7.0 try again later"),
     ("deferred", "policy", False)),
    ("mailgun", mailgun_failed("permanent", "suppress-bounce", 605, ""),
     ("rejected", "invalid_recipient", True)),
    ("mailgun", mailgun_failed("permanent", "suppress-unsubscribe", 606, ""),
     ("rejected", "policy", False)),
    ("mailgun", mailgun_failed("permanent", "old", 602, "Too old"), ("bounced", "expired", False)),
    ("mailgun", mailgun("rejected", reject={"reason": "Sandbox subdomains are for test only"}),
     ("rejected", "unknown", False)),
    ("postmark", postmark("Bounce", Type="HardBounce", TypeCode=1, Details=f"smtp;{NO_USER}"),
     ("bounced", "invalid_recipient", True)),
    ("postmark", postmark("Bounce", Type="HardBounce", TypeCode=1, Details="action: failed"),
     ("bounced", "invalid_recipient", True)),
    ("postmark", postmark("Bounce", Type="SoftBounce", Details="552 5.2.2 over quota"),
     ("bounced", "mailbox_full", False)),
    ("postmark", postmark("Bounce", Type="Transient"), ("deferred", "unknown", False)),
    ("postmark", postmark("Bounce", Type="SpamNotification"), ("bounced", "spam", False)),
    ("postmark", postmark("Bounce", Type="Blocked"), ("bounced", "reputation", False)),
    ("postmark", postmark("Bounce", Type="DMARCPolicy"), ("rejected", "authentication", False)),
    ("postmark", postmark("Bounce", Type="BadEmailAddress"),
     ("rejected", "invalid_recipient", True)),
    ("mailjet", mailjet("bounce", hard_bounce=True, blocked=False, error_related_to="recipient",
                        error="user unknown"), ("bounced", "invalid_recipient", True)),
    ("mailjet", mailjet("bounce", hard_bounce=False, blocked=False, error_related_to="recipient",
                        error="quota exceeded"), ("bounced", "mailbox_full", False)),
    ("mailjet", mailjet("bounce", hard_bounce=True, error_related_to="domain",
                        error="invalid domain"), ("bounced", "bad_domain", True)),
    ("mailjet", mailjet("bounce", hard_bounce=False, error_related_to="spam",
                        error="sender blocked"), ("bounced", "reputation", False)),
    ("mailjet", mailjet("blocked", error_related_to="mailjet", error="preblocked"),
     ("rejected", "policy", False)),
    ("brevo", brevo("hard_bounce", reason=NO_USER), ("bounced", "invalid_recipient", True)),
    ("brevo", brevo("hard_bounce", reason="550 5.7.1 it is spam"), ("bounced", "spam", False)),
    ("brevo", brevo("soft_bounce", reason="server is down"), ("bounced", "connection", False)),
    ("brevo", brevo("deferred", reason="421 4.7.28 unusual rate"),
     ("deferred", "rate_limited", False)),
    ("brevo", brevo("invalid_email"), ("rejected", "invalid_recipient", True)),
    ("brevo", brevo("blocked"), ("rejected", "policy", False)),
    ("resend", resend("email.bounced", bounce={"type": "Permanent", "subType": "General",
                                               "message": "The address bounced"}),
     ("bounced", "invalid_recipient", True)),
    ("resend", resend("email.bounced", bounce={"type": "Permanent", "subType": "Suppressed"}),
     ("rejected", "invalid_recipient", True)),
    ("resend", resend("email.bounced", bounce={"type": "Transient", "subType": "MailboxFull"}),
     ("bounced", "mailbox_full", False)),
    ("resend", resend("email.delivery_delayed"), ("deferred", "unknown", False)),
    ("resend", resend("email.failed", failed={"reason": "reached_daily_quota"}),
     ("rejected", "rate_limited", False)),
    ("sparkpost", spark_bounce(10, NO_USER), ("bounced", "invalid_recipient", True)),
    ("sparkpost", spark_bounce(30), ("bounced", "invalid_recipient", True)),
    ("sparkpost", spark_bounce(22, "552 5.2.2 mailbox full"), ("bounced", "mailbox_full", False)),
    ("sparkpost", spark_bounce(51, "550 5.7.1 no"), ("bounced", "spam", False)),
    ("sparkpost", spark_bounce(50, "denied"), ("bounced", "reputation", False)),
    ("sparkpost", spark_bounce(52), ("bounced", "spam", False)),
    ("sparkpost", sparkpost("message_event", "delay", bounce_class="21", raw_reason="451 4.4.0 dns",
                            error_code="451"), ("deferred", "connection", False)),
    ("sparkpost", sparkpost("message_event", "policy_rejection", bounce_class="25",
                            raw_reason="550 5.7.1 recipient address was suppressed"),
     ("rejected", "policy", False)),
]  # fmt: skip

OTHERS = [
    ("ses", ses("Send", "send"), "accepted"),
    ("ses", ses("Delivery", "delivery", recipients=[ZOE], smtpResponse="250 ok"), "delivered"),
    ("ses", ses("Open", "open", userAgent="Mail"), "opened"),
    ("ses", ses("Click", "click", link="https://shop.example/"), "clicked"),
    ("ses", ses_complaint("abuse"), "complained"),
    ("ses", ses_complaint(None), "complained"),
    ("ses", ses_complaint("not-spam"), "other"),
    ("ses", ses_complaint("auth-failure"), "other"),
    ("ses", ses("Subscription", "subscription", newTopicPreferences={"unsubscribeAll": True}),
     "unsubscribed"),
    ("sendgrid", sendgrid("processed"), "accepted"),
    ("sendgrid", sendgrid("delivered", response="250 OK"), "delivered"),
    ("sendgrid", sendgrid("open"), "opened"),
    ("sendgrid", sendgrid("click", url="https://shop.example/"), "clicked"),
    ("sendgrid", sendgrid("spamreport"), "complained"),
    ("sendgrid", sendgrid("group_unsubscribe"), "unsubscribed"),
    ("sendgrid", sendgrid("group_resubscribe"), "subscribed"),
    ("mailgun", mailgun("accepted"), "accepted"),
    ("mailgun", mailgun("delivered"), "delivered"),
    ("mailgun", mailgun("opened"), "opened"),
    ("mailgun", mailgun("clicked", url="https://shop.example/"), "clicked"),
    ("mailgun", mailgun("complained"), "complained"),
    ("mailgun", mailgun("unsubscribed"), "unsubscribed"),
    ("mailgun", mailgun("stored"), "other"),
    ("postmark", postmark("Delivery", Details="250 ok"), "delivered"),
    ("postmark", postmark("Open"), "opened"),
    ("postmark", postmark("Click", OriginalLink="https://shop.example/"), "clicked"),
    ("postmark", postmark("SpamComplaint", Type="SpamComplaint"), "complained"),
    ("postmark", postmark("Bounce", Type="AutoResponder"), "autoreply"),
    ("postmark", postmark("SubscriptionChange", SuppressSending=True,
                          SuppressionReason="ManualSuppression"), "unsubscribed"),
    ("postmark", postmark("SubscriptionChange", SuppressSending=False), "subscribed"),
    ("mailjet", mailjet("sent", smtp_reply="sent (250 2.0.0 OK)"), "delivered"),
    ("mailjet", mailjet("open", agent="Mail"), "opened"),
    ("mailjet", mailjet("click", url="https://shop.example/"), "clicked"),
    ("mailjet", mailjet("spam", source="JMRPP"), "complained"),
    ("mailjet", mailjet("unsub"), "unsubscribed"),
    ("brevo", brevo("request"), "accepted"),
    ("brevo", brevo("delivered"), "delivered"),
    ("brevo", brevo("unique_opened"), "opened"),
    ("brevo", brevo("click", link="https://shop.example/"), "clicked"),
    ("brevo", brevo("spam"), "complained"),
    ("brevo", brevo("unsubscribed"), "unsubscribed"),
    ("brevo", brevo("contact_deleted"), "other"),
    ("resend", resend("email.sent"), "accepted"),
    ("resend", resend("email.delivered"), "delivered"),
    ("resend", resend("email.opened"), "opened"),
    ("resend", resend("email.clicked", click={"link": "https://shop.example/", "timestamp": AT}),
     "clicked"),
    ("resend", resend("email.complained"), "complained"),
    ("resend", {"type": "contact.updated", "created_at": AT,
                "data": {"email": ZOE, "unsubscribed": True}}, "unsubscribed"),
    ("sparkpost", sparkpost("message_event", "injection"), "accepted"),
    ("sparkpost", sparkpost("message_event", "delivery"), "delivered"),
    ("sparkpost", sparkpost("track_event", "initial_open"), "opened"),
    ("sparkpost", sparkpost("track_event", "click", target_link_url="https://shop.example/"),
     "clicked"),
    ("sparkpost", sparkpost("message_event", "spam_complaint", fbtype="abuse"), "complained"),
    ("sparkpost", sparkpost("message_event", "spam_complaint", fbtype="not-spam"), "other"),
    ("sparkpost", sparkpost("unsubscribe_event", "list_unsubscribe"), "unsubscribed"),
    ("sparkpost", spark_bounce(60), "autoreply"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "payload", "expected"), FAILURES)
def test_a_failure_has_its_class(kind: str, payload: Any, expected: tuple[str, str, bool]) -> None:
    assert short(kind, payload) == expected


@pytest.mark.parametrize(("kind", "payload", "expected"), OTHERS)
def test_what_did_not_fail_has_no_class(kind: str, payload: Any, expected: str) -> None:
    assert short(kind, payload) == (expected, None, False)


@pytest.mark.parametrize(
    ("kind", "payload", "ident"),
    [
        ("ses", ses_bounce("Permanent", "General"), "0102018c-0001"),
        ("sendgrid", sendgrid("delivered"), "LRzXlNHStOGhQ4kofSmA"),
        ("mailgun", mailgun("delivered"), "m_42@shop.example"),
        ("postmark", postmark("Delivery"), "883953f4-6105-42a2"),
        ("mailjet", mailjet("sent"), "19421777835146490"),
        ("brevo", brevo("delivered"), "<2026@smtp-relay.brevo.example>"),
        ("resend", resend("email.delivered"), "56761188-7520"),
        ("sparkpost", sparkpost("message_event", "delivery"), "65832150921904138"),
    ],
)
def test_every_provider_tells_when_and_which_message(kind: str, payload: Any, ident: str) -> None:
    (event,) = told(kind, payload)
    assert event["provider_message_id"] == ident
    assert event["message"] == "m_42"
    assert event["occurred_at"].startswith("2026-11-20T09:05:07")
    assert event["occurred_at"].endswith("Z")


def test_a_batch_keeps_its_order_and_loses_nothing() -> None:
    payload = sendgrid("processed") + sendgrid("delivered") + sendgrid("open")
    assert [event["kind"] for event in told("sendgrid", payload)] == [
        "accepted",
        "delivered",
        "opened",
    ]
    assert len(told("mailjet", [mailjet("sent"), mailjet("open")])) == 2
    assert len(told("brevo", [brevo("delivered"), brevo("opened")])) == 2


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("sendgrid", sendgrid("open", sg_machine_open=True)),
        ("mailgun", mailgun("opened", **{"client-info": {"bot": "apple"}})),
        ("brevo", brevo("unique_proxy_open")),
        ("sparkpost", sparkpost("track_event", "open", is_prefetched=True)),
    ],
)
def test_a_machine_that_opens_is_marked(kind: str, payload: Any) -> None:
    (event,) = told(kind, payload)
    assert (event["kind"], event["machine"]) == ("opened", True)


def test_a_retry_has_the_same_key_although_the_provider_renames_it() -> None:
    first, again = sendgrid("delivered"), sendgrid("delivered")
    again[0]["sg_event_id"] = "e2"
    keys = [
        PROVIDERS["sendgrid"].read(json.dumps(each).encode(), [])[0].dedupe
        for each in (first, again, sendgrid("open"))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_every_event_has_a_key() -> None:
    keys: list[str] = []
    for kind, payload, _ in (*FAILURES, *OTHERS):
        found = PROVIDERS[kind].read(json.dumps(payload).encode(), [("svix-id", "msg_1")])
        keys += [event.dedupe for event in found]
    assert all(keys)


def test_an_event_for_several_recipients_names_none_of_them() -> None:
    payload = ses("Open", "open")
    inner = json.loads(payload["Message"])
    inner["mail"]["destination"] = [ZOE, "ada@customer.example"]
    (event,) = told("ses", payload | {"Message": json.dumps(inner)})
    assert event["recipient"] is None


def test_ses_without_its_envelope_is_read_too() -> None:
    inner = json.loads(ses_bounce("Permanent", "NoEmail")["Message"])
    assert short("ses", inner) == ("bounced", "invalid_recipient", True)
    old = inner | {"notificationType": inner["eventType"]}
    del old["eventType"]
    assert short("ses", old) == ("bounced", "invalid_recipient", True)


def test_mailguns_old_forms_are_read_too() -> None:
    form = {"event": "dropped", "recipient": ZOE, "code": "550", "description": "user unknown",
            "timestamp": str(SECONDS), "Message-Id": "<m@shop.example>"}  # fmt: skip
    (event,) = try_provider("mailgun", urlencode(form).encode(), {}, None)["events"]
    assert (event["kind"], event["recipient"], event["permanent"]) == ("bounced", ZOE, True)


def test_sparkposts_ping_and_sns_handshakes_are_no_events_about_people() -> None:
    assert told("sparkpost", {}) == []
    assert told("sparkpost", [{"msys": {}}]) == []
    (event,) = told("ses", {"Type": "SubscriptionConfirmation", "MessageId": "x", "Token": "t"})
    assert (event["kind"], event["recipient"]) == ("other", None)


def test_where_there_are_no_webhooks_a_returned_mail_is_read() -> None:
    raw = b"From: MAILER-DAEMON@mx.example\nSubject: failure notice\n\n"
    raw += b"<zoe@customer.example>:\nuser unknown\n"
    (event,) = try_provider("smtp", raw, {}, None)["events"]
    assert (event["kind"], event["recipient"], event["permanent"]) == ("bounced", ZOE, True)


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="sparkpost"):
        try_provider("pigeon", b"", {}, None)
