"""What takes back a message that is asked for already."""

import datetime as dt

import pytest

from chappe.clock import UTC
from chappe.events import Consent, ConsentState
from chappe_sender.domain.permission import Permission
from chappe_sender.domain.template import MessageClass
from chappe_sender.domain.withdrawing import lowers, withdrawal

MARKETING, RECEIPT = MessageClass.MARKETING, MessageClass.TRANSACTIONAL
NOW = dt.datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def said(state: ConsentState, *topics: str) -> Permission:
    return Permission(Consent(state, NOW, None, None), frozenset(topics))


LEFT = said(ConsentState.UNSUBSCRIBED)
AGREED = said(ConsentState.SUBSCRIBED)
ERASED = Permission(LEFT.consent, erased=True)


@pytest.mark.parametrize(
    ("permission", "closed", "marketing", "receipt"),
    [
        (LEFT, {}, "unsubscribed", None),
        (None, {"": "unsubscribed"}, "unsubscribed", None),
        (None, {"": "complained"}, "suppressed", "suppressed"),
        (None, {"": "bounced"}, "suppressed", "suppressed"),
        (ERASED, {}, "erased", "erased"),
        (None, {"": "erased"}, "unsubscribed", None),
        (said(ConsentState.SUBSCRIBED, "offers"), {}, "topic_opted_out", None),
        (None, {"offers": "unsubscribed"}, "topic_opted_out", None),
        (said(ConsentState.SUBSCRIBED, "news"), {"news": "unsubscribed"}, None, None),
        (said(ConsentState.PENDING), {}, None, None),
        (AGREED, {}, None, None),
        (None, {}, None, None),
    ],
)
def test_each_class_hears_what_concerns_it(
    permission: Permission | None,
    closed: dict[str, str],
    marketing: str | None,
    receipt: str | None,
) -> None:
    assert withdrawal(MARKETING, "offers", permission, closed) == marketing
    assert withdrawal(RECEIPT, None, permission, closed) == receipt


def test_only_what_takes_something_back_has_anything_looked_for() -> None:
    assert [lowers(each) for each in (LEFT, ERASED, said(ConsentState.SUBSCRIBED, "news"))] == (
        [True] * 3
    )
    assert [lowers(each) for each in (AGREED, said(ConsentState.PENDING), Permission())] == (
        [False] * 3
    )
