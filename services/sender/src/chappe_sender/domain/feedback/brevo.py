"""Brevo: one event or a batch, not signed; Basic credentials, Bearer or a token header.

"Transactional webhooks", "Marketing webhooks". Any 4xx but 429 and any 5xx throws the event away:
when there is too much, the answer is 429.
"""

import datetime as dt
from typing import Final

from chappe_sender.domain.bounces import BounceClass, Diagnosis, Kind, ProviderEvent
from chappe_sender.domain.feedback.reading import (
    Json,
    diagnose,
    event,
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

_KINDS: Final = {
    "request": Kind.ACCEPTED,
    "requests": Kind.ACCEPTED,
    "sent": Kind.ACCEPTED,
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DEFERRED,
    "soft_bounce": Kind.BOUNCED,
    "hard_bounce": Kind.BOUNCED,
    "blocked": Kind.REJECTED,
    "invalid_email": Kind.REJECTED,
    "invalid": Kind.REJECTED,
    "error": Kind.REJECTED,
    "spam": Kind.COMPLAINED,
    "complaint": Kind.COMPLAINED,
    "opened": Kind.OPENED,
    "open": Kind.OPENED,
    "unique_opened": Kind.OPENED,
    "first_opening": Kind.OPENED,
    "proxy_open": Kind.OPENED,
    "unique_proxy_open": Kind.OPENED,
    "loaded_by_proxy": Kind.OPENED,
    "click": Kind.CLICKED,
    "clicked": Kind.CLICKED,
    "clicks": Kind.CLICKED,
    "unsubscribe": Kind.UNSUBSCRIBED,
    "unsubscribed": Kind.UNSUBSCRIBED,
    "list_addition": Kind.SUBSCRIBED,
}
_CAMEL: Final = {
    "softbounce": "soft_bounce",
    "hardbounce": "hard_bounce",
    "invalidemail": "invalid_email",
    "uniqueopened": "unique_opened",
    "proxyopen": "proxy_open",
    "uniqueproxyopen": "unique_proxy_open",
    "listaddition": "list_addition",
}


def verify(body: bytes, headers: Headers, secret: str | None, now: dt.datetime | None) -> Verdict:
    """``secret`` is ``user:password``, a Bearer token, or the value of a custom header."""
    del body, now
    return shared(headers, secret)


def read(body: bytes, headers: Headers) -> list[ProviderEvent]:
    """One event for each object; a batch comes as an array, or under ``events``."""
    del headers
    document = parse(body)
    batch = obj(document).get("events") or obj(document).get("items")
    every = objects(batch) if batch else objects(document)
    return [_read(each) for each in every if text(each, "event")]


def _read(each: Json) -> ProviderEvent:
    said = text(each, "event").lower().replace("-", "_").replace(" ", "_")
    name = _CAMEL.get(said, said)
    kind = _KINDS.get(name, Kind.OTHER)
    at = moment(each, "ts_event", "ts_epoch", "ts", "ts_sent", "date_event", "date")
    recipient = mailbox(each, "email")
    ident = text(each, "message-id", "message_id", "messageId")
    words = text(each, "reason")
    url = text(each, "link", "URL", "url")
    when = at.isoformat() if at else ""
    return event(
        kind,
        recipient=recipient,
        at=at,
        provider_message_id=ident,
        reason=words or (name if kind is Kind.OTHER else ""),
        found=_diagnosis(name, words),
        message=own_message(each.get("X-Mailin-custom"), each),
        url=url,
        user_agent=text(each, "user_agent"),
        machine="proxy" in name,
        dedupe=("brevo", name, ident, recipient or "", when, url),
    )


def _diagnosis(name: str, words: str) -> Diagnosis | None:
    match name:
        case "hard_bounce":
            return diagnose(words, hinted(BounceClass.INVALID_RECIPIENT))
        case "invalid_email" | "invalid":
            return hinted(BounceClass.INVALID_RECIPIENT)
        case "blocked":
            return hinted(BounceClass.POLICY)
        case "soft_bounce" | "deferred" | "error":
            found = diagnose(words, None)
            return Diagnosis(found.bounce_class, permanent=False, later=found.later)
        case _:
            return None
