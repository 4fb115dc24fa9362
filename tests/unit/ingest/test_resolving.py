import datetime as dt
from typing import Any

from chappe.events import Consent, ConsentState, Event, RawRecord, claim_of, encode_event, settle
from chappe.ids import DEFAULT_WORKSPACE
from chappe_ingest.application.resolving import (
    Held,
    Known,
    Outcome,
    Refused,
    Understood,
    decide,
    touched,
    understand,
)
from tests.unit.ingest.shop import NOW, at, checkout, customer, order, raw, segment, shopify


class Resolver:
    """One that remembers everything, as the tables do."""

    def __init__(self) -> None:
        self.held = Held()
        self.outcome = Outcome()

    def hears(self, delivery: RawRecord) -> list[Event]:
        found = understand(delivery, lambda _: Known())
        assert isinstance(found, Understood), found
        touched([found])
        events = decide(found, self.held, self.outcome)
        assert not isinstance(events, Refused), events
        for event in events:
            encode_event(event)
        return events


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def test_a_retried_delivery_is_one() -> None:
    resolver = Resolver()
    assert resolver.hears(shopify("orders/create", order(1, "a@x.example"), event_id="e"))
    assert resolver.hears(shopify("orders/create", order(1, "a@x.example"), event_id="e")) == []
    assert resolver.outcome.repeats == 1


def test_a_record_appended_twice_is_one() -> None:
    delivery = segment("track", {"userId": "u", "event": "E"})
    resolver = Resolver()
    assert resolver.hears(delivery)
    assert resolver.hears(delivery) == []


def test_a_replay_under_a_fresh_delivery_id_places_no_second_order() -> None:
    resolver = Resolver()
    assert names(resolver.hears(shopify("orders/create", order(1, "a@x.example")))) == [
        "order.placed"
    ]
    assert resolver.hears(shopify("orders/create", order(1, "a@x.example"))) == []


def test_an_update_after_the_order_tells_only_what_is_new() -> None:
    resolver = Resolver()
    resolver.hears(shopify("orders/create", order(1, "a@x.example")))
    paid = order(1, "a@x.example", financial_status="paid")
    assert names(resolver.hears(shopify("orders/updated", paid))) == ["order.paid", "order.updated"]
    assert names(resolver.hears(shopify("orders/updated", paid))) == ["order.updated"]


def test_two_integrations_of_one_shop_place_one_order() -> None:
    resolver = Resolver()
    resolver.hears(shopify("orders/create", order(1, "a@x.example")))
    call = {"userId": "7", "event": "Order Completed", "properties": {"order_id": "1"}}
    assert resolver.hears(segment("track", call, namespace="atelier")) == []


def test_a_checkout_without_an_address_and_its_order_with_one_are_one_contact() -> None:
    resolver = Resolver()
    (started,) = resolver.hears(shopify("checkouts/create", checkout("t1")))
    (placed,) = resolver.hears(shopify("orders/create", order(1, "zoe@x.example", "t1")))
    assert started.contact == placed.contact
    assert placed.identifier("email") == "zoe@x.example"


def test_an_order_before_its_checkout_marks_the_checkout_completed() -> None:
    resolver = Resolver()
    resolver.hears(shopify("orders/create", order(1, "zoe@x.example", "t1")))
    (late,) = resolver.hears(shopify("checkouts/update", checkout("t1", "zoe@x.example")))
    assert late.data["completed"] is True


def test_an_order_marks_its_cart_too() -> None:
    resolver = Resolver()
    resolver.hears(shopify("orders/create", order(1, "zoe@x.example", "t1")))
    call = {"userId": "u", "event": "Cart Viewed", "properties": {"cart_id": "cart-t1"}}
    (late,) = resolver.hears(segment("track", call))
    assert late.data["completed"] is True


def test_an_order_is_copied_to_the_contact_that_holds_its_cart() -> None:
    resolver = Resolver()
    resolver.hears(shopify("customers/create", customer(7, "zoe@x.example")))
    (started,) = resolver.hears(shopify("checkouts/create", checkout("t1")))
    body = order(1, "zoe@x.example", "t1", buyer_accepts_marketing=True)
    placed, copy = resolver.hears(shopify("orders/create", body))
    assert placed.contact != started.contact
    assert copy.contact == started.contact
    assert copy.flags.copy
    assert copy.id != placed.id
    assert copy.data["checkout_token"] == "t1"
    assert copy.traits == {}
    assert copy.identifier("email") is None


def test_a_checkout_is_never_copied() -> None:
    resolver = Resolver()
    resolver.hears(shopify("customers/create", customer(7, "zoe@x.example")))
    resolver.hears(shopify("checkouts/create", checkout("t1")))
    assert len(resolver.hears(shopify("checkouts/update", checkout("t1", "zoe@x.example")))) == 1


