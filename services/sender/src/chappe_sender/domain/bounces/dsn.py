"""Delivery status notifications (RFC 3464, RFC 6533): what a server reports of each recipient."""

import re
from collections.abc import Iterator
from typing import Final

from chappe_sender.domain.bounces import mime
from chappe_sender.domain.bounces.classify import Diagnosis, classify
from chappe_sender.domain.bounces.codes import status
from chappe_sender.domain.bounces.events import BounceClass, Kind, ProviderEvent
from chappe_sender.domain.bounces.letters import (
    Original,
    address,
    is_robot,
    one_line,
    report_address,
)
from chappe_sender.domain.bounces.mime import Part

KINDS: Final = ("message/delivery-status", "message/global-delivery-status")
RECIPIENTS_MAX: Final = 100

_ACTIONS: Final = {
    "failed": Kind.BOUNCED,
    "failure": Kind.BOUNCED,
    "delayed": Kind.DEFERRED,
    "delivered": Kind.DELIVERED,
    "expanded": Kind.DELIVERED,
    "relayed": Kind.ACCEPTED,
}
_BY_DIGIT: Final = {2: Kind.DELIVERED, 4: Kind.DEFERRED, 5: Kind.BOUNCED}
_EXITS: Final = {
    "64": "command line usage error",
    "65": "data format error",
    "67": "user unknown",
    "68": "host unknown",
    "69": "service unavailable",
    "73": "cannot create output file",
    "75": "temporary failure",
    "77": "permission denied",
}
"""sysexits.h, for ``Diagnostic-Code: X-Unix; 67``."""

_FIELDS = re.compile(r"(?im)^[ \t>]*(?:final|original)-recipient[ \t]*:")
_TYPE = re.compile(r"\s*([\w-]{1,40})\s*;\s*(.*)", re.DOTALL)
_INDENT = re.compile(r"(?m)^[>]+[ ]?")


def events(part: Part, prose: str, original: Original) -> list[ProviderEvent]:
    """One event for each recipient that the report speaks of; none when there is no report.

    ``prose`` is the part for humans, asked where the fields say too little.
    """
    groups = list(_groups(part))
    common = {name: value for group in groups if not _is_recipient(group) for name, value in group}
    about = [dict(reversed(group)) for group in groups if _is_recipient(group)]
    fallback = address(part.get("x-failed-recipients")) or original.to
    return [_event(g, common, prose, original, fallback) for g in about[:RECIPIENTS_MAX]]


def in_text(text: str) -> Part | None:
    """The fields of a report that somebody put into the text itself."""
    match = _FIELDS.search(text)
    if match is None:
        return None
    start = max(text.rfind("\n\n", 0, match.start()), 0)
    body = _INDENT.sub("", text[start:]).strip().encode("utf-8", "replace")
    return Part([], KINDS[0], {}, body)


def _groups(part: Part) -> Iterator[list[tuple[str, str]]]:
    for each in part.own():
        if each.kind not in KINDS:
            continue
        encoding = each.get("content-transfer-encoding").strip().lower()
        body = mime.decoded(each.body, encoding).strip(b"\n")
        for group in re.split(rb"\n[ \t]*\n", body):
            yield mime.headers(group)


def _is_recipient(group: list[tuple[str, str]]) -> bool:
    return any(n in {"final-recipient", "original-recipient", "action", "status"} for n, _ in group)


def _event(
    group: dict[str, str],
    common: dict[str, str],
    prose: str,
    original: Original,
    fallback: str | None,
) -> ProviderEvent:
    stated = status(group.get("status", ""))
    kind = _kind(group.get("action", ""), stated)
    recipient, first = _recipients(group, fallback)
    reason = _diagnostic(group)
    found: Diagnosis | None = None
    if kind in {Kind.BOUNCED, Kind.DEFERRED}:
        found = _diagnosis(reason, group.get("status", ""), prose)
    at = mime.date(group.get("last-attempt-date", "")) or mime.date(common.get("arrival-date", ""))
    return ProviderEvent(
        kind=kind,
        recipient=recipient,
        bounce_class=found.bounce_class if found else None,
        reason=one_line(reason) or one_line(group.get("status", "")),
        permanent=kind is Kind.BOUNCED and found is not None and found.permanent,
        provider_message_id=original.message_id,
        occurred_at=at,
        message=original.message,
        original_recipient=first,
    )


def _kind(action: str, stated: tuple[int, str] | None) -> Kind:
    word = re.match(r"[a-z-]*", action.strip().lower())
    known = _ACTIONS.get(word[0]) if word else None
    return known or (_BY_DIGIT.get(stated[0], Kind.BOUNCED) if stated else Kind.BOUNCED)


def _recipients(group: dict[str, str], fallback: str | None) -> tuple[str | None, str | None]:
    first = report_address(group.get("original-recipient", ""))
    final = report_address(group.get("final-recipient", ""))
    if final is not None and is_robot(final) and first is not None:
        final = None
    actual = report_address(group.get("x-actual-recipient", ""))
    diagnosed = address(group.get("diagnostic-code", ""))
    return final or first or actual or diagnosed or fallback, first


def _diagnostic(group: dict[str, str]) -> str:
    value = group.get("diagnostic-code", "") or group.get("x-supplementary-info", "")
    match = _TYPE.fullmatch(value)
    if match is None:
        return value.strip()
    if match[1].lower() == "x-unix":
        code = match[2].strip()
        return _EXITS.get(code, code)
    return match[2].strip() if match[1].lower() != "http" else value.strip()


def _diagnosis(reason: str, field: str, prose: str) -> Diagnosis:
    found = classify(reason or field, field=field, failed=True)
    if found.bounce_class is not BounceClass.UNKNOWN or not prose:
        return found
    told = classify(f"{reason} {prose}", field=field, failed=True)
    return Diagnosis(told.bounce_class, told.permanent and not found.later, found.later)
