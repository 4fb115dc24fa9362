"""Formats and phrases that one system alone writes, each seen once in the wild, none copied."""

import pytest

from chappe_sender.domain.bounces import ProviderEvent, classify, read


def _said(lines: str, subject: str = "Undeliverable mail", *more: str) -> list[ProviderEvent]:
    head = [
        "Return-Path: <>",
        "From: Mail Delivery <MAILER-DAEMON@relay.example>",
        "To: bounces@shop.example",
        f"Subject: {subject}",
        *more,
    ]
    return read(("\n".join(head) + "\n\n" + lines).encode())


def _told(event: ProviderEvent) -> tuple[str | None, str | None, bool]:
    return (
        event.recipient,
        event.bounce_class.value if event.bounce_class else None,
        event.permanent,
    )


def test_an_address_is_taken_whole_before_a_reason_in_brackets() -> None:
    (event,) = _said("---These addresses had errors---\n\nzoe@mx.customer.example [User unknown]\n")
    assert _told(event) == ("zoe@mx.customer.example", "invalid_recipient", True)


def test_a_small_agent_that_names_whom_in_a_sentence_is_read() -> None:
    (event,) = _said(
        "This is a small mail agent at relay.example.\n\n"
        "There was an error delivering your mail to <zoe@customer.example>.\n\n"
        "mx.customer.example [192.0.2.7] did not like our final DATA:\n"
        "550-5.7.26 Mail from shop.example was not accepted\n"
        "550 5.7.26 because of its domain's DMARC policy.\n\n"
        "Message headers follow.\n\nTo: <zoe@customer.example>\n",
        "Mail delivery failed",
    )
    assert _told(event) == ("zoe@customer.example", "authentication", False)


def test_a_domain_of_one_word_or_one_letter_is_still_whom_it_was_for() -> None:
    report = (
        "--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; relay.example\n\n"
        "Final-Recipient: rfc822; zoe@intranet\nAction: failed\nStatus: 5.1.1\n\n--x--\n"
    )
    (event,) = _said(report, "Failed", 'Content-Type: multipart/report; boundary="x"')
    assert _told(event) == ("zoe@intranet", "invalid_recipient", True)
    (event,) = _said("Mailbox is full.\n", "Failed", "X-Failed-Recipients: zoe@a.b.c")
    assert _told(event) == ("zoe@a.b.c", "mailbox_full", False)


def test_each_recipient_of_a_report_has_an_own_fate() -> None:
    report = (
        "--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; relay.example\n\n"
        "Final-Recipient: rfc822; ann@one.example\nAction: failed\nStatus: 5.0.0\n"
        "Diagnostic-Code: smtp; 550 'ann@one.example' is not a registered gateway user\n\n"
        "Final-Recipient: rfc822; bea@two.example\nAction: delayed\n"
        "Status: 4.0.0 (two.example: host name lookup failure)\n\n"
        "Final-Recipient: rfc822; cem@three.example\nAction: failed\nStatus: 5.2.2\n\n--x--\n"
    )
    events = _said(report, "Returned", 'Content-Type: multipart/report; boundary="x"')
    assert [(e.kind.value, *_told(e)) for e in events] == [
        ("bounced", "ann@one.example", "invalid_recipient", True),
        ("deferred", "bea@two.example", "connection", False),
        ("bounced", "cem@three.example", "mailbox_full", False),
    ]


def test_a_name_server_that_may_answer_later_kills_no_address() -> None:
    found = classify("Name service error for domain customer.example: Host not found, try again")
    assert (found.bounce_class.value, found.permanent) == ("connection", False)


@pytest.mark.parametrize(
    ("ending", "bounce_class"),
    [
        ("OFR102_104", "rate_limited"),
        ("LPN004_401", "authentication"),
        ("LPN105_405", "reputation"),
        ("LPN007_426", "inactive_mailbox"),
        ("LPN416", "invalid_recipient"),
        ("OFR_417", "mailbox_full"),
        ("OUK_513", "spam"),
        ("OFR005_505", "server_error"),
        ("OFR_514", "too_large"),
    ],
)
def test_orange_and_la_poste_say_why_in_the_last_three_digits(
    ending: str, bounce_class: str
) -> None:
    assert classify(f"550 5.5.0 Non. {ending}").bounce_class.value == bounce_class


@pytest.mark.parametrize(
    ("said", "bounce_class"),
    [
        ("550 5.1.1 RCP-P1 Not here", "invalid_recipient"),
        ("554 5.7.1 POL-P3 Not from there", "reputation"),
        ("550 5.1.1 <zoe@cloud.example>: inactive email address", "invalid_recipient"),
        ("450 Your daily sending quota is used up: daily sending quota exceeded", "rate_limited"),
        ("421 4.7.28 There is an unusual rate of mail from your network", "rate_limited"),
        ("554 Message has more than the maximum hop count", "server_error"),
        ('554 Too many "Received" fields', "server_error"),
        ("550 You want to use me as a relay, which nobody allowed", "relaying"),
        ("550 We are not configured to relay this", "relaying"),
        ("550 The account does not have enough space for this", "mailbox_full"),
        ("550 The domain part of that address does not exist", "bad_domain"),
        ("550 Only for the closed mailing list's own", "policy"),
        ("550 envelope blocked by an entry", "reputation"),
        ("421 4.3.0 Upstream error, look at our help", "server_error"),
        ("454 remote host fails the DANE check", "connection"),
        ("ディレクトリのリストにありません", "invalid_recipient"),
        ("Utilisateur non repertorié dans l'annuaire", "invalid_recipient"),
    ],
)
def test_a_set_phrase_means_what_its_author_means(said: str, bounce_class: str) -> None:
    assert classify(said, failed=True).bounce_class.value == bounce_class
