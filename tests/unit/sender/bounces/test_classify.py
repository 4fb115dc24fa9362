"""A server's answer means what its author meant, whatever number stands beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe_sender.domain.bounces import BounceClass, classify

DEAD = [
    # Gmail
    (
        "invalid_recipient",
        (
            "550-5.1.1 The email account that you tried to reach does not exist. Please try\n"
            "550-5.1.1 double-checking the recipient's email address for typos or\n"
            "550 5.1.1 unnecessary spaces. https://support.google.com/mail/?p=NoSuchUser d2e - gs"
        ),
    ),
    (
        "inactive_mailbox",
        (
            "550 5.2.1 The email account that you tried to reach is disabled. Learn more at "
            "https://support.google.com/mail/?p=DisabledUser x9 - gsmtp"
        ),
    ),
    ("bad_domain", "550 5.1.2 The domain nope.example couldn't be found. DNS type 'mx' lookup"),
    # Microsoft
    (
        "invalid_recipient",
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).",
    ),
    (
        "invalid_recipient",
        (
            "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) "
            "[AB1CD2.eop-eur02.prod.protection.outlook.com 2026-11-20T09:00:00.000Z]"
        ),
    ),
    ("invalid_recipient", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP"),
    (
        "bad_domain",
        "550 5.4.310 DNS domain nope.example does not exist [Message=InfoDomainNonexist",
    ),
    # Yahoo, Apple, GMX, Orange, Free
    (
        "invalid_recipient",
        "554 delivery error: dd This user doesn't have a yahoo.com account (x@y.z)",
    ),
    ("inactive_mailbox", "554 delivery error: dd Sorry, this mailbox is disabled (554.30). - mta1"),
    ("invalid_recipient", "550 5.1.1 <zoe@icloud.example>: user does not exist"),
    ("invalid_recipient", "550 Requested action not taken: mailbox unavailable"),
    (
        "invalid_recipient",
        "550 5.1.1 Adresse d au moins un destinataire invalide. OFR204_418 [418]",
    ),
    ("inactive_mailbox", "550 5.2.1 This mailbox has been blocked due to inactivity (UserSearch)"),
    # Postfix, Exim, Sendmail, qmail, Domino
    (
        "invalid_recipient",
        "550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in local",
    ),
    ("bad_domain", "5.4.4 Name service error for name=nope.example type=AAAA: Host not found"),
    ("invalid_recipient", "550 Unrouteable address"),
    ("bad_domain", "556 5.1.10 <a@b.example>: Recipient address rejected: Domain has null MX"),
    ("invalid_recipient", "550 5.1.1 <a@b.example>... User unknown"),
    ("invalid_recipient", "Sorry, no mailbox here by that name. (#5.1.1)"),
    ("bad_domain", "Sorry, I couldn't find any host named nope.example. (#5.1.2)"),
    ("invalid_recipient", "User zoe (zoe@corp.example) not listed in Domino Directory"),
    # Other tongues
    ("invalid_recipient", "550 Der Empfänger existiert nicht"),
    ("invalid_recipient", "550 Utilisateur inconnu"),
    ("invalid_recipient", "550 El usuario no existe"),
    ("invalid_recipient", "550 Destinatario sconosciuto"),
    ("invalid_recipient", "550 Usuário desconhecido"),
    ("invalid_recipient", "550 Пользователь не найден"),
    ("invalid_recipient", "550 用户不存在"),
    ("inactive_mailbox", "550 Das Postfach ist deaktiviert"),
]

NOT_DEAD = [
    ("mailbox_full", "452-4.2.2 The recipient's inbox is out of storage space. ?p=OverQuotaTemp"),
    ("mailbox_full", "552 5.2.2 Mailbox size limit exceeded"),
    ("mailbox_full", "554 5.2.2 mailbox full; STOREDRV.Deliver; QuotaExceededException"),
    ("mailbox_full", "552 5.1.1 Boite du destinataire pleine. Recipient overquota. OFR_417 [417]"),
    ("mailbox_full", "552 Das Postfach des Empfängers ist voll"),
    (
        "rate_limited",
        "450-4.2.1 The user you are trying to contact is receiving email at a rate that",
    ),
    (
        "rate_limited",
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to volume",
    ),
    (
        "rate_limited",
        "421 mwinf5c ME Trop de connexions. Too many connections, slow down. OFR004_104",
    ),
    (
        "rate_limited",
        "450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see http://x",
    ),
    (
        "rate_limited",
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited (S775)",
    ),
    ("reputation", "550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using Spamhaus"),
    ("reputation", "550 5.7.1 part of their network is on our block list (S3150)."),
    ("reputation", "550 5.7.606 Access denied, banned sending IP [192.0.2.1]"),
    ("reputation", "450 4.1.8 <x@y.example>: Sender address rejected: Domain not found"),
    ("reputation", "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1"),
    ("reputation", "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help) (BL)"),
    ("spam", "550-5.7.1 Our system has detected that this message is likely unsolicited mail."),
    ("spam", "554 5.7.1 Spam message rejected; see https://mx.example/why"),
    (
        "authentication",
        "550-5.7.26 Your email has been blocked because the sender is unauthenticated",
    ),
    ("authentication", "550 5.7.515 Access denied, sending domain shop.example does not meet"),
    ("authentication", "550 5.7.1 Email rejected per DMARC policy for shop.example"),
    ("authentication", "550 5.7.25 Client host rejected: cannot find your reverse hostname"),
    ("authentication", "554-No SMTP service 554-Bad DNS PTR resource record."),
    ("policy", "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required"),
    ("policy", "554 5.7.9 Message not accepted for policy reasons."),
    ("policy", "550 5.7.124 RESOLVER.RST.SenderNotAuthenticatedForGroup"),
    ("relaying", "554 5.7.1 <a@b.example>: Relay access denied"),
    ("relaying", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    ("too_large", "552 5.3.4 Message size exceeds fixed limit"),
    ("content", "554 5.7.1 Your message contains a virus (Eicar-Test-Signature)"),
    ("content", "552-5.7.0 blocked because its content presents a potential security issue."),
    ("connection", "connect to mx.example[192.0.2.1]:25: Connection timed out"),
    ("connection", "Name service error for name=b.example type=MX: Host not found, try again"),
    ("expired", "4.4.7 Delivery time expired"),
    ("expired", "I'm not going to try again; this message has been in the queue too long."),
    ("server_error", "554 5.4.6 Too many hops"),
    ("server_error", "451 4.3.0 Temporary lookup failure"),
    ("protocol", "501 5.5.4 Syntax error in parameters"),
    ("unknown", "550"),
    ("unknown", "x"),
]


@pytest.mark.parametrize(("expected", "text"), DEAD)
def test_a_dead_address_is_known_by_what_is_said(expected: str, text: str) -> None:
    found = classify(text, failed=True)
    assert (found.bounce_class, found.permanent) == (expected, True)


@pytest.mark.parametrize(("expected", "text"), NOT_DEAD)
def test_everything_else_leaves_the_address_alone(expected: str, text: str) -> None:
    found = classify(text, failed=True)
    assert (found.bounce_class, found.permanent) == (expected, False)


def test_words_outweigh_a_careless_number() -> None:
    assert classify("550 5.7.1 no such user here").bounce_class == "invalid_recipient"
    assert classify("550 5.1.1 mailbox is full").bounce_class == "mailbox_full"


def test_a_number_outweighs_vague_words() -> None:
    assert classify("550 5.1.1 rejected").bounce_class == "invalid_recipient"
    assert classify("550 5.2.2 refused").bounce_class == "mailbox_full"


def test_a_4xx_never_makes_an_address_dead() -> None:
    for text in ("450 4.1.1 user unknown", "450 no such user", "451 4.1.2 domain not found"):
        assert not classify(text, failed=True).permanent
    assert not classify("user unknown", field="4.1.1", failed=True).permanent


def test_what_holds_for_now_is_not_for_good() -> None:
    found = classify("550 mailbox temporarily disabled", failed=True)
    assert (found.bounce_class, found.permanent) == ("inactive_mailbox", False)


def test_the_name_of_an_address_says_nothing() -> None:
    assert classify("550 <spam.virus@blacklist.example> x").bounce_class is BounceClass.UNKNOWN


@given(st.text(max_size=5_000), st.text(max_size=12))
def test_no_text_breaks_it(text: str, field: str) -> None:
    assert classify(text, field=field).bounce_class in BounceClass
