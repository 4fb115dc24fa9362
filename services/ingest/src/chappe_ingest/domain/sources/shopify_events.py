"""Shopify's Events, which come beside webhooks: a topic, an action, and what a query asked for.

``{"topic": "Customer", "action": "update", "handle", "fields_changed", "query_variables", "data"}``
(shopify.dev, "Events delivery structure"). The object is GraphQL's; it is rewritten as the webhook
of the same news would say it, so that one reading does for both.
"""

import re
from typing import Any, Final, cast

from chappe_ingest.domain.reading import Json

_WEBHOOKS: Final = {
    ("customer", "create"): "customers/create",
    ("customer", "update"): "customers/update",
    ("customer", "delete"): "customers/delete",
    ("order", "create"): "orders/create",
    ("order", "update"): "orders/updated",
}
_GLOBAL_ID: Final = re.compile(r"gid://shopify/(?:Customer|Order)/[0-9]{1,20}")
_FIELDS_MAX: Final = 200
_NAMES: Final = {
    "firstName": "first_name",
    "lastName": "last_name",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "processedAt": "processed_at",
    "cancelledAt": "cancelled_at",
    "displayFinancialStatus": "financial_status",
    "displayFulfillmentStatus": "fulfillment_status",
    "customerLocale": "customer_locale",
    "cartToken": "cart_token",
    "checkoutToken": "checkout_token",
    "sourceName": "source_name",
    "statusPageUrl": "order_status_url",
    "currencyCode": "currency",
    "variantTitle": "variant_title",
    "currentQuantity": "current_quantity",
}
_SETS: Final = {
    "totalPriceSet": "total_price",
    "currentTotalPriceSet": "current_total_price",
    "subtotalPriceSet": "subtotal_price",
    "currentSubtotalPriceSet": "current_subtotal_price",
    "totalDiscountsSet": "total_discounts",
    "originalUnitPriceSet": "price",
    "discountedUnitPriceSet": "price",
}


def is_event(body: Json) -> bool:
    """No webhook has these three at its top."""
    return all(isinstance(body.get(name), str) for name in ("topic", "action", "handle"))


def as_webhook(body: Json) -> tuple[str, Json] | None:
    """The webhook topic and body that say the same; None for a topic that none does."""
    thing = str(body["topic"]).strip().lower()
    topic = _WEBHOOKS.get((thing, str(body["action"]).strip().lower()))
    if topic is None:
        return None
    found = _inside(body, "data", thing)
    about = _customer(found) if thing == "customer" else _order(found)
    number = about.get("admin_graphql_api_id") or _number(body, thing)
    return topic, about | ({"admin_graphql_api_id": number} if number else {})


def _number(body: Json, thing: str) -> str | None:
    """From the query's variables, else from the paths of what changed."""
    variables = _object(body.get("query_variables"))
    given = next((variables[n] for n in (f"{thing}Id", "id") if n in variables), None)
    changed = body.get("fields_changed")
    groups = _object(changed).values() if isinstance(changed, dict) else (changed,)
    paths = [path for group in groups for path in _list(group)[:_FIELDS_MAX]]
    for text in (given, *paths):
        if isinstance(text, str) and (seen := _GLOBAL_ID.search(text)) is not None:
            return seen.group()
    return None


def _customer(found: Json) -> Json:
    """A default address and its consent stand beside the older, flat fields."""
    mail, phone = (
        _object(found.get("defaultEmailAddress")),
        _object(found.get("defaultPhoneNumber")),
    )
    about = _renamed(found) | {"customer_locale": found.get("locale")}
    if isinstance(tags := about.get("tags"), list):
        about["tags"] = ", ".join(str(tag) for tag in cast("list[Any]", tags))
    about.setdefault("email", mail.get("emailAddress"))
    about.setdefault("phone", phone.get("phoneNumber"))
    for name, given, prefix in (
        ("email_marketing_consent", mail, ""),
        ("sms_marketing_consent", phone, ""),
        ("email_marketing_consent", _object(found.get("emailMarketingConsent")), "consent"),
        ("sms_marketing_consent", _object(found.get("smsMarketingConsent")), "consent"),
    ):
        if (state := given.get("marketingState")) is not None:
            at = given.get("marketingUpdatedAt" if not prefix else "consentUpdatedAt")
            about[name] = {"state": state, "consent_updated_at": at}
    address = _object(found.get("defaultAddress"))
    about["default_address"] = {"country_code": address.get("countryCodeV2"), **address}
    return about


def _order(found: Json) -> Json:
    about = _renamed(found)
    about["line_items"] = [_line(each) for each in _nodes(found.get("lineItems"))]
    about["customer"] = _customer(_object(found.get("customer")))
    for name in ("billingAddress", "shippingAddress"):
        address = _object(found.get(name))
        plain = {"country_code": address.get("countryCodeV2"), **_renamed(address)}
        about["billing_address" if name == "billingAddress" else "shipping_address"] = plain
    about["discount_codes"] = [{"code": code} for code in _list(found.get("discountCodes"))]
    for name in ("financial_status", "fulfillment_status"):
        if isinstance(about.get(name), str):
            about[name] = str(about[name]).lower()
    return about


def _line(found: Json) -> Json:
    product, variant = _object(found.get("product")), _object(found.get("variant"))
    return _renamed(found) | {
        "product_id": _last(product.get("id")),
        "variant_id": _last(variant.get("id")),
    }


def _renamed(found: Json) -> Json:
    """Camel case as the webhook's snake case; a ``…Set`` as its amount in the shop's money."""
    about: Json = {}
    for name, value in found.items():
        if name == "id":
            about["admin_graphql_api_id"] = value
        elif name in _SETS:
            money = _inside(found, name, "shopMoney")
            about[_SETS[name]] = money.get("amount")
            about.setdefault("currency", money.get("currencyCode"))
        else:
            about[_NAMES.get(name, name)] = value
    return about


def _nodes(connection: Any) -> list[Json]:
    found = _object(connection)
    edges = [_object(each).get("node") for each in _list(found.get("edges"))]
    rows = _list(found.get("nodes")) or edges or _list(connection)
    return [_object(each) for each in rows]


def _last(text: Any) -> str | None:
    return text.rpartition("/")[2] if isinstance(text, str) else None


def _inside(body: Json, *path: str) -> Json:
    for step in path:
        body = _object(body.get(step))
    return body


def _object(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
