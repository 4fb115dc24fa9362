"""A real Postfix that forgives nothing takes all our mail, and delivers it byte for byte."""

import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from chappe_sender.adapters.smtp import Security
from chappe_sender.adapters.smtp.route import Pin
from chappe_sender.domain.addresses import parse_mailbox
from chappe_sender.domain.outcome import NotSent, Refused, Reply, Stage
from tests.peers.authority import Authority
from tests.peers.mails import carry, connected, route, sample, send
from tests.peers.postfix import ERRORS_MAX, MESSAGES_MAX, SMALL_MESSAGE_MAX, Postfix
from tests.peers.sink import Sink
from tests.unit.sender.smtp_desk import Letter

pytestmark = pytest.mark.peers

COMPLAINTS = (
    "improper command pipelining",
    "SMTP protocol synchronization",
    "non-SMTP command",
    "bare newline",
    "after_dot",
)
"""What Postfix writes down about a client that breaks the rules."""


def complaints(log: str) -> list[str]:
    return [line for line in log.splitlines() if any(each in line for each in COMPLAINTS)]


async def refusal(port: int, recipient: str, subject: str = "hello") -> Refused:
    with pytest.raises(Refused) as caught:
        await send(route(port), sample(recipient, subject=subject))
    return caught.value


async def test_a_mail_arrives_byte_for_byte_with_its_dots_and_letters(mx: Postfix) -> None:
    mail = sample()
    (reply,) = await send(route(mx.ports["strict"]), mail)
    assert (reply.code, reply.enhanced) == (250, "2.0.0")
    assert mx.delivered(mail.name) == mail.envelope.content


async def test_many_mails_over_one_connection_break_no_rule_of_pipelining(mx: Postfix) -> None:
    mails = [sample(f"zoe{n}@example.com") for n in range(200)]
    before = len(mx.log)
    replies = await send(route(mx.ports["strict"]), *mails)
    assert {reply.code for reply in replies} == {250}
    for mail in mails:
        assert mx.delivered(mail.name) == mail.envelope.content
    said = mx.log[before:]
    assert not complaints(said)
    assert said.count(": connect from") == 1


async def test_a_server_without_esmtp_takes_the_same_mail(mx: Postfix) -> None:
    mails = [sample() for _ in range(3)]
    await send(route(mx.ports["no_esmtp"]), *mails)
    for mail in mails:
        assert mx.delivered(mail.name) == mail.envelope.content


async def test_international_addresses_go_out_with_smtputf8(mx: Postfix) -> None:
    mail = sample("zoé@bücher.example")
    assert mail.envelope.recipient == "zoé@xn--bcher-kva.example"
    await send(route(mx.ports["strict"]), mail)
    delivered = mx.delivered(mail.name)
    assert delivered == mail.envelope.content
    assert "To: zoé@xn--bcher-kva.example\r\n".encode() in delivered


async def test_an_international_sender_does_so_too(mx: Postfix) -> None:
    zoe = parse_mailbox("Zoé <zoé@shop.example>")
    assert zoe is not None
    mail = sample(sender=zoe, back=str(zoe.address))
    await send(route(mx.ports["strict"]), mail)
    assert mx.delivered(mail.name) == mail.envelope.content


async def test_an_international_address_is_refused_before_asking_where_it_cannot_go(
    mx: Postfix,
) -> None:
    with pytest.raises(Refused) as caught:
        await send(route(mx.ports["no_esmtp"]), sample("zoé@example.com"))
    assert caught.value.reply.enhanced == "5.6.7"


async def test_eight_bit_content_is_announced_and_arrives(mx: Postfix) -> None:
    plain = sample(signed=False)
    raw = plain.envelope.content.replace(b"Subject: ", "X-Note: é\r\nSubject: ".encode(), 1)
    head, _, body = raw.partition(b"\r\n\r\n")
    content = head + b"\r\n\r\n" + body.replace(b"5", "€".encode())
    mail = Letter(plain.name, type(plain.envelope)("a@shop.example", "zoe@example.com", content))
    await send(route(mx.ports["strict"]), mail)
    assert mx.delivered(mail.name) == content


async def test_postfix_hands_our_mail_on_as_it_got_it(mx: Postfix, next_hop: Sink) -> None:
    mail = sample("zoe@next.example")
    await send(route(mx.ports["strict"]), mail)
    onward = next_hop.dumped_with(mail.name.encode()).replace(b"\n", b"\r\n")
    assert mail.envelope.content in onward


@pytest.mark.parametrize("lines", [1, 400, 20_000])
async def test_dots_at_the_start_of_lines_arrive_in_mails_of_any_size(
    mx: Postfix, lines: int
) -> None:
    mail = sample(text=".\n.a\n..\n" * lines)
    await send(route(mx.ports["strict"]), mail)
    assert mx.delivered(mail.name) == mail.envelope.content