def test_an_event_names_only_what_is_its_contact_s() -> None:
    resolver = Resolver()
    resolver.hears(shopify("customers/create", customer(7, "zoe@x.example")))
    (event,) = resolver.hears(shopify("customers/create", customer(8, "zoe@x.example")))
    assert [identifier.type for identifier in event.identifiers] == ["external_id"]
    assert len(resolver.outcome.conflicts) == 1


def test_an_older_state_happened_but_overwrites_nothing() -> None:
    resolver = Resolver()
    new = customer(7, "zoe@x.example") | {"updated_at": at(-1), "first_name": "Zoé"}
    old = customer(7, "zoe@x.example") | {"updated_at": at(-9), "first_name": "Zo"}
    assert resolver.hears(shopify("customers/update", new))[0].traits["first_name"] == "Zoé"
    (late,) = resolver.hears(shopify("customers/update", old))
    assert late.name == "contact.updated"
    assert late.traits == {}


def test_an_order_nobody_is_named_in_has_a_contact_and_shows_no_inner_name() -> None:
    (event,) = Resolver().hears(shopify("orders/create", order(1, None)))
    assert event.contact
    assert event.identifiers == ()


def test_a_signup_after_its_identify_is_the_same_contact() -> None:
    resolver = Resolver()
    traits = {"email": "k@x.example", "consent": {"email": "subscribed"}}
    (known,) = resolver.hears(segment("identify", {"userId": "k", "traits": traits}))
    (signup,) = resolver.hears(segment("track", {"userId": "k", "event": "Signed Up"}))
    assert signup.name == "contact.created"
    assert signup.contact == known.contact
    assert claim_of(known) is not None


# -- consent ------------------------------------------------------------------------------------


def identify(consent: Any, minutes: float) -> RawRecord:
    when = NOW + dt.timedelta(minutes=minutes)
    body = {"userId": "u", "traits": {"consent": {"email": consent}}}
    return segment("identify", body, received_at=when)


def test_a_restated_consent_never_undoes_an_unsubscribe() -> None:
    resolver = Resolver()
    first = claim_of(resolver.hears(identify("subscribed", 0))[0])
    assert first is not None
    unsubscribed = Consent(ConsentState.UNSUBSCRIBED, NOW + dt.timedelta(minutes=5))
    again = claim_of(resolver.hears(identify("subscribed", 10))[0])
    assert again is not None
    assert again.at == first.at == NOW
    assert settle(unsubscribed, again) == unsubscribed


def test_a_consent_that_changed_is_new() -> None:
    resolver = Resolver()
    resolver.hears(identify("subscribed", 0))
    resolver.hears(identify("unsubscribed", 5))
    claim = claim_of(resolver.hears(identify("subscribed", 10))[0])
    assert claim is not None
    assert claim.at == NOW + dt.timedelta(minutes=10)


def test_a_consent_with_its_own_time_is_new_by_that_time() -> None:
    resolver = Resolver()
    resolver.hears(identify("subscribed", 0))
    later = {"state": "subscribed", "at": at(7)}
    claim = claim_of(resolver.hears(identify(later, 10))[0])
    assert claim is not None
    assert claim.at == NOW + dt.timedelta(minutes=7)


# -- what is refused ----------------------------------------------------------------------------


def refusal(delivery: RawRecord) -> Refused:
    found = understand(delivery, lambda _: Known())
    assert isinstance(found, Refused)
    return found


def test_a_signed_body_that_is_no_json_is_refused_with_the_reason() -> None:
    assert "not JSON" in refusal(shopify("orders/create", b"{")).reason


def test_a_kind_nobody_knows_is_refused() -> None:
    assert "nosuch" in refusal(raw("nosuch", {}, headers={})).reason


def test_an_event_for_a_contact_that_does_not_exist_is_refused() -> None:
    body = {"name": "custom.x", "contact": "c_nobody"}
    found = understand(raw("api", body, headers={}), lambda _: Known())
    assert isinstance(found, Understood)
    assert isinstance(decide(found, Held(), Outcome()), Refused)


def test_an_event_put_in_by_hand_reaches_the_contact_it_names() -> None:
    resolver = Resolver()
    (known,) = resolver.hears(segment("identify", {"userId": "u"}))
    body = {"name": "order.placed", "contact": known.contact, "data": {"checkout_token": "t9"}}
    (event,) = resolver.hears(raw("api", body, headers={}))
    assert event.contact == known.contact
    assert not event.flags.unverified
    assert (DEFAULT_WORKSPACE, "checkout_token", "t9") in resolver.held.view.ordered
