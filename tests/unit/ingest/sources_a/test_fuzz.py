"""Whatever a stranger sends, an adapter either understands it or says why not."""

import contextlib
import json
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chappe.events import encode_event
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import bigcommerce, shopify, stripe, woocommerce
from tests.unit.ingest.shop import NOW, raw

FIELDS = st.sampled_from(
    re.findall(
        r"\S+",
        """
    id token cart_token checkout_token customer customer_id email phone items line_items data
    object created created_at updated_at date_created_gmt date_modified_gmt date_paid_gmt status
    total price currency amount amount_total amount_refunded refunds transactions kind quantity
    billing billing_address shipping_address consent email_marketing_consent state
    consent_updated_at note_attributes attributes metadata meta_data key value name tags
    order_edit order_id fulfillments refund_line_items line_item price_set shop_money
    currency_code admin_graphql_api_id customerId amountSpent orders_to_redact
    previous_attributes payment_intent payment_status mode subscription invoice parent lines
    plan related_object url type after_expiration recovery customer_details preferred_locales
    trial_end order_status checkout_url cart_total product_names new_status_id refund address
    redirect_urls consignments shipping products image src coupons cart_id attempt_count
    livemode test buyer_accepts_marketing completed_at period_end next_payment_attempt
""",
    )
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(
        [
            *("a@example.com", "eur", "JPY", "2026-11-22T08:00:00Z", "2024-09-16T03:50:1500:00"),
            *("1e400", "-0", "12.50", "gid://shopify/Order/1", "subscribed", "paid", "completed"),
            *("processing", "refund", "https://a.example/b", "\ud800", "\x00", "9" * 50, ""),
        ]
    )
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(FIELDS | st.text(max_size=6), inner, max_size=8)
    ),
    max_leaves=40,
)
OBJECTS = st.dictionaries(FIELDS, DOCUMENTS, max_size=14)

Frame = Callable[[str, Any], tuple[Any, dict[str, str]]]


def shopify_frame(topic: str, body: Any) -> tuple[Any, dict[str, str]]:
    return body, {"x-shopify-topic": topic, "x-shopify-shop-domain": "a.myshopify.com"}


def woocommerce_frame(topic: str, body: Any) -> tuple[Any, dict[str, str]]:
    return body, {"x-wc-webhook-topic": topic}


def stripe_frame(topic: str, body: Any) -> tuple[Any, dict[str, str]]:
    data = {"object": body, "previous_attributes": body}
    return {"id": "evt_1", "type": topic, "created": 1, "data": data, "related_object": body}, {}


def bigcommerce_frame(topic: str, body: Any) -> tuple[Any, dict[str, str]]:
    return {"scope": f"store/{topic}", "created_at": 1, "data": body}, {}


ADAPTERS: list[tuple[ModuleType, list[str], Frame]] = [
    (shopify, sorted(shopify._TOPICS), shopify_frame),
    (woocommerce, sorted(woocommerce._TOPICS), woocommerce_frame),
    (stripe, sorted(stripe._TYPES), stripe_frame),
    (bigcommerce, sorted(bigcommerce._SCOPES), bigcommerce_frame),
]
IDS = [adapter.__name__.rpartition(".")[2] for adapter, _, _ in ADAPTERS]

few = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@pytest.mark.parametrize(("adapter", "topics", "frame"), ADAPTERS, ids=IDS)
@few
@given(data=st.data())
def test_no_document_breaks_an_adapter(
    adapter: ModuleType, topics: list[str], frame: Frame, data: st.DataObject
) -> None:
    topic = data.draw(st.sampled_from(topics))
    body, headers = frame(topic, data.draw(OBJECTS | DOCUMENTS))
    delivery = raw("any", body, headers=headers)
    with contextlib.suppress(Unreadable):
        for fact in adapter.normalise(delivery, Links(keep=True)).facts:
            assert fact.event.occurred_at <= NOW
            encode_event(fact.event)
    adapter.entity(delivery.body, list(headers.items()))


@pytest.mark.parametrize("adapter", [stripe, bigcommerce])
@few
@given(data=st.data())
def test_no_answer_of_an_api_breaks_an_adapter(adapter: ModuleType, data: st.DataObject) -> None:
    kinds = sorted(stripe._TYPES) if adapter is stripe else sorted(bigcommerce._SCOPES)
    frame = stripe_frame if adapter is stripe else bigcommerce_frame
    body, headers = frame(data.draw(st.sampled_from(kinds)), data.draw(OBJECTS))
    document = json.dumps(data.draw(OBJECTS | DOCUMENTS)).encode()
    with contextlib.suppress(Unreadable):
        for fact in adapter.hydrated(raw("any", body, headers=headers), document, Links()).facts:
            encode_event(fact.event)


@pytest.mark.parametrize("adapter", [each for each, _, _ in ADAPTERS], ids=IDS)
@few
@given(
    body=st.binary(max_size=60),
    value=st.text(max_size=80),
    name=st.sampled_from(
        [
            *("x-shopify-hmac-sha256", "x-wc-webhook-signature", "stripe-signature"),
            *("webhook-id", "webhook-timestamp", "webhook-signature", "authorization"),
        ]
    ),
    secret=st.text(min_size=1, max_size=20),
)
def test_no_bytes_break_an_adapter_and_none_verify(
    adapter: ModuleType, body: bytes, value: str, name: str, secret: str
) -> None:
    headers = [(name, value)] * 2 + [("webhook-timestamp", value), ("webhook-signature", value)]
    assert not adapter.verify(body, headers, [secret, "another"], NOW).verified
    adapter.entity(body, headers)
    with contextlib.suppress(Unreadable):
        adapter.normalise(raw("any", body, headers=dict(headers)), Links())