# -- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "security"),
    [
        ("strict", Security.REQUIRE),
        ("strict", Security.ENCRYPT),
        ("strict", Security.OPPORTUNISTIC),
        ("implicit", Security.IMPLICIT),
        ("stranger", Security.ENCRYPT),
        ("stranger", Security.OPPORTUNISTIC),
        ("plain", Security.OPPORTUNISTIC),
    ],
)
async def test_tls_is_spoken_as_the_route_says(
    mx: Postfix, trusted: Authority, service: str, security: Security
) -> None:
    mails = [sample() for _ in range(3)]
    before = len(mx.log)
    await send(route(mx.ports[service], security), *mails)
    for mail in mails:
        assert mx.delivered(mail.name) == mail.envelope.content
    assert ("TLS connection established" in mx.log[before:]) == (service != "plain")
    assert not complaints(mx.log[before:])


@pytest.mark.parametrize(
    ("service", "security"),
    [
        ("stranger", Security.REQUIRE),
        ("plain", Security.REQUIRE),
        ("plain", Security.ENCRYPT),
        ("plain", Security.IMPLICIT),
    ],
)
async def test_no_mail_goes_where_the_asked_for_tls_is_not_to_be_had(
    mx: Postfix, trusted: Authority, service: str, security: Security
) -> None:
    with pytest.raises(NotSent) as caught:
        await send(route(mx.ports[service], security), sample())
    assert caught.value.stage in {Stage.TLS, Stage.CONNECT}


async def test_tls_that_fails_is_done_without_only_where_it_may_be(
    mx: Postfix, trusted: Authority
) -> None:
    mail = sample()
    before = len(mx.log)
    await send(route(mx.ports["old_tls"], Security.OPPORTUNISTIC), mail)
    assert mx.delivered(mail.name) == mail.envelope.content
    assert "SSL_accept error" in mx.log[before:]
    for security in (Security.REQUIRE, Security.ENCRYPT):
        with pytest.raises(NotSent) as caught:
            await send(route(mx.ports["old_tls"], security), sample())
        assert caught.value.stage is Stage.TLS


async def test_a_server_of_another_name_is_not_trusted(mx: Postfix, trusted: Authority) -> None:
    where = route(mx.ports["strict"], Security.REQUIRE, host="mail.shop.example")
    with pytest.raises(NotSent) as caught:
        await send(where, sample())
    assert caught.value.stage is Stage.TLS


async def test_a_certificate_that_dns_names_is_enough_and_another_is_none(
    mx: Postfix, certificates: Authority
) -> None:
    """DANE: nobody signed the certificate, its key is pinned."""
    held = load_pem_x509_certificate(certificates.stranger).public_key()
    public = held.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    right, wrong = Pin(1, 1, hashlib.sha256(public).digest()), Pin(1, 1, bytes(32))
    mail = sample()
    where = route(mx.ports["stranger"], Security.ENCRYPT, pins=(wrong, right))
    await send(where, mail)
    assert mx.delivered(mail.name) == mail.envelope.content
    with pytest.raises(NotSent) as caught:
        await send(route(mx.ports["stranger"], Security.ENCRYPT, pins=(wrong,)), sample())
    assert caught.value.stage is Stage.TLS


async def test_postscreen_finds_no_fault_with_us(mx: Postfix, trusted: Authority) -> None:
    """It turns everybody away once while it looks, for now; who passed is let in from then on."""
    before = len(mx.log)
    mail = sample()
    with pytest.raises(Refused) as caught:
        await send(route(mx.ports["screen"], Security.REQUIRE), mail)
    assert (caught.value.stage, caught.value.reply.code) == (Stage.RCPT, 450)
    said = mx.log[before:]
    assert "PASS NEW [127.0.0.1]" in said
    for fault in ("PREGREET", "COMMAND PIPELINING", "NON-SMTP COMMAND", "BARE NEWLINE", "HANGUP"):
        assert fault not in said
    await send(route(mx.ports["screen"], Security.REQUIRE), mail)
    assert mx.delivered(mail.name) == mail.envelope.content


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "code", "enhanced"),
    [
        ("nobody@example.com", 550, "5.1.1"),
        ("full@example.com", 452, "4.2.2"),
        ("grey@example.com", 450, "4.7.1"),
        ("zoe@elsewhere.example", 554, "5.7.1"),
    ],
)
async def test_a_refused_recipient_is_known_as_such(
    mx: Postfix, recipient: str, code: int, enhanced: str
) -> None:
    error = await refusal(mx.ports["strict"], recipient)
    assert (error.stage, error.reply.code) == (Stage.RCPT, code)
    assert error.reply.enhanced == enhanced
    assert error.permanent == (code >= 500)


async def test_a_server_that_closes_over_a_recipient_is_heard_to_the_end(mx: Postfix) -> None:
    error = await refusal(mx.ports["strict"], "gone@example.com")
    assert (error.stage, error.reply.code, error.reply.enhanced) == (Stage.RCPT, 421, "4.3.0")


