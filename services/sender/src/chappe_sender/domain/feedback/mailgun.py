"""Mailgun: one event a time, HMAC-SHA256 over timestamp and token by the webhook signing key.

"Securing Webhooks"; "Event Structure". ``failed`` is permanent or temporary by ``severity``; the
forms that Mailgun posted before 2018 are read too.
"""

import datetime as dt
import hmac
from typing import Final
from urllib.parse import parse_qsl

from chappe_sender.domain.bounces import BounceClass, Diagnosis, Kind, ProviderEvent
from chappe_sender.domain.feedback.reading import (
    Json,
    diagnose,
    event,
    hinted,
    mailbox,
    moment,
    obj,
    own_message,
    parse,
    text,
)
from chappe_sender.domain.feedback.signatures import (
    NO_SECRET,
    VERIFIED,
    Headers,
    Verdict,
    fresh,
    hmac_sha256,
)

RETRIES_LAST: Final = dt.timedelta(hours=9)
"""A retry carries the first attempt's signature, for eight hours."""

FIELDS_MAX: Final = 200

_KINDS: Final = {
    "accepted": Kind.ACCEPTED,
    "delivered": Kind.DELIVERED,
    "rejected": Kind.REJECTED,
    "opened": Kind.OPENED,
    "clicked": Kind.CLICKED,
    "complained": Kind.COMPLAINED,
    "unsubscribed": Kind.UNSUBSCRIBED,
    "bounced": Kind.BOUNCED,
    "dropped": Kind.BOUNCED,
}
_REASONS: Final = {
    "suppress-bounce": hinted(BounceClass.INVALID_RECIPIENT),
    "suppress-unsubscribe": hinted(BounceClass.POLICY),
    "suppress-complaint": hinted(BounceClass.POLICY),
    "old": hinted(BounceClass.EXPIRED),
    "espblock": hinted(BounceClass.REPUTATION),
    "greylisted": hinted(BounceClass.RATE_LIMITED),
    "blacklisted": hinted(BounceClass.REPUTATION),
    "no_mx": hinted(BounceClass.BAD_DOMAIN),
    "no_mx_servers": hinted(BounceClass.BAD_DOMAIN),
}
_BOTS: Final = ("apple", "gmail", "generic")


def verify(body: bytes, headers: Headers, secret: str | None, now: dt.datetime | None) -> Verdict:
    """``secret`` is the HTTP webhook signing key, which is not the API key."""
    del headers
    if not secret:
        return NO_SECRET
    document, form = _document(body)
    signed = form or obj(document, "signature")
    stamp, token = text(signed, "timestamp"), text(signed, "token")
    given = text(signed, "signature")
    if not (stamp and token and given):
        return Verdict(False, "the body has no signature")
    key = secret.encode("utf-8", "surrogatepass")
    right = hmac_sha256(key, f"{stamp}{token}".encode("utf-8", "replace")).hex()
    if not hmac.compare_digest(given.lower().encode("utf-8", "replace"), right.encode()):
        return Verdict(False, "the signature does not match: is it the webhook signing key?")
    age = fresh(stamp, now, RETRIES_LAST)
    return VERIFIED if age.verified else age


def read(body: bytes, headers: Headers) -> list[ProviderEvent]:
    """The one event of a delivery."""
    del headers
    document, form = _document(body)
    data = obj(document, "event-data")
    signed = form or obj(document, "signature")
    if not data and form:
        data = _modern(form)
    name = text(data, "event").lower()
    return [_read(data, name, text(signed, "token"))] if name else []


def _read(data: Json, name: str, token: str) -> ProviderEvent:
    kind = _kind(data, name)
    status = obj(data, "delivery-status")
    client = obj(data, "client-info")
    words = " ".join(filter(None, (text(status, "code"), _words(status))))
    recipient = mailbox(data, "recipient")
    at = moment(data, "timestamp")
    ident = text(obj(data, "message", "headers"), "message-id").strip("<>")
    why = obj(data, "reject")
    failed = kind in {Kind.BOUNCED, Kind.DEFERRED, Kind.REJECTED}
    spoken = _words(status) or text(why, "description", "reason") or text(data, "reason")
    return event(
        kind,
        recipient=recipient,
        at=at,
        provider_message_id=ident,
        reason=spoken if failed or kind is Kind.DELIVERED else name if kind is Kind.OTHER else "",
        found=_diagnosis(data, kind, words, spoken) if failed else None,
        message=own_message(data.get("user-variables")),
        url=text(data, "url"),
        user_agent=text(client, "user-agent"),
        machine=text(client, "bot") in _BOTS,
        dedupe=("mailgun", token or text(data, "id")) if token or text(data, "id") else (),
    )


def _kind(data: Json, name: str) -> Kind:
    if name in {"failed", "temporary_fail", "permanent_fail"}:
        if text(data, "reason").startswith("suppress-"):
            return Kind.REJECTED
        later = name == "temporary_fail" or text(data, "severity") == "temporary"
        return Kind.DEFERRED if later else Kind.BOUNCED
    if name == "dropped" and text(obj(data, "delivery-status"), "code") in {"605", "606", "607"}:
        return Kind.REJECTED
    return _KINDS.get(name, Kind.OTHER)


def _words(status: Json) -> str:
    parts = dict.fromkeys((text(status, "message"), text(status, "description")))
    return " ".join(filter(None, parts))


def _diagnosis(data: Json, kind: Kind, words: str, spoken: str) -> Diagnosis:
    reason = text(data, "reason").lower()
    if reason.startswith("suppress-") and reason in _REASONS:
        return _REASONS[reason]
    if "previously bounced" in spoken.lower():
        return _REASONS["suppress-bounce"]
    hint = _REASONS.get(reason)
    if hint is None and text(obj(data, "delivery-status"), "bounce-type") == "hard":
        hint = hinted(BounceClass.INVALID_RECIPIENT)
    enhanced = text(obj(data, "delivery-status"), "enhanced-code")
    found = diagnose(words or spoken, hint, field=enhanced)
    if kind is Kind.REJECTED and found.permanent:
        return Diagnosis(found.bounce_class, permanent=False, later=False)
    return found


def _document(body: bytes) -> tuple[Json, Json]:
    """The JSON, or the fields of an old form."""
    document = obj(parse(body))
    if document:
        return document, {}
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=FIELDS_MAX)
    except ValueError:
        return {}, {}
    return {}, dict(pairs)


def _modern(form: Json) -> Json:
    """An old form in the new shape."""
    return {
        "event": text(form, "event"),
        "timestamp": text(form, "timestamp"),
        "recipient": text(form, "recipient"),
        "reason": text(form, "reason"),
        "url": text(form, "url"),
        "user-variables": {k.removeprefix("v:"): v for k, v in form.items()},
        "client-info": {"user-agent": text(form, "user-agent")},
        "message": {"headers": {"message-id": text(form, "Message-Id", "message-id")}},
        "delivery-status": {
            "code": text(form, "code"),
            "message": text(form, "error", "notification"),
            "description": text(form, "description"),
        },
    }
