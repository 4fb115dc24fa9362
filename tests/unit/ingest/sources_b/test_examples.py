"""The mappings that we hand out, each tried on what such a shop sends."""

import importlib.resources
import json
from typing import Any

import pytest

from chappe_ingest.domain.normalised import Normaliser
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import generic
from tests.unit.ingest.shop import NOW, at
from tests.unit.ingest.sources_b.made import events, hex_hmac, named, standard_webhook

EXAMPLES = importlib.resources.files("chappe_ingest") / "examples"


def config(name: str) -> dict[str, Any]:
    return json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))


def example(name: str) -> Normaliser:
    return generic.make_normaliser(config(name))


@pytest.mark.parametrize(
    "name", ["prestashop", "magento", "medusa", "home-made", "segment-destination"]
)
def test_every_example_is_a_good_mapping(name: str) -> None:
    generic.make_normaliser(config(name))
    generic.make_verify(config(name))


CUSTOMER = {
    "id": 7,
    "email": "zoe@example.com",
    "firstname": "Zoé",
    "lastname": "Roux",
    "newsletter": "1",
    "newsletter_date_add": "2026-11-22 08:00:00",
    "date_add": "2026-11-22 07:59:00",
}


def test_a_prestashop_order_is_placed_and_paid() -> None:
    body = {
        "hook": "actionValidateOrder",
        "id": "d-1",
        "currency": "EUR",
        "customer": CUSTOMER,
        "address": {"phone_mobile": "+33612345678", "country_iso": "FR"},
        "language": {"locale": "fr-FR"},
        "order": {
            "id": 12,
            "reference": "XKBKNABJK",
            "id_cart": 55,
            "total_paid": "49.900000",
            "paid": True,
            "date_add": "2026-11-22 08:30:00",
            "products": [
                {
                    "product_id": "3",
                    "product_attribute_id": "0",
                    "product_reference": "L-1",
                    "product_name": "Lampe",
                    "product_quantity": "2",
                    "unit_price_tax_incl": "24.950000",
                }
            ],
        },
    }
    found = named(example("prestashop"), body)
    assert set(found) == {"order.placed", "order.paid"}
    placed = found["order.placed"]
    assert placed.data["order_id"] == "12"
    assert placed.data["number"] == "XKBKNABJK"
    assert placed.data["cart_token"] == "atelier:55"
    assert placed.data["items"][0]["quantity"] == 2
    assert placed.occurred_at.isoformat() == "2026-11-22T08:30:00+00:00"
    assert placed.identifier("external_id") == "atelier:7"
    assert placed.traits["consent"]["email"]["state"] == "subscribed"


def test_a_prestashop_cart_and_its_order_share_a_token() -> None:
    body = {
        "hook": "actionCartSave",
        "cart": {
            "id": 55,
            "total": 49.9,
            "date_upd": "2026-11-22 08:20:00",
            "recovery_url": "https://shop.example/panier?recover=55",
        },
    }
    (cart,) = events(example("prestashop"), body)
    assert cart.name == "cart.updated"
    assert cart.identifier("cart_token") == "atelier:55"
    assert cart.data["recovery_url"] == "https://shop.example/panier?recover=55"


def test_a_prestashop_account_is_a_signup_and_no_newsletter_says_nothing() -> None:
    body = {"hook": "actionCustomerAccountAdd", "customer": CUSTOMER | {"newsletter": "0"}}
    (created,) = events(example("prestashop"), body)
    assert created.name == "contact.created"
    assert "consent" not in created.traits


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("new_order", "order.placed"),
        ("new_invoice", "order.paid"),
        ("new_shipment", "order.fulfilled"),
        ("new_creditmemo", "order.refunded"),
    ],
)
def test_a_magento_module_tells_of_an_order(event: str, name: str) -> None:
    body = {
        "event": event,
        "order_id": "31",
        "creditmemo_id": "3",
        "increment_id": "000000031",
        "customer_email": "zoe@example.com",
        "customer_firstname": "Zoé",
        "grand_total": "49.9000",
        "order_currency_code": "EUR",
        "created_at": "2026-11-22 08:00:00",
    }
    (found,) = events(example("magento"), body)
    assert found.name == name
    assert found.data["order_id"] == "31"
    assert found.identifier("email") == "zoe@example.com"


