"""Postmark: one record a time, not signed; Basic credentials in the URL or a header of our own.

"Webhooks overview"; "Bounce API: bounce types". A soft bounce is given up too, but says nothing
against the address.
"""

import datetime as dt
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
    obj,
    objects,
    own_message,
    parse,
    text,
)
from chappe_sender.domain.feedback.signatures import Headers, Verdict, shared

_SOFT: Final = hinted(BounceClass.UNKNOWN, dead=False)

_BOUNCES: Final[dict[str, tuple[Kind, Diagnosis | None]]] = {
    "HardBounce": (Kind.BOUNCED, hinted(BounceClass.INVALID_RECIPIENT)),
    "Transient": (Kind.DEFERRED, _SOFT),
    "SoftBounce": (Kind.BOUNCED, _SOFT),
    "Undeliverable": (Kind.BOUNCED, hinted(BounceClass.CONNECTION, dead=False)),
    "DnsError": (Kind.BOUNCED, hinted(BounceClass.CONNECTION, dead=False)),
    "SpamNotification": (Kind.BOUNCED, hinted(BounceClass.SPAM)),
    "VirusNotification": (Kind.BOUNCED, hinted(BounceClass.CONTENT)),
    "OpenRelayTest": (Kind.BOUNCED, hinted(BounceClass.RELAYING)),
    "Blocked": (Kind.BOUNCED, hinted(BounceClass.REPUTATION)),
    "Unknown": (Kind.BOUNCED, _SOFT),
    "BadEmailAddress": (Kind.REJECTED, hinted(BounceClass.INVALID_RECIPIENT)),
    "ManuallyDeactivated": (Kind.REJECTED, hinted(BounceClass.POLICY)),
    "SMTPApiError": (Kind.REJECTED, hinted(BounceClass.UNKNOWN)),
    "TemplateRenderingFailed": (Kind.REJECTED, hinted(BounceClass.UNKNOWN)),
    "DMARCPolicy": (Kind.REJECTED, hinted(BounceClass.AUTHENTICATION)),
    "AutoResponder": (Kind.AUTOREPLY, None),
    "ChallengeVerification": (Kind.AUTOREPLY, None),
    "AddressChange": (Kind.AUTOREPLY, None),
    "Unsubscribe": (Kind.UNSUBSCRIBED, None),
    "Subscribe": (Kind.SUBSCRIBED, None),
    "SpamComplaint": (Kind.COMPLAINED, None),
}
_FIXED: Final = ("BadEmailAddress", "DMARCPolicy", "SpamNotification", "VirusNotification")
"""Types that are surer than the words beside them."""


def verify(body: bytes, headers: Headers, secret: str | None, now: dt.datetime | None) -> Verdict:
    """``secret`` is ``user:password`` of the URL, or the value of a custom header."""
    del body, now
    return shared(headers, secret)


def read(body: bytes, headers: Headers) -> list[ProviderEvent]:
    """The one record of a delivery."""
    del headers
    return [found for each in objects(parse(body)) if (found := _read(each)) is not None]


def _read(each: Json) -> ProviderEvent | None:
    match text(each, "RecordType"):
        case "Bounce" | "SpamComplaint":
            return _bounce(each)
        case "Delivery":
            return _event(Kind.DELIVERED, each, reason=text(each, "Details"))
        case "Open":
            return _event(Kind.OPENED, each)
        case "Click":
            return _event(Kind.CLICKED, each, url=text(each, "OriginalLink"))
        case "SubscriptionChange":
            return _subscription(each)
        case "":
            return _bounce(each) if text(each, "Type") in _BOUNCES else None
        case other:
            return _event(Kind.OTHER, each, reason=other)


def _bounce(each: Json) -> ProviderEvent:
    sort = text(each, "Type")
    if text(each, "RecordType") == "SpamComplaint":
        sort = "SpamComplaint"
    kind, hint = _BOUNCES.get(sort, (Kind.BOUNCED, _SOFT))
    words = text(each, "Details")
    found = hint
    if hint is not None and sort not in _FIXED:
        found = diagnose(words, hint)
        if not hint.permanent:
            found = Diagnosis(found.bounce_class, permanent=False, later=found.later)
    return _event(kind, each, reason=words or text(each, "Description"), found=found, sort=sort)


def _subscription(each: Json) -> ProviderEvent:
    why = text(each, "SuppressionReason")
    if not flag(each, "SuppressSending"):
        return _event(Kind.SUBSCRIBED, each)
    if why == "HardBounce":
        dead = hinted(BounceClass.INVALID_RECIPIENT)
        return _event(Kind.BOUNCED, each, reason=why, found=dead, sort=why)
    if why == "SpamComplaint":
        return _event(Kind.COMPLAINED, each, reason=why, sort=why)
    return _event(Kind.UNSUBSCRIBED, each, reason=why)


def _event(
    kind: Kind,
    each: Json,
    *,
    reason: str = "",
    found: Diagnosis | None = None,
    url: str = "",
    sort: str = "",
) -> ProviderEvent:
    at = moment(each, "BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")
    recipient = mailbox(each, "Recipient", "Email")
    ident = text(each, "MessageID")
    when = at.isoformat() if at else ""
    return event(
        kind,
        recipient=recipient,
        at=at,
        provider_message_id=ident,
        reason=reason,
        found=found,
        message=own_message(each.get("Metadata")),
        url=url,
        user_agent=text(each, "UserAgent") or text(obj(each, "Client"), "Name"),
        dedupe=(
            "postmark", text(each, "RecordType"), sort, text(each, "ID") or ident, recipient or "",
            when, url,
        ),
    )  # fmt: skip
