"""Who may say what of a shop."""

import json

import pytest

from chappe.events import RawRecord
from chappe.ids import SourceId
from chappe_ingest.application.resolving import Known, Understood, understand
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.roles import Role, default_role
from chappe_ingest.domain.sources import woocommerce
from tests.unit.ingest.shop import raw

PAID = {
    "id": "evt_1",
    "object": "event",
    "type": "checkout.session.completed",
    "created": 1795334400,
    "livemode": True,
    "data": {
        "object": {
            "id": "cs_1",
            "object": "checkout.session",
            "payment_status": "paid",
            "mode": "payment",
            "payment_intent": "pi_1",
            "customer": "cus_1",
            "customer_details": {"email": "zoe@example.com", "name": "Zoé Martin"},
            "amount_total": 1900,
            "currency": "eur",
        }
    },
}


def told(role: Role) -> Understood:
    delivery: RawRecord = raw("stripe", PAID, headers={})

    def known(source: SourceId) -> Known:
        return Known(role=role)

    found = understand(delivery, known)
    assert isinstance(found, Understood)
    return found


def test_a_payment_service_beside_a_store_places_no_order_and_still_says_who_paid() -> None:
    found = told(Role.PAYMENTS)
    names = [fact.event.name for fact in found.meant.facts]
    assert "order.placed" not in names
    assert "contact.updated" in names
    assert {i.type for i in found.meant.identifiers} >= {"email", "external_id"}


def test_a_payment_service_alone_is_the_store() -> None:
    assert "order.placed" in [fact.event.name for fact in told(Role.STORE).meant.facts]


@pytest.mark.parametrize(
    ("kind", "neighbours", "role"),
    [
        ("stripe", [("shopify", Role.STORE)], Role.PAYMENTS),
        ("stripe", [("stripe", Role.STORE)], Role.STORE),
        ("stripe", [], Role.STORE),
        ("segment", [("shopify", Role.STORE)], Role.STORE),
    ],
)
def test_the_kind_and_its_neighbours_choose_the_role(
    kind: str, neighbours: list[tuple[str, Role]], role: Role
) -> None:
    assert default_role(kind, neighbours) is role


def test_a_shop_says_where_its_plugin_keeps_consent_and_language() -> None:
    body = {
        "id": 5,
        "status": "processing",
        "billing": {"email": "zoe@example.com"},
        "meta_data": [
            {"key": "_newsletter_box", "value": "yes"},
            {"key": "_lang", "value": "fr"},
        ],
    }
    headers = {"x-wc-webhook-topic": "order.created"}
    delivery = raw("woocommerce", body, headers=headers)
    understand_ = woocommerce.make_normaliser(
        {"consent_key": "_newsletter_box", "locale_key": "_lang"}
    )
    traits = understand_(delivery, Links()).facts[0].event.traits
    assert traits["consent"]["email"]["state"] == "subscribed"
    assert traits["locale"] == "fr"
    assert "consent" not in woocommerce.normalise(delivery, Links()).facts[0].event.traits


@pytest.mark.parametrize("config", [{"consent": "x"}, {"consent_key": 5}, {"locale_key": ""}])
def test_an_option_nobody_knows_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"_key|consent"):
        woocommerce.make_normaliser(json.loads(json.dumps(config)))
