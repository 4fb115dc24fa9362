"""Read a mail that came to the bounce address, whatever it turns out to be."""

import dataclasses
import hashlib
from typing import Any, Final

from chappe_sender.domain.bounces import dsn, guessed, letters, mime, prose, replies, reports
from chappe_sender.domain.bounces.classify import classify
from chappe_sender.domain.bounces.events import Kind, ProviderEvent, printed
from chappe_sender.domain.bounces.letters import Original
from chappe_sender.domain.bounces.mime import Part

RECEIPTS: Final = ("message/disposition-notification", "message/global-disposition-notification")


def read(raw: bytes) -> list[ProviderEvent]:
    """What a mail tells about messages of ours, one event for each recipient. Never raises.

    Reports first (RFC 3464, RFC 5965), then what robots write without them. A mail that tells
    nothing (somebody writes to us) gives no event.
    """
    part = mime.parse(raw)
    original = letters.original(part)
    found = _events(part, original)
    if not any(event.recipient for event in found) and _speaks_of_failure(part, found):
        ours = frozenset(each.lower() for each in letters.addresses(part.get("to")))
        found = guessed.events(raw, letters.readable(part), original, ours=ours) or found
    heard = mime.date(part.get("date"))
    told_by = letters.bare(part.get("message-id")) or hashlib.sha256(raw).hexdigest()
    return [
        dataclasses.replace(
            event,
            occurred_at=event.occurred_at or heard,
            dedupe=f"mail:{told_by}:{event.kind.value}:{event.recipient or ''}",
        )
        for event in found
    ]


def answer(raw: bytes) -> ProviderEvent | None:
    """A human's answer, or None for whatever a robot or a list may have written. Never raises.

    To be asked of a mail that ``read`` finds nothing in.
    """
    part = mime.parse(raw)
    if not replies.from_somebody(part):
        return None
    told_by = letters.bare(part.get("message-id")) or hashlib.sha256(raw).hexdigest()
    event = _from(part, Kind.REPLIED, None, letters.original(part))
    return dataclasses.replace(
        event,
        occurred_at=mime.date(part.get("date")),
        dedupe=f"mail:{told_by}:{event.kind.value}:{event.recipient or ''}",
    )


def _speaks_of_failure(part: Part, found: list[ProviderEvent]) -> bool:
    """Somebody's server wrote it, nobody's absence, and we found nobody in it ourselves."""
    if any(event.kind not in {Kind.BOUNCED, Kind.DEFERRED} for event in found):
        return False
    likely = replies.from_a_daemon(part) or replies.says_returned(part)
    return likely and not (replies.is_autoreply(part) and not found)


def _events(part: Part, original: Original) -> list[ProviderEvent]:
    if complaints := reports.events(part, original):
        return complaints
    carried = _carried_report(part)
    if carried is not None:
        return _events(carried, letters.original(carried))
    text = letters.readable(part)
    if told := dsn.events(part, text, original):
        return told
    if receipt := next((each for each in part.own() if each.kind in RECEIPTS), None):
        return [_receipt(part, receipt, text, original)]
    daemon, returned = replies.from_a_daemon(part), replies.says_returned(part)
    away = replies.speaks_of_absence(part)
    likely = daemon or (returned and replies.from_nobody(part))
    if likely and not away and (told := _returned(part, text, original)):
        return told
    if replies.is_autoreply(part):
        return [_from(part, Kind.AUTOREPLY, letters.one_line(part.get("subject")), original)]
    if replies.wants_to_leave(part):
        return [_from(part, Kind.UNSUBSCRIBED, None, original)]
    return _returned(part, text, original) if returned else []


def _carried_report(part: Part) -> Part | None:
    """A report that a gateway wrapped once more."""
    if not replies.from_a_daemon(part) or any(each.kind in dsn.KINDS for each in part.own()):
        return None
    for each in part.own():
        if each.kind == "message/rfc822" and each.parts:
            inner = each.parts[0]
            if inner.kind == "multipart/report" and replies.from_a_daemon(inner):
                return inner
    return None


def _receipt(part: Part, receipt: Part, text: str, original: Original) -> ProviderEvent:
    """A disposition notification (RFC 8098): read, or thrown away by a filter (RFC 5429)."""
    fields = dict(mime.headers(receipt.body.lstrip(b"\n")))
    said = fields.get("disposition", "").lower()
    event = dataclasses.replace(
        _from(part, Kind.OTHER, letters.one_line(said), original),
        recipient=letters.report_address(fields.get("final-recipient", ""))
        or letters.address(part.get("from")),
    )
    if "automatic-action" not in said or "deleted" not in said:
        return event
    found = classify(text, failed=True)
    return dataclasses.replace(
        event,
        kind=Kind.BOUNCED,
        bounce_class=found.bounce_class,
        permanent=found.permanent,
        reason=letters.one_line(text),
    )


def _returned(part: Part, text: str, original: Original) -> list[ProviderEvent]:
    within = dsn.in_text(text)
    if within is not None and (told := dsn.events(within, text, original)):
        return told
    return prose.events(part, text, original)


def _from(part: Part, kind: Kind, reason: str | None, original: Original) -> ProviderEvent:
    answered = part.get("in-reply-to") or part.get("references").split(" ")[0]
    return ProviderEvent(
        kind=kind,
        recipient=letters.address(part.get("from")) or letters.report_address(part.get("from")),
        reason=reason,
        provider_message_id=original.message_id or letters.bare(answered),
        message=original.message,
    )


def try_bounce(raw: bytes) -> dict[str, Any]:
    """What one returned mail says, storing nothing: ``{"verified", "reason", "events"}``.

    A mail proves nothing by itself: only a token of ours in the address it came to does.
    """
    return {
        "verified": False,
        "reason": "a mail is not signed; the token in the address it came to is",
        "events": [printed(event) for event in read(raw)],
    }
