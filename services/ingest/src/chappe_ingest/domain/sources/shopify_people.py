"""Shopify's customers: their records, consent, privacy, and the end of an installation."""

from typing import Final, cast

from chappe.events import Identifier
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.normalised import ALARM, ERASE_SHOP, PAUSE_SOURCE, Effect
from chappe_ingest.domain.reading import Json, Reader, iso
from chappe_ingest.domain.sources.facts import (
    Happening,
    Meant,
    customer_of,
    email_of,
    object_ref,
    phone_of,
    some,
)
from chappe_ingest.domain.sources.shopify_reading import (
    Delivery,
    customer_id,
    global_number,
    number_of,
    stated_consent,
    traits,
)

ORDERS_MAX: Final = 1_000


def customer(delivery: Delivery) -> Meant:
    body = delivery.body
    number = number_of(body)
    created, updated = body.time("created_at"), body.time("updated_at")
    if delivery.topic == "customers/create":
        happening = Happening("contact.created", delivery.at(created, updated), number)
    else:
        happening = Happening("contact.updated", delivery.at(updated, created))
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            customer_id(delivery, body),
            email_of(body, "email"),
            phone_of(body, "phone") or phone_of(body.nested("default_address"), "phone"),
        ),
        object=object_ref("customer", number, updated),
        traits=traits(body, body, granted_at=None)
        | some(created_at=iso(created) if created else None),
        data={"customer_id": number},
    )


def deleted(delivery: Delivery) -> Meant:
    """A signal, not an erasure: the shop's ``customers/redact`` asks for that."""
    body = delivery.body
    number = number_of(body)
    return Meant(
        happenings=(Happening("contact.deleted", delivery.at(body.time("updated_at")), number),),
        identifiers=ids.distinct(customer_id(delivery, body)),
        object=object_ref("customer", number, None),
        traits={},
        data={"customer_id": number},
    )


def merged(delivery: Delivery) -> Meant:
    """``from_external_id`` is gone into ``into_external_id``; a merge that failed is nothing."""
    body = delivery.body
    into = global_number(body, "admin_graphql_api_id_customer_kept")
    gone = global_number(body, "admin_graphql_api_id_customer_deleted")
    if into is None or gone is None or (body.text("status") or "").lower() == "failed":
        body.note("status", "the merge did not succeed, or does not say of whom")
        return Meant(traits={}, data={})
    kept, lost = customer_of(delivery.raw, into), customer_of(delivery.raw, gone)
    return Meant(
        happenings=(Happening("contact.merged", delivery.at(), f"{gone} {into}"),),
        identifiers=ids.distinct(kept),
        object=object_ref("customer", into, None),
        traits={},
        data={
            "from_external_id": lost.value if lost else None,
            "into_external_id": kept.value if kept else None,
        },
    )


def tagged(delivery: Delivery) -> Meant:
    body = delivery.body
    tags = [tag[: ids.VALUE_MAX_CHARS] for tag in _listed(body, "tags") if isinstance(tag, str)]
    kind = "tags_removed" if delivery.topic.endswith("tags_removed") else "tags_added"
    return _of_customer(delivery, "contact.updated", {kind: tags})


def purchasing(delivery: Delivery) -> Meant:
    body = delivery.body
    spent = body.nested("amountSpent")
    summary = {
        "orders_count": body.number("numberOfOrders"),
        "total_spent": spent.money(spent.currency("currencyCode", "currency_code"), "amount"),
    }
    data = summary | {"last_order_id": global_number(body, "lastOrderId")}
    return _of_customer(delivery, "contact.updated", data, some(**summary))


def _of_customer(delivery: Delivery, name: str, data: Json, known: Json | None = None) -> Meant:
    """The topics that came with 2025-01 write camel case and name the customer by global id."""
    body = delivery.body
    number = global_number(body, "customerId") or body.id("customerId", "customer_id")
    return Meant(
        happenings=(Happening(name, delivery.at(body.time("occurredAt", "occurred_at"))),),
        identifiers=ids.distinct(customer_of(delivery.raw, number)),
        object=object_ref("customer", number, None),
        traits=known or {},
        data={"customer_id": number} | data,
    )


def consent(delivery: Delivery) -> Meant:
    """``customers_email_marketing_consent/update`` and, for text messages, the one without it."""
    body = delivery.body
    sms = delivery.topic == "customers_marketing_consent/update"
    stated = body.nested("sms_marketing_consent" if sms else "email_marketing_consent")
    number = body.id("customer_id", "id")
    said = stated_consent(body)
    return Meant(
        happenings=(
            Happening("contact.consent_changed", delivery.at(stated.time("consent_updated_at"))),
        ),
        identifiers=ids.distinct(
            customer_of(delivery.raw, number),
            email_of(body, "email_address", "email"),
            phone_of(body, "phone"),
        ),
        object=object_ref("customer", number, None),
        traits={"consent": said} if said else {},
        data={"customer_id": number}
        | some(
            opt_in_level=stated.text("opt_in_level"),
            collected_from=stated.text("consent_collected_from"),
        ),
    )


def data_request(delivery: Delivery) -> Meant:
    request = delivery.body.nested("data_request").id("id")
    return _privacy(
        delivery, "privacy.export_requested", "orders_requested", request, {"request_id": request}
    )


def redact(delivery: Delivery) -> Meant:
    return _privacy(delivery, "privacy.erase_requested", "orders_to_redact", None, {})


def _privacy(delivery: Delivery, name: str, orders: str, subject: str | None, more: Json) -> Meant:
    """``customer`` may hold nothing but an address."""
    who = delivery.body.nested("customer")
    return Meant(
        happenings=(Happening(name, delivery.at(), subject),),
        identifiers=_named(delivery, who),
        object=object_ref("customer", number_of(who), None),
        traits={},
        data={"order_ids": _ids(delivery.body, orders)} | more,
    )


def _named(delivery: Delivery, who: Reader) -> tuple[Identifier, ...]:
    return ids.distinct(customer_id(delivery, who), email_of(who, "email"), phone_of(who, "phone"))


def _ids(body: Reader, name: str) -> list[str]:
    return [str(each) for each in _listed(body, name) if isinstance(each, int | str)]


def _listed(body: Reader, name: str) -> list[object]:
    value = body.fields.get(name)
    return cast("list[object]", value)[:ORDERS_MAX] if isinstance(value, list) else []


def shop_redact(delivery: Delivery) -> Meant:
    """48 hours after the app has gone: an operator decides, within Shopify's 30 days."""
    body = delivery.body
    shop = body.id("shop_id")
    return Meant(
        happenings=(Happening("privacy.shop_erase_requested", delivery.at(), shop),),
        object=object_ref("shop", shop, None),
        traits={},
        data={"shop_id": shop, "shop_domain": body.text("shop_domain")},
        effects=(Effect(ERASE_SHOP, "Shopify asks to erase all of this shop's data"),),
    )


def uninstalled(_delivery: Delivery) -> Meant:
    """The body is the shop, and its e-mail the owner's: no contact of ours."""
    reason = "the app was uninstalled in Shopify: no more webhooks will come"
    return Meant(traits={}, data={}, effects=(Effect(PAUSE_SOURCE, reason), Effect(ALARM, reason)))
