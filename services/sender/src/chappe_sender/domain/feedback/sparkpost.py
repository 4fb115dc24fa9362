"""SparkPost (Bird): batches of ``{"msys": {class: event}}``, not signed; Basic or Bearer.

"Webhooks: event reference"; "Bounce classification codes". An empty ``{}`` is its ping.
"""

import datetime as dt
from typing import Final

from chappe_sender.domain.bounces import BounceClass, Diagnosis, Kind, ProviderEvent
from chappe_sender.domain.bounces.reports import FEEDBACK
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

_KINDS: Final = {
    "injection": Kind.ACCEPTED,
    "delivery": Kind.DELIVERED,
    "delay": Kind.DEFERRED,
    "bounce": Kind.BOUNCED,
    "out_of_band": Kind.BOUNCED,
    "policy_rejection": Kind.REJECTED,
    "generation_failure": Kind.REJECTED,
    "generation_rejection": Kind.REJECTED,
    "spam_complaint": Kind.COMPLAINED,
    "open": Kind.OPENED,
    "initial_open": Kind.OPENED,
    "amp_open": Kind.OPENED,
    "amp_initial_open": Kind.OPENED,
    "click": Kind.CLICKED,
    "amp_click": Kind.CLICKED,
    "list_unsubscribe": Kind.UNSUBSCRIBED,
    "link_unsubscribe": Kind.UNSUBSCRIBED,
}
_SOFT: Final = hinted(BounceClass.UNKNOWN, dead=False)

_CODES: Final = {
    "1": _SOFT,
    "10": hinted(BounceClass.INVALID_RECIPIENT),
    "20": _SOFT,
    "21": hinted(BounceClass.CONNECTION, dead=False),
    "22": hinted(BounceClass.MAILBOX_FULL),
    "23": hinted(BounceClass.TOO_LARGE),
    "24": hinted(BounceClass.EXPIRED),
    "25": hinted(BounceClass.POLICY),
    "26": hinted(BounceClass.POLICY),
    "30": hinted(BounceClass.INVALID_RECIPIENT),
    "40": _SOFT,
    "50": hinted(BounceClass.REPUTATION),
    "51": hinted(BounceClass.SPAM),
    "52": hinted(BounceClass.SPAM),
    "53": hinted(BounceClass.CONTENT),
    "54": hinted(BounceClass.RELAYING),
    "70": hinted(BounceClass.SERVER_ERROR, dead=False),
}
_NO_BOUNCES: Final = {
    "60": Kind.AUTOREPLY,
    "80": Kind.SUBSCRIBED,
    "90": Kind.UNSUBSCRIBED,
    "100": Kind.AUTOREPLY,
}
_HARD: Final = ("10", "30")


def verify(body: bytes, headers: Headers, secret: str | None, now: dt.datetime | None) -> Verdict:
    """``secret`` is ``user:password``, or a token."""
    del body, now
    return shared(headers, secret)


def read(body: bytes, headers: Headers) -> list[ProviderEvent]:
    """One event for each object of the batch."""
    del headers
    found: list[ProviderEvent] = []
    for each in objects(parse(body)):
        for inner in obj(each, "msys").values():
            data = obj(inner)
            if text(data, "type"):
                found.append(_read(data))
    return found


def _read(data: Json) -> ProviderEvent:
    name = text(data, "type").lower()
    code = text(data, "bounce_class")
    kind = _kind(name, code, data)
    words = text(data, "raw_reason", "reason")
    failed = kind in {Kind.BOUNCED, Kind.DEFERRED, Kind.REJECTED}
    return event(
        kind,
        recipient=mailbox(data, "raw_rcpt_to", "rcpt_to"),
        at=moment(data, "timestamp", "event_timestamp"),
        provider_message_id=text(data, "transmission_id", "message_id"),
        reason=words or text(data, "fbtype") or (name if kind is Kind.OTHER else ""),
        found=_diagnosis(code, words, text(data, "error_code")) if failed else None,
        message=own_message(data.get("rcpt_meta")),
        url=text(data, "target_link_url"),
        user_agent=text(data, "user_agent"),
        machine=flag(data, "is_prefetched"),
        dedupe=("sparkpost", text(data, "event_id")) if text(data, "event_id") else (),
    )


def _kind(name: str, code: str, data: Json) -> Kind:
    kind = _KINDS.get(name, Kind.OTHER)
    if kind is Kind.BOUNCED:
        return _NO_BOUNCES.get(code, kind)
    if name == "spam_complaint":
        word = text(data, "fbtype").lower()
        return FEEDBACK.get(word, Kind.OTHER) if word else kind
    return kind


def _diagnosis(code: str, words: str, error: str) -> Diagnosis:
    """The receiver's words; its own category where they say nothing, or where it is certain."""
    hint = _CODES.get(code)
    if code in {"25", "26"}:
        return hinted(BounceClass.POLICY)
    found = diagnose(words if words[:1].isdigit() else f"{error} {words}", hint)
    if hint is not None and code not in _HARD and found.permanent:
        return Diagnosis(found.bounce_class, permanent=code == "21", later=False)
    return found
