"""The pure half of asking shops: marks, windows, pauses, and what a fetched document becomes."""

import datetime as dt
import json
from typing import Any

import pytest

from chappe.events import Event, RawRecord, encode_event
from chappe.ids import DEFAULT_WORKSPACE, ContactId, EventId, SourceId
from chappe_ingest.application.resolving import (
    Held,
    Known,
    Outcome,
    Refused,
    Understood,
    decide,
    understand,
)
from chappe_ingest.application.write_back import heard
from chappe_ingest.domain import marks
from chappe_ingest.domain.pulls import (
    BACKOFF_MAX,
    CHECKOUTS,
    CUSTOMERS,
    FIRST_LOOK_BACK,
    ORDERS,
    OVERLAP,
    POLL_EVERY,
    TAIL_MAX,
    Document,
    Found,
    Mark,
    backfill_until,
    backoff,
    first_mark,
    next_poll,
    posted,
    shop_host,
)
from chappe_ingest.domain.source import Source, SourceState
from tests.unit.ingest.shop import NOW, at, order, shopify

MINUTE = dt.timedelta(minutes=1)


def source(kind: str = "shopify", *domains: str, age: dt.timedelta = 30 * 1440 * MINUTE) -> Source:
    return Source(
        id=SourceId("src_1"),
        workspace=DEFAULT_WORKSPACE,
        kind=kind,
        name="atelier",
        namespace="atelier",
        domains=domains,
        state=SourceState.ACTIVE,
        created_at=NOW - age,
    )


def document(id_: str, minutes: float, body: bytes = b"{}") -> Document:
    return Document(id_, NOW + minutes * MINUTE, body)


def test_a_mark_moves_with_what_was_read_and_knows_it_again() -> None:
    mark = Mark(NOW - 60 * MINUTE)
    first = [document("1", -5), document("2", -4)]
    mark = mark.after(Found(first, at=first[-1].at), NOW)
    assert mark.at == NOW - 4 * MINUTE
    assert mark.window.since == mark.at - OVERLAP
    changed = document("2", -3)
    assert mark.news([*first, changed]) == [changed]


def test_a_shop_whose_clock_is_ahead_loses_nothing() -> None:
    ahead = document("1", 90)
    assert Mark(NOW - MINUTE).after(Found([ahead], at=ahead.at), NOW).at == NOW


def test_a_mark_waits_while_a_list_cannot_say_how_far_it_is() -> None:
    mark = Mark(NOW - 60 * MINUTE).after(Found([document("1", 0)], "place", None), NOW)
    assert mark.at == NOW - 60 * MINUTE
    assert mark.cursor == "place"


def test_what_a_mark_remembers_is_bounded() -> None:
    mark = Mark(NOW)
    mark = mark.after(Found([document(str(n), 0) for n in range(TAIL_MAX + 9)], at=NOW), NOW)
    assert len(mark.tail) == TAIL_MAX
    later = document("x", 30)
    assert mark.after(Found([later], at=later.at), later.at).tail == (later.name,)


def test_the_first_look_goes_back_hours_but_not_behind_the_source() -> None:
    assert first_mark(source(), NOW).at == NOW - FIRST_LOOK_BACK
    young = source(age=20 * MINUTE)
    assert first_mark(young, NOW).at == young.created_at
    assert backfill_until(young, NOW) == young.created_at


def test_polls_are_spread_and_derived() -> None:
    times = {next_poll(f"src_{n}", NOW) for n in range(50)}
    assert len(times) > 20
    assert all(POLL_EVERY <= each - NOW < POLL_EVERY + MINUTE for each in times)
    assert next_poll("src_1", NOW) == next_poll("src_1", NOW)


