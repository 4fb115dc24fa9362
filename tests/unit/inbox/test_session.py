"""The conversation, without a socket."""

import pytest

from chappe_onebox.inbox.limits import Limits
from chappe_onebox.inbox.session import Incoming, Mode, Room, Session

TO_DATA = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"


def greeted(limits: Limits | None = None, *, room: int = 10_000_000) -> Session:
    session = Session(limits=limits or Limits(), host="inbox", room=Room(room))
    session.feed(b"EHLO me\r\n")
    session.take_replies()
    return session


def codes(session: Session) -> list[str]:
    return [line[:3] for line in session.take_replies().decode().splitlines()]


def ask(session: Session, line: bytes) -> str:
    session.feed(line + b"\r\n")
    return session.take_replies().decode().strip()


def test_the_greeting_names_what_it_can() -> None:
    session = Session(limits=Limits(), host="inbox", room=Room(1))
    assert session.take_replies() == b"220 inbox ESMTP Chappe inbox\r\n"
    session.feed(b"EHLO me\r\n")
    assert session.take_replies().decode().splitlines() == [
        "250-inbox",
        "250-PIPELINING",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-SIZE 26214400",
        "250 ENHANCEDSTATUSCODES",
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"HELO me", "250"),
        (b"EHLO", "501"),
        (b"NOOP", "250"),
        (b"noop anything", "250"),
        (b"VRFY zoe", "252"),
        (b"HELP", "214"),
        (b"RSET", "250"),
        (b"RSET now", "501"),
        (b"RCPT TO:<b@example.com>", "503"),
        (b"DATA", "503"),
        (b"DATA now", "501"),
        (b"EXPN list", "500"),
        (b"STARTTLS", "500"),
        (b"", "500"),
        (b"\xff\xfe", "500"),
        (b"NOOP \0", "500"),
        (b"MAIL FROM:<>", "250"),
        (b"mail from: <a@example.com>", "250"),
        (b"MAIL FROM:<a@example.com> SIZE=1000 BODY=8BITMIME SMTPUTF8", "250"),
        ("MAIL FROM:<zoé@exämple.com> SMTPUTF8".encode(), "250"),
        ("MAIL FROM:<zoé@example.com>".encode(), "553"),
        (b'MAIL FROM:<"a > b"@example.com>', "250"),
        (b"MAIL FROM:<@relay.example,@other.example:a@example.com>", "250"),
        (b"MAIL FROM:<a@[127.0.0.1]>", "250"),
        (b"MAIL FROM:a@example.com", "501"),
        (b"MAIL FROM:<a@example.com", "501"),
        (b"MAIL TO:<a@example.com>", "501"),
        (b"MAIL", "501"),
        (b"MAIL FROM:<a>", "553"),
        (b"MAIL FROM:<a b@example.com>", "553"),
        (b"MAIL FROM:<" + b"a" * 400 + b"@example.com>", "553"),
        (b"MAIL FROM:<a@example.com> SIZE=26214401", "552"),
        (b"MAIL FROM:<a@example.com> SIZE=" + b"9" * 30, "552"),
        (b"MAIL FROM:<a@example.com> SIZE=many", "555"),
        (b"MAIL FROM:<a@example.com> BODY=BINARYMIME", "555"),
        (b"MAIL FROM:<a@example.com> RET=FULL", "555"),
        (b"QUIT", "221"),
    ],
)
def test_each_command_gets_its_code(line: bytes, code: str) -> None:
    assert ask(greeted(), line)[:3] == code


def test_mail_before_ehlo_is_out_of_sequence() -> None:
    session = Session(limits=Limits(), host="inbox", room=Room(1))
    session.take_replies()
    assert ask(session, b"MAIL FROM:<a@example.com>").startswith("503 5.5.1")


def test_a_second_sender_is_out_of_sequence_and_rset_allows_it() -> None:
    session = greeted()
    ask(session, b"MAIL FROM:<a@example.com>")
    assert ask(session, b"MAIL FROM:<b@example.com>").startswith("503")
    ask(session, b"RSET")
    assert ask(session, b"MAIL FROM:<b@example.com>").startswith("250")


def test_a_new_ehlo_forgets_the_mail_begun() -> None:
    session = greeted()
    ask(session, b"MAIL FROM:<a@example.com>")
    ask(session, b"EHLO me")
    assert ask(session, b"RCPT TO:<b@example.com>").startswith("503")


def test_data_without_a_valid_recipient_is_refused() -> None:
    session = greeted()
    ask(session, b"MAIL FROM:<a@example.com>")
    assert ask(session, b"RCPT TO:<>").startswith("553")
    assert ask(session, b"RCPT TO:<b@example.com> NOTIFY=NEVER").startswith("555")
    assert ask(session, b"DATA").startswith("554")


