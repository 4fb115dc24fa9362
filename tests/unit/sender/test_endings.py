"""What a verdict means for the message, its retry and its address."""

import datetime as dt

import pytest

from chappe_sender.domain.ending import ATTEMPTS_MAX, Ending, Refusal, ending
from chappe_sender.domain.message import State
from chappe_sender.domain.outcome import (
    HandOverError,
    InDoubt,
    NotSent,
    Refused,
    Reply,
    Stage,
    reply_of,
)
from chappe_sender.domain.template import MessageClass

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC)
MARKETING, TRANSACTIONAL = MessageClass.MARKETING, MessageClass.TRANSACTIONAL


def end(
    verdict: Reply | HandOverError | Refusal,
    message_class: MessageClass = MARKETING,
    attempts: int = 1,
) -> Ending:
    return ending(verdict, message="m_1", message_class=message_class, attempts=attempts, now=NOW)


def wait(made: Ending) -> dt.timedelta:
    assert made.next_attempt_at is not None
    return made.next_attempt_at - NOW


def refused(text: str, stage: Stage = Stage.RCPT) -> Refused:
    return Refused(stage, reply_of(int(text[:3]), [text[4:]]))


def test_a_doubt_ends_marketing_and_repeats_a_receipt() -> None:
    doubt = InDoubt(Stage.VERDICT, "no answer")
    assert end(doubt).state is State.IN_DOUBT
    again = end(doubt, TRANSACTIONAL)
    assert again.state is State.SCHEDULED
    assert dt.timedelta(seconds=45) < wait(again) < dt.timedelta(seconds=75)


def test_retries_come_at_growing_distances_up_to_an_hour_and_end() -> None:
    waits = [wait(end(refused("451 4.3.0 later"), attempts=n)) for n in (1, 2, 3, 10)]
    assert waits == sorted(waits)
    assert dt.timedelta(minutes=4) < waits[0] < dt.timedelta(minutes=6)
    assert waits[-1] < dt.timedelta(minutes=70)
    assert end(refused("451 later"), attempts=ATTEMPTS_MAX).state is State.FAILED


def test_a_server_that_is_away_is_tried_again_soon() -> None:
    assert wait(end(NotSent(Stage.CONNECT, "refused"))) < dt.timedelta(seconds=7)


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.HELLO, Stage.TLS, Stage.AUTH])
def test_what_is_wrong_with_our_route_is_not_held_against_the_message(stage: Stage) -> None:
    assert end(refused("554 5.7.1 go away", stage)).state is State.SCHEDULED


@pytest.mark.parametrize(
    ("text", "bounce_class", "suppress"),
    [
        ("550 5.1.1 no such user", "invalid_recipient", True),
        ("550 5.2.1 disabled", "inactive_mailbox", True),
        ("552 5.2.2 full", "mailbox_full", False),
        ("550 5.1.10 null mx", "bad_domain", False),
        ("550 5.7.1 blocked", "policy", False),
        ("550 5.1.7 bad sender", "reputation", False),
        ("550 5.7.1 user unknown", "invalid_recipient", True),
        ("554 5.7.1 message rejected as spam", "spam", False),
        ("550 no", "unknown", False),
    ],
)
def test_only_a_dead_address_is_suppressed(text: str, bounce_class: str, suppress: bool) -> None:
    made = end(refused(text))
    assert (made.state, made.reason, made.suppress) == (State.BOUNCED, bounce_class, suppress)
    # That a domain is dead is not believed at the first look.
    assert made.data["permanent"] is (suppress or bounce_class == "bad_domain")


def test_a_4xx_never_suppresses_whatever_it_says() -> None:
    made = end(refused("450 4.1.1 no such user"))
    assert (made.state, made.suppress) == (State.SCHEDULED, False)


def test_an_enhanced_code_of_another_class_is_text() -> None:
    assert reply_of(550, ["4.1.1 strange"]).enhanced is None
    assert reply_of(250, ["2.1.5 Ok"]).enhanced == "2.1.5"


def test_a_refused_sender_is_our_failure_not_a_bounce() -> None:
    assert end(refused("550 5.1.8 sender", Stage.MAIL)).event == "email.failed"


def test_what_we_could_not_write_is_skipped_with_the_reason() -> None:
    made = end(Refusal("render_failed", "money: no currency"))
    assert (made.state, made.event, made.reason) == (
        State.SKIPPED, "email.skipped", "render_failed",
    )  # fmt: skip
