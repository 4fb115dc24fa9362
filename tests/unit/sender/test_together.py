"""Two contacts are one person: the more careful of both permissions holds."""

import datetime as dt

import pytest

from chappe.clock import UTC
from chappe.events import Consent, ConsentState
from chappe_sender.domain.permission import TOPICS_MAX, Permission, together

NOON = dt.datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
YES, NO = ConsentState.SUBSCRIBED, ConsentState.UNSUBSCRIBED


def said(state: ConsentState, hours: int = 0) -> Permission:
    return Permission(Consent(state, NOON + dt.timedelta(hours=hours), "shop", "e"), frozenset())


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_unsubscribed_wins_whoever_said_it_and_whenever(hours: int) -> None:
    for one in (together(said(YES), said(NO, hours)), together(said(NO, hours), said(YES))):
        assert one.consent is not None
        assert one.consent.state is NO


def test_a_chain_keeps_one_refusal_to_its_end() -> None:
    end = together(said(YES, 3), together(said(YES, 2), said(NO, -9)))
    assert end.consent == said(NO, -9).consent


def test_whoever_never_said_anything_adds_nothing() -> None:
    nobody = Permission(None, frozenset())
    assert together(nobody, said(YES)) == together(said(YES), nobody) == said(YES)


def test_topics_that_either_left_are_left_and_stay_bounded() -> None:
    one = Permission(None, frozenset({"offers"}))
    assert together(one, Permission(None, frozenset({"news"}))).topics_out == {"offers", "news"}
    many = Permission(None, frozenset(f"t{n}" for n in range(TOPICS_MAX)))
    assert len(together(one, many).topics_out) == TOPICS_MAX


def test_an_erased_one_stays_closed() -> None:
    erased = Permission(None, frozenset(), erased=True)
    assert together(said(YES), erased).erased
