"""Resend: one event a time, signed as Svix signs (Standard Webhooks).

"Resend: Webhook event types", "Verify webhook requests"; HMAC-SHA256 over id, time and body.
"""

import datetime as dt
import hmac
from typing import Any, Final, cast

from chappe_sender.domain.bounces import BounceClass, Diagnosis, Kind, ProviderEvent
from chappe_sender.domain.feedback.reading import (
    Json,
    diagnose,
    event,
    flag,
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
    first,
    fresh,
    hmac_sha256,
    unbase64,
    values,
)

_KINDS: Final = {
    "email.sent": Kind.ACCEPTED,
    "email.scheduled": Kind.OTHER,
    "email.delivered": Kind.DELIVERED,
    "email.delivery_delayed": Kind.DEFERRED,
    "email.bounced": Kind.BOUNCED,
    "email.complained": Kind.COMPLAINED,
    "email.opened": Kind.OPENED,
    "email.clicked": Kind.CLICKED,
    "email.failed": Kind.REJECTED,
    "email.suppressed": Kind.REJECTED,
}
_SUB_TYPES: Final = {
    "mailboxfull": BounceClass.MAILBOX_FULL,
    "messagetoolarge": BounceClass.TOO_LARGE,
    "contentrejected": BounceClass.CONTENT,
    "attachmentrejected": BounceClass.CONTENT,
}
_SUPPRESSED: Final = ("suppressed", "onaccountsuppressionlist")


def verify(body: bytes, headers: Headers, secret: str | None, now: dt.datetime | None) -> Verdict:
    """``secret`` is ``whsec_…``; any of the signatures in the header may be the right one."""
    if not secret:
        return NO_SECRET
    ident = first(headers, "svix-id", "webhook-id")
    stamp = first(headers, "svix-timestamp", "webhook-timestamp")
    given = " ".join(values(headers, "svix-signature", "webhook-signature")).split()
    if not (ident and stamp and given):
        return Verdict(False, "the headers svix-id, svix-timestamp and svix-signature are needed")
    key = unbase64(secret.strip().removeprefix("whsec_"))
    if not key:
        return Verdict(False, "the secret is not of the form whsec_…")
    right = hmac_sha256(key, f"{ident}.{stamp}.".encode("utf-8", "replace") + body)
    matched = False
    for candidate in given[:20]:
        version, _, value = candidate.partition(",")
        matched |= version == "v1" and hmac.compare_digest(unbase64(value), right)
    if not matched:
        return Verdict(False, "the signature does not match the signing secret")
    age = fresh(stamp, now)
    return VERIFIED if age.verified else age


def read(body: bytes, headers: Headers) -> list[ProviderEvent]:
    """The one event of a delivery."""
    document = obj(parse(body))
    name = text(document, "type")
    if not name:
        return []
    data = obj(document, "data")
    click = obj(data, "click") or obj(data, "open")
    kind, found, words = _meaning(name, data)
    key = first(headers, "svix-id", "webhook-id")
    return [
        event(
            kind,
            recipient=mailbox(data, "to", "email"),
            at=moment(click, "timestamp")
            or moment(document, "created_at")
            or moment(data, "created_at"),
            provider_message_id=text(data, "email_id"),
            reason=words,
            found=found,
            message=own_message(data.get("headers"), data.get("tags")),
            url=text(click, "link"),
            user_agent=text(click, "userAgent"),
            dedupe=("resend", key) if key else (),
        )
    ]


def _meaning(name: str, data: Json) -> tuple[Kind, Diagnosis | None, str]:
    kind = _KINDS.get(name, Kind.OTHER)
    if name == "email.bounced":
        return _bounce(obj(data, "bounce"))
    if name == "email.failed":
        words = text(obj(data, "failed"), "reason")
        quota = "quota" in words or "limit" in words
        bad = BounceClass.RATE_LIMITED if quota else BounceClass.UNKNOWN
        return kind, hinted(bad, dead=False), words
    if name == "email.suppressed":
        said = obj(data, "suppressed")
        return kind, hinted(BounceClass.POLICY), text(said, "message", "type") or name
    if name == "email.delivery_delayed":
        words = text(obj(data, "delivery_delayed") or obj(data, "delay"), "message", "reason")
        return kind, diagnose(words, None), words
    if name.startswith("contact.") and "unsubscribed" in data:
        left = flag(data, "unsubscribed")
        if left or name == "contact.updated":
            return (Kind.UNSUBSCRIBED if left else Kind.SUBSCRIBED), None, name
    return kind, None, name if kind is Kind.OTHER else ""


def _bounce(bounce: Json) -> tuple[Kind, Diagnosis, str]:
    words = text(bounce, "message")
    raw = bounce.get("diagnosticCode")
    lines = cast("list[Any]", raw)[:20] if isinstance(raw, list) else [raw]
    spoken = " ".join(line for line in lines if isinstance(line, str))
    sort, sub = text(bounce, "type").lower(), text(bounce, "subType").lower()
    if sub in _SUPPRESSED:
        dead = BounceClass.INVALID_RECIPIENT if sub == "suppressed" else BounceClass.POLICY
        return Kind.REJECTED, hinted(dead), words
    if sort == "permanent":
        return Kind.BOUNCED, diagnose(spoken, _hint(sub)), spoken or words
    found = diagnose(spoken, hinted(_SUB_TYPES.get(sub, BounceClass.UNKNOWN), dead=False))
    soft = Diagnosis(found.bounce_class, permanent=False, later=True)
    return Kind.BOUNCED, soft, spoken or words


def _hint(sub: str) -> Diagnosis:
    if sub in _SUB_TYPES:
        return hinted(_SUB_TYPES[sub], dead=False)
    return hinted(BounceClass.INVALID_RECIPIENT)