def test_a_magento_subscriber_is_consent() -> None:
    body = {
        "event": "subscriber",
        "subscriber_email": "zoe@example.com",
        "subscriber_status": "3",
        "change_status_at": "2026-11-22 08:00:00",
    }
    (found,) = events(example("magento"), body)
    assert found.traits["consent"] == {
        "email": {"state": "unsubscribed", "at": "2026-11-22T08:00:00Z"}
    }


def test_a_magento_module_brings_a_token() -> None:
    check = generic.make_verify(config("magento"))
    assert check(b"{}", [("authorization", "Bearer s")], ["s"], NOW).verified


def test_a_medusa_subscriber_tells_of_an_order() -> None:
    body = {
        "name": "order.placed",
        "order_id": "order_01",
        "cart_id": "cart_01",
        "data": {
            "id": "order_01",
            "display_id": 42,
            "email": "zoe@example.com",
            "customer_id": "cus_01",
            "currency_code": "eur",
            "total": 49.9,
            "created_at": at(-5),
            "shipping_address": {"first_name": "Zoé"},
            "items": [
                {
                    "product_id": "prod_01",
                    "variant_id": "variant_01",
                    "title": "Lampe",
                    "quantity": 1,
                    "unit_price": 49.9,
                }
            ],
        },
    }
    (placed,) = events(example("medusa"), body)
    assert placed.data["order_id"] == "order_01"
    assert placed.data["number"] == "42"
    assert placed.data["total"] == {"amount": "49.9", "currency": "EUR"}
    assert placed.data["cart_token"] == "cart_01"
    assert placed.data["items"][0]["price"] == {"amount": "49.9", "currency": "EUR"}
    assert placed.identifier("external_id") == "atelier:cus_01"
    raw = json.dumps(body).encode()
    check = generic.make_verify(config("medusa"))
    assert check(raw, standard_webhook(raw, b"s"), ["s"], NOW).verified


def test_a_home_made_shop_may_speak_its_own_language() -> None:
    body = {
        "numero_envoi": "77",
        "quand": at(-5),
        "essai": "oui",
        "client": {
            "numero": 7,
            "courriel": "zoe@example.com",
            "prenom": "Zoé",
            "infolettre": "oui",
            "infolettre_le": at(-6),
        },
        "commande": {
            "numero": "C-9",
            "total_centimes": 4990,
            "lignes": [
                {
                    "article": "A1",
                    "libelle": "Lampe",
                    "quantite": 1,
                    "prix_centimes": 4990,
                    "lien": "https://shop.example/a1",
                }
            ],
        },
    }
    (placed,) = events(example("home-made"), body, headers={"x-boutique-event": "commande"})
    assert placed.name == "order.placed"
    assert placed.data["total"] == {"amount": "49.90", "currency": "EUR"}
    assert placed.data["items"][0]["url"] == "https://shop.example/a1"
    assert placed.traits["consent"] == {"email": {"state": "subscribed", "at": at(-6)}}
    assert placed.traits["locale"] == "fr-FR"


def test_segment_s_own_webhook_destination_signs_with_sha1() -> None:
    body = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m-1",
        "userId": "u-1",
        "timestamp": at(-5),
        "properties": {
            "order_id": "9",
            "revenue": 25,
            "currency": "USD",
            "products": [{"sku": "L"}],
        },
    }
    (placed,) = events(example("segment-destination"), body)
    assert (placed.name, placed.data["order_id"]) == ("order.placed", "9")
    assert placed.data["total"] == {"amount": "25", "currency": "USD"}
    raw = json.dumps(body).encode()
    check = generic.make_verify(config("segment-destination"))
    assert check(raw, [("x-signature", hex_hmac(raw, "s", "sha1"))], ["s"], NOW).verified
    assert not check(raw, [("x-signature", hex_hmac(raw, "s"))], ["s"], NOW).verified


def test_a_batch_of_that_destination_is_refused_since_only_its_first_event_is_signed() -> None:
    with pytest.raises(Unreadable):
        events(example("segment-destination"), [{"type": "track"}])