def test_postmaster_needs_no_domain() -> None:
    session = greeted()
    ask(session, b"MAIL FROM:<a@example.com>")
    assert ask(session, b"RCPT TO:<Postmaster>").startswith("250")


def test_the_101st_recipient_is_told_to_come_later() -> None:
    session = greeted()
    ask(session, b"MAIL FROM:<a@example.com>")
    for number in range(100):
        assert ask(session, b"RCPT TO:<r%d@example.com>" % number).startswith("250")
    assert ask(session, b"RCPT TO:<late@example.com>").startswith("452 4.5.3")
    assert ask(session, b"RCPT TO:<r7@example.com>").startswith("250"), "a repeat is no new one"
    session.feed(b"DATA\r\n")
    mail = session.feed(b"x\r\n.\r\n")
    assert mail is not None
    assert len(mail.recipients) == 100


def test_a_line_that_is_too_long_gets_one_500_and_the_next_is_heard() -> None:
    session = greeted()
    session.feed(b"NOOP " + b"x" * 5_000)
    session.feed(b"x" * 50_000)
    session.feed(b"\r\nNOOP\r\n")
    assert codes(session) == ["500", "250"]
    session.feed(b"NOOP " + b"x" * 5_000 + b"\r\nNOOP\r\n")
    assert codes(session) == ["500", "250"]


def test_too_many_errors_end_the_conversation() -> None:
    session = greeted(Limits(errors=3))
    session.feed(b"FOO\r\n" * 10)
    assert codes(session) == ["500", "500", "500", "421"]
    assert session.mode is Mode.CLOSED


def test_a_browser_is_hung_up_on_before_its_body_is_read() -> None:
    session = Session(limits=Limits(), host="inbox", room=Room(1))
    session.take_replies()
    session.feed(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO me\r\n" + TO_DATA + b"x\r\n.\r\n")
    assert codes(session) == ["421"]


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b"a\r\n.\r\n", b"a\r\n"),
        (b".\r\n", b""),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"..a\r\n..\r\n...b\r\n.\r\n", b".a\r\n.\r\n..b\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\n.\nMAIL FROM:<x@example.com>\r\n.\r\n", b"a\n.\nMAIL FROM:<x@example.com>\r\n"),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n"),
        (b"\xff\x00\r\n.\r\n", b"\xff\x00\r\n"),
    ],
)
@pytest.mark.parametrize("piece", [1, 2, 3, 1000])
def test_content_ends_at_crlf_dot_crlf_alone_and_loses_its_stuffing(
    wire: bytes, content: bytes, piece: int
) -> None:
    session = greeted()
    session.feed(TO_DATA)
    mails = [session.feed(wire[at : at + piece]) for at in range(0, len(wire), piece)]
    assert mails[-1] == Incoming("a@example.com", ("b@example.com",), content)
    assert mails[:-1] == [None] * (len(mails) - 1)


def test_groups_across_mails_are_answered_in_order_and_only_once_stored() -> None:
    session = greeted()
    session.feed(TO_DATA)
    assert codes(session) == ["250", "250", "354"]
    first = session.feed(b"one\r\n.\r\n" + TO_DATA)
    assert first is not None
    assert codes(session) == [], "nothing is said before the disk has spoken"
    assert session.answer("250 2.0.0 Stored") is None
    assert codes(session) == ["250", "250", "250", "354"]
    second = session.feed(b"two\r\n.\r\nQUIT\r\n")
    assert second is not None
    assert second.content == b"two\r\n"
    session.answer("451 4.3.0 Not stored")
    assert codes(session) == ["451", "221"]


def test_a_mail_over_the_limit_is_read_to_its_end_and_refused() -> None:
    session = greeted(Limits(mail_bytes=1_000))
    session.feed(TO_DATA)
    session.take_replies()
    for _ in range(50):
        assert session.feed(b"x" * 98 + b"\r\n") is None
    assert session.buffered < 200, "what is refused is not kept"
    assert session.feed(b".\r\nNOOP\r\n") is None
    assert session.take_replies() == b"552 5.3.4 The mail is too large\r\n250 2.0.0 OK\r\n"


def test_a_mail_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    for length, taken in ((98, True), (99, False)):
        session = greeted(Limits(mail_bytes=100))
        session.feed(TO_DATA)
        mail = session.feed(b"x" * length + b"\r\n.\r\n")
        assert (mail is not None) is taken


def test_when_memory_is_short_mails_are_put_off_and_the_room_comes_back() -> None:
    session = greeted(room=1_000)
    for _ in range(3):
        session.feed(TO_DATA + b"x" * 5_000)
        assert session.feed(b"\r\n.\r\n") is None
        assert codes(session) == ["250", "250", "354", "452"]
    session.feed(TO_DATA)
    assert session.feed(b"small\r\n.\r\n") is not None
    session.answer("250 ok")
    session.feed(TO_DATA + b"x" * 900)
    session.close()
    assert session._room.take(1_000), "a closed conversation gives everything back"
