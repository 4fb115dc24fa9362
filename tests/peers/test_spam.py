"""SpamAssassin finds nothing to say against the mails that come with Chappe."""

import socket
from collections.abc import Iterator
from contextlib import nullcontext
from email.utils import format_datetime
from pathlib import Path

import pytest

from chappe_sender.adapters.spam_score import spam_score
from chappe_sender.application.letter import Letter
from tests.peers.programs import PATH, free_port, program
from tests.peers.recipe_mails import Kind, kinds, written
from tests.peers.spamassassin import OUTSIDE, TRACE, Daemon, daemon

pytestmark = pytest.mark.peers

POINTS_MAX = 2.0
RULE_POINTS_MAX = 0.5
DEFAULT_PORT = 783
OF_THE_TESTS = {"RCVD_ILLEGAL_IP"}
"""Our shop sends from an address that is reserved for examples."""
SPAM = (
    b"From: winner@x.example\r\nTo: zoe@example.com\r\nSubject: V1AGRA\r\n\r\n"
    b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
)
"""GTUBE: what every spam filter must take for spam."""


@pytest.fixture(scope="module")
def judge() -> Iterator[Daemon]:
    with daemon(free_port()) as running:
        yield running


def received(letter: Letter) -> bytes:
    """With the trace of the receiver's server on top."""
    trace = TRACE.format(
        back=letter.envelope.sender,
        to=letter.envelope.recipient,
        address=OUTSIDE,
        date=format_datetime(letter.mail.date),
    )
    return trace.encode() + letter.envelope.content


@pytest.mark.parametrize("kind", kinds(), ids=str)
async def test_a_mail_that_comes_with_chappe_is_no_spam(judge: Daemon, kind: Kind) -> None:
    rules = await judge.rules(received(written(kind)))
    against = {
        name: points for name, points in rules.items() if points > 0 and name not in OF_THE_TESTS
    }
    assert sum(against.values()) < POINTS_MAX, rules
    assert max(against.values(), default=0.0) <= RULE_POINTS_MAX, rules


async def test_the_judge_knows_spam_when_it_sees_it(judge: Daemon) -> None:
    assert (await judge.rules(SPAM))["GTUBE"] == 1000.0


async def told_to_the_preview() -> None:
    points = await spam_score(written(kinds()[0]).envelope.content)
    assert points is not None
    assert points < POINTS_MAX
    assert (await spam_score(SPAM) or 0.0) > 999


async def test_the_preview_is_told_the_points_where_no_daemon_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spamassassin").symlink_to(program("spamassassin"))
    monkeypatch.setenv("PATH", str(tmp_path))
    await told_to_the_preview()


async def test_the_preview_is_told_the_points_by_the_daemon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", PATH)
    with nullcontext() if answers(DEFAULT_PORT) else daemon(DEFAULT_PORT):
        await told_to_the_preview()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
