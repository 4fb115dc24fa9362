"""Many servers, many words: each is read for what it means."""

from pathlib import Path

import pytest

from chappe_sender.domain.bounces import classify, read
from tests.unit.sender.bounces.plain_mails import MAILS, mail

REPLIES = Path(__file__).with_name("replies.txt").read_text("utf-8").splitlines()
"""``class dead|alive | what a server said``, composed by us after what the vendors publish."""


@pytest.mark.parametrize("line", REPLIES)
def test_a_reply_means_what_its_server_means(line: str) -> None:
    head, _, said = line.partition(" | ")
    bounce_class, fate = head.split()
    found = classify(said, failed=True)
    assert (found.bounce_class.value, found.permanent) == (bounce_class, fate == "dead")


@pytest.mark.parametrize("name", [n for n, (recipient, _, _) in MAILS.items() if recipient])
def test_a_mail_in_plain_words_names_one_recipient_and_one_reason(name: str) -> None:
    recipient, bounce_class, raw = MAILS[name]
    (event,) = read(raw)
    assert event.recipient == recipient
    assert event.bounce_class is not None
    assert event.bounce_class.value == bounce_class


def test_a_robots_answer_and_a_human_bounce_nothing() -> None:
    assert [event.kind.value for event in read(MAILS["vacation"][2])] == ["autoreply"]
    assert read(MAILS["human"][2]) == []


def test_a_format_that_only_mailman_knows_is_read_by_its_detector() -> None:
    text = """Your message was not delivered

The following addresses had delivery problems:
-->
(reason: 550 user unknown)
"""
    odd = mail("Postmaster <postmaster@a.example>", "Undeliverable mail", text)
    assert len(read(odd)) == 1
