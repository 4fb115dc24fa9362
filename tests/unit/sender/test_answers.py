"""What an HTTP answer proves, and how long it asks us to wait."""

import datetime as dt

import pytest

from chappe.clock import UTC
from chappe_sender.domain.ending import ATTEMPTS_MAX, ending
from chappe_sender.domain.message import State
from chappe_sender.domain.outcome import Declined, InDoubt, Scope
from chappe_sender.domain.providers.answers import Answers, proof, wait_of
from chappe_sender.domain.template import MessageClass

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
TABLE = Answers((proof(400, Scope.ROUTE, "credit"), proof(400, Scope.MESSAGE)))


def test_only_what_stands_in_the_table_is_proof() -> None:
    first = TABLE.verdict(400, "not_enough_credits", "no credits")
    assert isinstance(first, Declined)
    assert first.scope is Scope.ROUTE
    second = TABLE.verdict(400, "", "bad")
    assert isinstance(second, Declined)
    assert second.scope is Scope.MESSAGE
    for status in (200, 302, 404, 408, 500, 502, 503, 504):
        assert isinstance(TABLE.verdict(status, "", ""), InDoubt)


@pytest.mark.parametrize(
    ("headers", "status", "seconds"),
    [
        ({}, 200, None),
        ({}, 429, 10),
        ({"retry-after": "30"}, 429, 30),
        ({"retry-after": "0"}, 429, 1),
        ({"retry-after": "99999999"}, 429, 900),
        ({"retry-after": "Sun, 22 Nov 2026 09:01:00 GMT"}, 503, 60),
        ({"retry-after": "soon"}, 429, 10),
        ({"retry-after": "nan"}, 429, 10),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "20"}, 202, 20),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "20"}, 202, None),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 5)},
            202,
            5,
        ),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "1"}, 200, 1),
        ({"x-sib-ratelimit-remaining": "0", "x-sib-ratelimit-reset": "2"}, 201, 2),
    ],
)
def test_rate_headers_are_read_in_every_spelling(
    headers: dict[str, str], status: int, seconds: float | None
) -> None:
    assert wait_of(headers, NOW, status=status) == seconds


def test_a_refusal_ends_a_message_by_what_it_is_about() -> None:
    def state(scope: Scope, attempts: int = 1) -> tuple[State, str | None, bool]:
        made = ending(
            Declined(scope, "no", 30),
            message="m_1",
            message_class=MessageClass.MARKETING,
            attempts=attempts,
            now=NOW,
        )
        return made.state, made.event, made.suppress

    assert state(Scope.RATE) == (State.SCHEDULED, None, False)
    assert state(Scope.RATE, ATTEMPTS_MAX) == (State.SCHEDULED, None, False)
    assert state(Scope.ROUTE) == (State.SCHEDULED, None, False)
    assert state(Scope.ROUTE, ATTEMPTS_MAX) == (State.FAILED, "email.failed", False)
    assert state(Scope.MESSAGE) == (State.FAILED, "email.failed", False)
    assert state(Scope.RECIPIENT) == (State.FAILED, "email.rejected", False)
