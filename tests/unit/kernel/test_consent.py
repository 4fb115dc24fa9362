"""Who may be written to, by what was last said and when."""

import datetime as dt
from typing import Any

import pytest

from chappe.clock import UTC
from chappe.events import (
    API_SOURCE,
    IMPORTED,
    Consent,
    ConsentState,
    Event,
    Flags,
    claim_of,
    rename,
    settle,
)
from chappe.ids import DEFAULT_WORKSPACE, EventId

NOON = dt.datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = dt.timedelta(hours=1)


def said(what: Any, at: dt.datetime = NOON, **flags: bool) -> Event:
    return Event(
        id=EventId("e"),
        name="contact.updated",
        workspace=DEFAULT_WORKSPACE,
        occurred_at=at,
        received_at=at,
        traits={"consent": {"email": what}},
        flags=Flags(**flags),
    )


def held(state: ConsentState) -> Consent:
    return Consent(state=state, at=NOON)


def after(consent: Consent | None, event: Event) -> ConsentState | None:
    claim = claim_of(event)
    return settle(consent, claim).state if claim else (consent.state if consent else None)


def test_a_restated_state_never_raises_consent() -> None:
    unsubscribed = held(ConsentState.UNSUBSCRIBED)
    assert after(unsubscribed, said("subscribed", NOON - HOUR)) is ConsentState.UNSUBSCRIBED


def test_a_tie_goes_to_unsubscribed_whichever_came_first() -> None:
    assert after(held(ConsentState.UNSUBSCRIBED), said("subscribed")) is ConsentState.UNSUBSCRIBED
    assert after(held(ConsentState.SUBSCRIBED), said("unsubscribed")) is ConsentState.UNSUBSCRIBED


def test_a_newer_word_counts_either_way() -> None:
    later = NOON + HOUR
    assert after(held(ConsentState.UNSUBSCRIBED), said("subscribed", later)) == "subscribed"
    assert after(held(ConsentState.SUBSCRIBED), said("unsubscribed", later)) == "unsubscribed"


def test_a_state_with_a_time_of_its_own_counts_from_then() -> None:
    event = said({"state": "subscribed", "at": "2026-11-20T00:00:00Z"}, NOON + HOUR)
    assert after(held(ConsentState.UNSUBSCRIBED), event) is ConsentState.UNSUBSCRIBED


@pytest.mark.parametrize("nonsense", [None, True, "yes", 7, [], {"state": 3}, {"at": "x"}])
def test_nonsense_says_nothing(nonsense: Any) -> None:
    assert claim_of(said(nonsense)) is None


def test_an_unverified_event_may_lower_consent_and_never_grant_it() -> None:
    assert claim_of(said("subscribed", unverified=True)) is None
    assert claim_of(said("unsubscribed", unverified=True)) is not None


def test_an_imported_table_never_undoes_an_unsubscribe_whatever_time_it_states() -> None:
    event = rename(said("subscribed", NOON + HOUR), source=API_SOURCE, source_event=IMPORTED)
    assert after(held(ConsentState.UNSUBSCRIBED), event) is ConsentState.UNSUBSCRIBED
    assert after(held(ConsentState.PENDING), event) is ConsentState.SUBSCRIBED
    assert after(None, event) is ConsentState.SUBSCRIBED