def test_pauses_grow_and_end() -> None:
    pauses = [backoff(failures) for failures in range(1, 30)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == BACKOFF_MAX
    assert backoff(1, 5 * MINUTE) == 5 * MINUTE
    assert backoff(1, dt.timedelta(days=9)) == BACKOFF_MAX


def test_only_a_domain_of_the_source_is_asked() -> None:
    assert shop_host(source("shopify", "shop.example", "a.myshopify.com")) == "a.myshopify.com"
    assert shop_host(source("shopify", "shop.example")) is None
    assert shop_host(source("woocommerce", "shop.example")) == "shop.example"
    assert shop_host(source("woocommerce")) is None


@pytest.mark.parametrize(
    ("kind", "subject", "topics"),
    [
        ("shopify", ORDERS, ["orders/updated"]),
        ("shopify", CUSTOMERS, ["customers/update", "customers/create"]),
        ("shopify", CHECKOUTS, ["checkouts/update", "checkouts/create"]),
        ("woocommerce", ORDERS, ["order.updated"]),
        ("woocommerce", CUSTOMERS, ["customer.updated", "customer.created"]),
    ],
)
def test_a_document_is_posted_as_its_webhooks_would_be(
    kind: str, subject: str, topics: list[str]
) -> None:
    found = posted(source(kind), "shop.example", subject, document("1", 0), historical=False)
    name = "x-shopify-topic" if kind == "shopify" else "x-wc-webhook-topic"
    assert [each.headers[name] for each in found] == topics
    assert all(marks.PULLED in each.headers for each in found)
    assert not any(marks.HISTORICAL in each.headers for each in found)
    past = posted(source(kind), "shop.example", subject, document("1", 0), historical=True)
    assert all(marks.HISTORICAL in each.headers for each in past)


class Resolver:
    """One that remembers everything, as the tables do."""

    def __init__(self) -> None:
        self.held = Held()
        self.outcome = Outcome()
        self.fetches = 0

    def hears(self, delivery: RawRecord) -> list[str]:
        found = understand(delivery, lambda _: Known())
        assert isinstance(found, Understood), found
        events = decide(found, self.held, self.outcome)
        assert not isinstance(events, Refused), events
        return [event.name for event in events]

    def fetches_order(self, **fields: Any) -> list[str]:
        """As a poller finds it now."""
        self.fetches += 1
        given = shopify("orders/updated", order(1, "a@x.example", **fields))
        marked = {**given.headers, marks.PULLED: "1", "x-shopify-event-id": f"p{self.fetches}"}
        return self.hears(
            RawRecord(
                id=f"raw_p{self.fetches}",
                workspace=given.workspace,
                source=given.source,
                kind=given.kind,
                namespace=given.namespace,
                received_at=given.received_at,
                received_wall=given.received_wall,
                headers=marked,
                body=given.body,
                verified=True,
            )
        )


def test_a_state_that_came_is_no_news_when_it_is_fetched() -> None:
    resolver = Resolver()
    assert resolver.hears(shopify("orders/updated", order(1, "a@x.example")))
    assert resolver.fetches_order() == []
    assert resolver.fetches_order(updated_at=at(-9)) == []


def test_a_state_that_was_fetched_is_no_news_when_it_comes() -> None:
    resolver = Resolver()
    assert resolver.fetches_order() == ["order.placed", "order.updated"]
    assert resolver.hears(shopify("orders/updated", order(1, "a@x.example"))) == []
    newer = order(1, "a@x.example", updated_at=at(0))
    assert resolver.hears(shopify("orders/updated", newer)) == ["order.updated"]


def test_an_older_webhook_that_comes_late_has_happened_all_the_same() -> None:
    resolver = Resolver()
    resolver.fetches_order()
    late = order(1, "a@x.example", updated_at=at(-1.5))
    assert resolver.hears(shopify("orders/updated", late)) == ["order.updated"]


def test_a_step_within_one_second_is_found_by_its_meaning() -> None:
    """WooCommerce's versions are seconds: a state fetched again may show more than the first."""
    resolver = Resolver()
    resolver.fetches_order()
    assert resolver.fetches_order(financial_status="paid") == ["order.paid"]


def said(name: str, **fields: object) -> bytes:
    made: dict[str, object] = {
        "id": EventId("e_1"),
        "name": name,
        "workspace": DEFAULT_WORKSPACE,
        "occurred_at": NOW,
        "received_at": NOW,
        "contact": ContactId("c_1"),
    }
    return encode_event(Event(**(made | fields)))  # pyright: ignore[reportArgumentType]


def consent(state: object) -> dict[str, object]:
    return {"consent": {"email": state}}


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (said("email.unsubscribed"), True),
        (said("email.unsubscribed", data={"topic": "news"}), True),
        (said("email.unsubscribed", data={"scope": "topic", "topic": "news"}), None),
        (said("contact.consent_changed", traits=consent("unsubscribed")), True),
        (said("contact.consent_changed", traits=consent({"state": "unsubscribed"})), True),
        (said("contact.consent_changed", traits=consent("subscribed")), False),
        (said("contact.consent_changed", traits={"consent": {"topics": {"n": "x"}}}), None),
        (said("contact.consent_changed", source="src_1", traits=consent("subscribed")), False),
        (said("email.unsubscribed", contact=None), None),
        (said("order.placed", data={"note": "email.unsubscribed"}), None),
        (b'{"name":"email.unsubscribed"}', None),
        (json.dumps({"x": "contact.consent_changed"}).encode(), None),
    ],
)
def test_only_what_people_tell_us_goes_back_to_shops(body: bytes, left: bool | None) -> None:
    found = heard(body)
    assert (found.left if found else None) is left


def test_a_shop_that_says_so_itself_needs_not_be_told() -> None:
    found = heard(said("contact.consent_changed", source="src_1", traits=consent("unsubscribed")))
    assert found is not None
    assert (found.left, found.shop) == (True, "src_1")
