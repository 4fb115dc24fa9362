"""Twilio SendGrid: batches of events, signed by ECDSA over time and body.

"Event Webhook Reference"; "Event Webhook Security Features". Event ids change between retries, so
the dedupe key is made of what does not.
"""

import datetime as dt
import re
from typing import Final

from chappe_sender.domain.bounces import BounceClass, Diagnosis, Kind, ProviderEvent
from chappe_sender.domain.feedback.reading import (
    Json,
    diagnose,
    event,
    flag,
    hinted,
    mailbox,
    moment,
    objects,
    own_message,
    parse,
    text,
)
from chappe_sender.domain.feedback.signatures import (
    NO_SECRET,
    VERIFIED,
    Headers,
    Verdict,
    ecdsa,
    first,
    fresh,
    shared,
)

SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"
_KEY_LETTERS_MIN: Final = 80

_KINDS: Final = {
    "processed": Kind.ACCEPTED,
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DEFERRED,
    "bounce": Kind.BOUNCED,
    "blocked": Kind.BOUNCED,
    "dropped": Kind.REJECTED,
    "open": Kind.OPENED,
    "click": Kind.CLICKED,
    "spamreport": Kind.COMPLAINED,
    "unsubscribe": Kind.UNSUBSCRIBED,
    "group_unsubscribe": Kind.UNSUBSCRIBED,
    "group_resubscribe": Kind.SUBSCRIBED,
}
_DROPS: Final = (
    ("bounced address", BounceClass.INVALID_RECIPIENT),
    ("invalid", BounceClass.INVALID_RECIPIENT),
    ("unsubscribed", BounceClass.POLICY),
    ("spam reporting", BounceClass.POLICY),
    ("spam content", BounceClass.SPAM),
    ("package quota", BounceClass.RATE_LIMITED),
)
_CATEGORIES: Final = {
    "invalid address": hinted(BounceClass.INVALID_RECIPIENT),
    "technical": hinted(BounceClass.CONNECTION),
    "content": hinted(BounceClass.SPAM),
    "reputation": hinted(BounceClass.REPUTATION),
    "frequency or volume too high": hinted(BounceClass.RATE_LIMITED),
    "mailbox unavailable": hinted(BounceClass.INACTIVE_MAILBOX, dead=False),
}
_INTERNAL = re.compile(r"\.(?:filter|recv|geopod)[\w-]*.*$|\.\d+$")


def verify(body: bytes, headers: Headers, secret: str | None, now: dt.datetime | None) -> Verdict:
    """``secret`` is the public key from the webhook's settings; or a shared secret in the URL."""
    if not secret:
        return NO_SECRET
    signature, stamp = first(headers, SIGNATURE), first(headers, TIMESTAMP)
    if not signature and len(secret) < _KEY_LETTERS_MIN:
        return shared(headers, secret)
    if not signature or not stamp:
        return Verdict(False, "the signature headers X-Twilio-Email-Event-Webhook-* are missing")
    if not ecdsa(stamp.encode("utf-8", "replace") + body, signature, secret):
        return Verdict(False, "the signature does not match the verification key")
    age = fresh(stamp, now)
    return VERIFIED if age.verified else age


def read(body: bytes, headers: Headers) -> list[ProviderEvent]:
    """One event for each object of the batch."""
    del headers
    return [_read(each) for each in objects(parse(body)) if text(each, "event")]


def _read(each: Json) -> ProviderEvent:
    name = text(each, "event").lower()
    kind = _KINDS.get(name, Kind.OTHER)
    words = text(each, "reason", "response")
    ident = text(each, "sg_message_id")
    at = moment(each, "timestamp")
    recipient = mailbox(each, "email")
    url = text(each, "url")
    facts = (name, ident, recipient or "", at.isoformat() if at else "", url)
    return event(
        kind,
        recipient=recipient,
        at=at,
        provider_message_id=_INTERNAL.sub("", ident) or text(each, "smtp-id").strip("<>"),
        reason=words if kind is not Kind.OTHER else name,
        found=_diagnosis(kind, each, words),
        message=own_message(each, each.get("unique_args"), each.get("custom_args")),
        url=url,
        user_agent=text(each, "useragent"),
        machine=flag(each, "sg_machine_open"),
        dedupe=("sendgrid", *facts),
    )


def _diagnosis(kind: Kind, each: Json, words: str) -> Diagnosis | None:
    status = text(each, "status")
    category = _CATEGORIES.get(text(each, "bounce_classification").lower())
    if kind is Kind.REJECTED:
        lowered = words.lower()
        drop = next((found for start, found in _DROPS if lowered.startswith(start)), None)
        return hinted(drop) if drop else diagnose(words, category, field=status)
    found = diagnose(words, category, field=status)
    if text(each, "type").lower() == "expired" and found.bounce_class is BounceClass.UNKNOWN:
        return hinted(BounceClass.EXPIRED)
    return found