@pytest.mark.parametrize(
    ("sender", "code", "enhanced"),
    [("deferred@shop.example", 450, "4.7.1"), ("refused@shop.example", 550, "5.7.1")],
)
async def test_a_refused_sender_is_known_as_such(
    mx: Postfix, sender: str, code: int, enhanced: str
) -> None:
    mail = sample()
    envelope = type(mail.envelope)(sender, mail.envelope.recipient, mail.envelope.content)
    with pytest.raises(Refused) as caught:
        await send(route(mx.ports["strict"]), Letter(mail.name, envelope))
    error = caught.value
    assert (error.stage, error.reply.code, error.reply.enhanced) == (Stage.MAIL, code, enhanced)


@pytest.mark.parametrize(
    ("recipient", "subject", "code", "enhanced"),
    [
        ("later@example.com", "hello", 451, "4.3.0"),
        ("spam@example.com", "hello", 554, "5.7.1"),
        ("zoe@example.com", "FORBIDDEN fruit", 550, "5.7.1"),
    ],
)
async def test_a_refusal_after_the_final_dot_is_no_doubt(
    mx: Postfix, recipient: str, subject: str, code: int, enhanced: str
) -> None:
    error = await refusal(mx.ports["strict"], recipient, subject=subject)
    assert (error.stage, error.reply.code, error.reply.enhanced) == (Stage.VERDICT, code, enhanced)


@pytest.mark.parametrize("service", ["busy", "closed"])
async def test_a_greeting_that_refuses_is_a_refusal(mx: Postfix, service: str) -> None:
    error = await refusal(mx.ports[service], "zoe@example.com")
    assert error.stage is Stage.GREETING
    assert error.reply.enhanced == {"busy": "4.3.2", "closed": "5.7.1"}[service]


async def test_a_mail_above_the_announced_size_is_not_even_offered(mx: Postfix) -> None:
    before = len(mx.log)
    mail = sample(text="x" * SMALL_MESSAGE_MAX)
    with pytest.raises(Refused) as caught:
        await send(route(mx.ports["small"]), mail)
    assert (caught.value.stage, caught.value.reply.enhanced) == (Stage.MAIL, "5.3.4")
    assert "too big" not in mx.log[before:]


async def test_refusals_between_mails_cost_no_mail(mx: Postfix) -> None:
    """Postfix keeps the transaction that it refuses at the end of DATA: "nested MAIL command"."""
    people = ("a@example.com", "nobody@example.com", "b@example.com", "full@example.com")
    letters = [sample(each) for each in (*people, "spam@example.com", *people)]
    before, count = len(mx.log), mx.count()
    desk = await carry(route(mx.ports["strict"]), [*letters])
    taken = [each for each in letters if isinstance(desk.verdicts[each.name], Reply)]
    assert [each.envelope.recipient[0] for each in taken] == ["a", "b", "a", "b"]
    for letter in taken:
        assert mx.delivered(letter.name) == letter.envelope.content
    assert mx.count() == count + len(taken)
    assert mx.log[before:].count(": connect from") == 2
    assert not complaints(mx.log[before:])


async def test_many_lanes_deliver_each_mail_once(mx: Postfix, trusted: Authority) -> None:
    letters = [sample(f"zoe{n}@example.com") for n in range(120)]
    count = mx.count()
    desk = await carry(route(mx.ports["strict"], Security.REQUIRE), [*letters], lanes=8)
    assert all(isinstance(verdict, Reply) for verdict in desk.verdicts.values())
    for letter in letters:
        assert mx.delivered(letter.name) == letter.envelope.content
    assert mx.count() == count + len(letters)


# -- limits ---------------------------------------------------------------------------------------


async def test_too_many_errors_close_the_connection_and_the_next_mail_takes_another(
    mx: Postfix,
) -> None:
    wrong = [sample("nobody@example.com") for _ in range(ERRORS_MAX)]
    letters = [*wrong, sample("zoe@example.com")]
    before = len(mx.log)
    desk = await carry(route(mx.ports["few_errors"]), [*letters])
    refused = [desk.verdicts[each.name] for each in wrong]
    assert [v.reply.enhanced for v in refused if isinstance(v, Refused)] == ["5.1.1"] * ERRORS_MAX
    assert mx.delivered(letters[-1].name) == letters[-1].envelope.content
    assert "too many errors" in mx.log[before:]


async def test_the_421_of_too_many_connections_is_heard(mx: Postfix) -> None:
    where = route(mx.ports["few_connections"])
    async with connected(where), connected(where):
        error = await refusal(mx.ports["few_connections"], "zoe@example.com")
    assert (error.stage, error.reply.code, error.reply.enhanced) == (Stage.GREETING, 421, "4.7.0")
    assert "too many connections" in error.reply.text


async def test_a_limit_of_messages_is_a_refused_sender_and_what_went_before_has_gone(
    mx: Postfix,
) -> None:
    mails = [sample() for _ in range(MESSAGES_MAX + 1)]
    with pytest.raises(Refused) as caught:
        await send(route(mx.ports["few_messages"]), *mails)
    error = caught.value
    assert (error.stage, error.reply.code, error.reply.enhanced) == (Stage.MAIL, 450, "4.7.1")
    assert "too much mail" in error.reply.text
    for mail in mails[:-1]:
        assert mx.delivered(mail.name) == mail.envelope.content
