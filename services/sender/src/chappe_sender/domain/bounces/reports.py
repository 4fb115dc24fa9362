"""Complaints that come by mail: the Abuse Reporting Format (RFC 5965, 6430, 6591) and Microsoft's.

Abuse, fraud and virus are complaints. A wish to leave is an unsubscribe; "not spam" and a failed
authentication are worth knowing and nothing more.
"""

from typing import Final

from chappe_sender.domain.bounces import mime
from chappe_sender.domain.bounces.events import Kind, ProviderEvent
from chappe_sender.domain.bounces.letters import Original, address, one_line, report_address
from chappe_sender.domain.bounces.mime import Part

REPORT: Final = "message/feedback-report"

FEEDBACK: Final = {
    "abuse": Kind.COMPLAINED,
    "fraud": Kind.COMPLAINED,
    "virus": Kind.COMPLAINED,
    "opt-out": Kind.UNSUBSCRIBED,
    "opt-out-list": Kind.UNSUBSCRIBED,
    "unsubscribe": Kind.UNSUBSCRIBED,
}
"""By ``Feedback-Type``; the others are ``other``."""

_MICROSOFT: Final = ("x-hmxmroriginalrecipient", "x-original-recipient")


def events(part: Part, original: Original) -> list[ProviderEvent]:
    """One event for each recipient of a feedback report; none when there is no report."""
    report = next((each for each in part.own() if each.kind == REPORT), None)
    if report is None:
        return _microsoft(part, original)
    encoding = report.get("content-transfer-encoding").strip().lower()
    fields = mime.headers(mime.decoded(report.body, encoding).lstrip(b"\n"))
    first = dict(reversed(fields))
    word = first.get("feedback-type", "").strip().lower()
    named = [
        found
        for name, value in fields
        if name in {"original-rcpt-to", "removal-recipient", "final-recipient"}
        and (found := report_address(value))
    ]
    hidden = _hidden(part)
    everyone = list(dict.fromkeys(named)) or [hidden or original.to]
    at = mime.date(first.get("arrival-date", "")) or mime.date(first.get("received-date", ""))
    return [
        ProviderEvent(
            kind=FEEDBACK.get(word, Kind.OTHER),
            recipient=recipient,
            reason=one_line(word),
            provider_message_id=original.message_id,
            occurred_at=at,
            message=original.message,
        )
        for recipient in everyone
    ]


def _microsoft(part: Part, original: Original) -> list[ProviderEvent]:
    hidden = _hidden(part)
    subject = part.get("subject").lower()
    if hidden is None or not subject.startswith(("complaint about message from", "junk report")):
        return []
    return [
        ProviderEvent(
            kind=Kind.COMPLAINED,
            recipient=hidden,
            reason="abuse",
            provider_message_id=original.message_id,
            message=original.message,
        )
    ]


def _hidden(part: Part) -> str | None:
    for each in part.walk():
        for name in _MICROSOFT:
            if found := address(each.get(name)):
                return found
    return None
