"""Saleor's checkouts and customers."""

from typing import Final
from urllib.parse import quote

from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.facts import Happening, Meant
from chappe_ingest.domain.sources.saleor_reading import (
    Told,
    address_of,
    checkout_token,
    codes_of,
    items_of,
    money_in,
    traits_of,
    updated_at,
    version_of,
)


def checkout_news(told: Told) -> Meant:
    checkout, at = told.about, told.delivery.at
    token = checkout_token(checkout.id("token", "id"))
    user, billing = (
        checkout.nested("user"),
        address_of(checkout, "billingAddress", "billing_address"),
    )
    channel = checkout.nested("channel")
    currency = checkout.currency("currency") or channel.currency("currencyCode", "currency_code")
    created = checkout.time("created", "created_at", "createdAt")
    if told.topic == "checkout_created":
        happening = Happening("checkout.started", at(created, told.issued_at), token)
    else:
        happening = Happening("checkout.updated", at(updated_at(told), created))
    recovery = told.recovery_url and token and told.recovery_url.replace("{token}", quote(token))
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            ids.external_id(user.id("id"), told.delivery.raw.namespace),
            facts.email_of(checkout, "email", "userEmail") or facts.email_of(user, "email"),
            facts.phone_of(billing, "phone"),
            ids.token(ids.CHECKOUT_TOKEN, token),
        ),
        object=facts.object_ref("checkout", token, version_of(told)),
        traits=traits_of(told, user, billing, granted_at=at(created, told.issued_at)),
        data={
            "checkout_token": token,
            "total": money_in(checkout, currency, "totalPrice", "total_gross_amount", "total"),
            "subtotal": money_in(checkout, currency, "subtotalPrice", "subtotal_gross_amount"),
            "discount": money_in(checkout, currency, "discount", "discount_amount"),
            "items": items_of(told, currency),
            "discount_codes": codes_of(checkout),
            "recovery_url": recovery or None,
        },
    )


def customer_news(told: Told) -> Meant:
    user, at = told.about, told.delivery.at
    number = told.number
    billing = address_of(user, "defaultBillingAddress", "default_billing_address")
    created = user.time("dateJoined", "date_joined")
    if user.flag("isStaff") or user.flag("is_staff"):
        told.delivery.note("a staff account, left out")
        return Meant(happenings=())
    name = {"created": "contact.created", "deleted": "contact.deleted"}.get(CUSTOMERS[told.topic])
    if name == "contact.created":
        happening = Happening(name, at(created, told.issued_at), number)
    elif name == "contact.deleted":
        happening = Happening(name, at(told.issued_at), number)
    else:
        happening = Happening("contact.updated", at(updated_at(told)))
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            ids.external_id(number, told.delivery.raw.namespace),
            facts.email_of(user, "email") or facts.email_of(told.whole, "recipient_email"),
            facts.phone_of(billing, "phone"),
        ),
        object=facts.object_ref("customer", number, version_of(told)),
        traits=traits_of(told, user, billing, granted_at=None),
        data={"customer_id": number},
    )


CUSTOMERS: Final = {
    "customer_created": "created",
    "account_confirmation_requested": "created",
    "notify_user account_confirmation": "created",
    "customer_updated": "updated",
    "customer_metadata_updated": "updated",
    "account_confirmed": "updated",
    "account_email_changed": "updated",
    "notify_user account_change_email_confirm": "updated",
    "customer_deleted": "deleted",
    "account_deleted": "deleted",
}
