"""Mailjet: an event or an array of them, not signed; Basic credentials in the URL.

"Event API: real-time notifications"; its table of ``error_related_to`` and ``error``. ``sent``
means that the receiver took it.
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
    objects,
    own_message,
    parse,
    text,
)
from chappe_sender.domain.feedback.signatures import Headers, Verdict, shared

_KINDS: Final = {
    "sent": Kind.DELIVERED,
    "open": Kind.OPENED,
    "click": Kind.CLICKED,
    "bounce": Kind.BOUNCED,
    "blocked": Kind.REJECTED,
    "spam": Kind.COMPLAINED,
    "unsub": Kind.UNSUBSCRIBED,
}
_ERRORS: Final = {
    "user unknown": BounceClass.INVALID_RECIPIENT,
    "mailbox inactive": BounceClass.INACTIVE_MAILBOX,
    "quota exceeded": BounceClass.MAILBOX_FULL,
    "blacklisted": BounceClass.POLICY,
    "spam reporter": BounceClass.POLICY,
    "invalid domain": BounceClass.BAD_DOMAIN,
    "no mail host": BounceClass.BAD_DOMAIN,
    "relay/access denied": BounceClass.RELAYING,
    "greylisted": BounceClass.RATE_LIMITED,
    "typofix": BounceClass.INVALID_RECIPIENT,
    "bad or empty template": BounceClass.UNKNOWN,
    "error in template language": BounceClass.UNKNOWN,
    "content blocked": BounceClass.SPAM,
    "policy issue": BounceClass.POLICY,
    "system issue": BounceClass.SERVER_ERROR,
    "protocol issue": BounceClass.PROTOCOL,
    "connection issue": BounceClass.CONNECTION,
    "preblocked": BounceClass.POLICY,
    "duplicate in campaign": BounceClass.POLICY,
    "spam preblocked": BounceClass.SPAM,
    "spam content": BounceClass.SPAM,
    "sender blocked": BounceClass.REPUTATION,
    "sender domain blocked": BounceClass.REPUTATION,
}
_RELATED: Final = {
    "recipient": BounceClass.INVALID_RECIPIENT,
    "domain": BounceClass.BAD_DOMAIN,
    "spam": BounceClass.SPAM,
    "content": BounceClass.CONTENT,
    "system": BounceClass.SERVER_ERROR,
    "mailjet": BounceClass.POLICY,
}


def verify(body: bytes, headers: Headers, secret: str | None, now: dt.datetime | None) -> Verdict:
    """``secret`` is ``user:password`` of the URL."""
    del body, now
    return shared(headers, secret)


def read(body: bytes, headers: Headers) -> list[ProviderEvent]:
    """One event for each object of the batch."""
    del headers
    return [_read(each) for each in objects(parse(body)) if text(each, "event")]


def _read(each: Json) -> ProviderEvent:
    name = text(each, "event").lower()
    kind = _KINDS.get(name, Kind.OTHER)
    at = moment(each, "time")
    recipient = mailbox(each, "email")
    ident = text(each, "MessageID", "mj_message_id", "Message_GUID")
    url = text(each, "url")
    words = text(each, "comment")
    said = ": ".join(filter(None, (text(each, "error_related_to"), text(each, "error"))))
    facts = (name, ident, recipient or "", at.isoformat() if at else "", url)
    return event(
        kind,
        recipient=recipient,
        at=at,
        provider_message_id=ident,
        reason=" ".join(filter(None, (said, words))) or text(each, "smtp_reply", "source"),
        found=_diagnosis(each, words) if kind in {Kind.BOUNCED, Kind.REJECTED} else None,
        message=own_message(each.get("Payload"), {"chappe_message": each.get("CustomID")}),
        url=url,
        user_agent=text(each, "agent"),
        dedupe=("mailjet", *facts),
    )


def _diagnosis(each: Json, words: str) -> Diagnosis:
    """Its own error first; the receiver's words where that is vague."""
    hard = flag(each, "hard_bounce")
    error = text(each, "error").lower()
    if error in _ERRORS and _ERRORS[error] is not BounceClass.UNKNOWN:
        return hinted(_ERRORS[error], dead=hard)
    related = _RELATED.get(text(each, "error_related_to").lower(), BounceClass.UNKNOWN)
    if related in {BounceClass.INVALID_RECIPIENT, BounceClass.BAD_DOMAIN} and not hard:
        related = BounceClass.UNKNOWN
    if hard and related is BounceClass.UNKNOWN:
        related = BounceClass.INVALID_RECIPIENT
    found = diagnose(f"{error} {words}", hinted(related, dead=hard))
    return Diagnosis(found.bounce_class, permanent=hard and found.permanent, later=found.later)
