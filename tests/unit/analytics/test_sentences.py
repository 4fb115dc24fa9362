import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.events import Decision, Event, Flags
from chappe_analytics.domain.excerpt import EXCERPT_BYTES_MAX, excerpt
from chappe_analytics.domain.sentences import SENTENCE_LENGTH_MAX, of_decision, of_event
from chappe_analytics.domain.timeline import entry_of_event
from tests.unit.analytics.facts import CART_1, NOON, ZOE, decision, event

TOTAL = {"amount": "25.9", "currency": "EUR"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=30,
)
NAMES = st.sampled_from(
    ["order.placed", "email.clicked", "email.skipped", "contact.consent_changed", "page.viewed"]
)


@pytest.mark.parametrize(
    ("fact", "sentence"),
    [
        (event("contact.created"), "Signed up"),
        (event("checkout.started", total=TOTAL), "Started a checkout, 25.90 EUR"),
        (event("order.placed", number="#1001", total=TOTAL), "Placed order #1001, 25.90 EUR"),
        (event("order.refunded", number="#1001"), "Order #1001 was refunded"),
        (
            event("email.accepted", step="cart-1", message=CART_1),
            "The mail cart-1 was accepted by the mail server",
        ),
        (
            event("email.skipped", step="cart-1", reason="no_consent"),
            "The mail cart-1 was not sent: there is no consent to marketing mail",
        ),
        (event("email.clicked", verdict="human", url="https://a.example/"),
         "Clicked https://a.example/"),
        (event("email.opened", verdict="machine"), "A machine opened the mail"),
        (
            event("contact.consent_changed", traits={"consent": {"email": "subscribed"}}),
            "Consent to mail is now subscribed",
        ),
        (event("custom.quiz_done"), "Quiz done"),
    ],
)  # fmt: skip
def test_an_event_reads_as_a_sentence(fact: Event, sentence: str) -> None:
    assert of_event(fact) == sentence


@pytest.mark.parametrize(
    ("taken", "sentence"),
    [
        (decision("entered"), "Entered abandoned-cart"),
        (
            decision("not_entered", reason="closed_key"),
            "Did not enter abandoned-cart: that cart or key is closed already",
        ),
        (
            decision("waiting", step="wait-1", until="2026-11-22T13:00:00+00:00"),
            "Waits until 2026-11-22 13:00 at wait-1 of abandoned-cart",
        ),
        (
            decision("skipped", reason="no_consent", step="cart-1"),
            "The mail cart-1 is not sent: there is no consent to marketing mail",
        ),
        (
            decision("exited", reason="order.placed", step="wait-1"),
            "Left abandoned-cart, because of order.placed",
        ),
        (
            decision("exited", reason="newer_cart"),
            "Left abandoned-cart: there is a newer cart",
        ),
        (
            decision("handed_over", step="cart-1", message=CART_1),
            "Handed over the mail cart-1",
        ),
        (
            decision("puzzled", reason="odd_word"),
            "Puzzled in abandoned-cart: odd word",
        ),
    ],
)
def test_a_decision_reads_as_a_sentence_with_its_reason(taken: Decision, sentence: str) -> None:
    assert of_decision(taken) == sentence


@given(NAMES, st.dictionaries(st.text(max_size=20), JSON), JSON)
def test_no_data_of_a_stranger_breaks_the_line_or_makes_it_long(
    name: str, data: dict[str, object], odd: object
) -> None:
    wild = {"total": odd, "url": odd, "number": odd, "reason": odd, **data}
    fact = msgspec.structs.replace(event(name), data=wild, traits={"consent": odd})
    entry = entry_of_event(fact, ZOE)
    assert len(entry.text) <= SENTENCE_LENGTH_MAX
    assert len(msgspec.json.encode(entry.data)) <= EXCERPT_BYTES_MAX


def test_small_data_is_shown_whole_and_large_data_in_part() -> None:
    small = {"a": [1, 2, 3, 4, 5], "b": "x" * 300}
    assert excerpt(small) == small
    large = excerpt({"items": [{"title": "t" * 900}] * 50, "order_id": "1001"})
    assert large["order_id"] == "1001"
    assert [len(item["title"]) for item in large["items"]] == [200, 200, 200]


def test_a_line_names_the_flags_that_are_set() -> None:
    long_ago = event("order.placed", at=NOON - dt.timedelta(days=9), flags=Flags(historical=True))
    assert entry_of_event(long_ago, ZOE).flags == ("historical",)
