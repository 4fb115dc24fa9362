"""Verify and normalise one delivery, storing nothing: what ``chappe sources try`` prints."""

import datetime as dt
from typing import Any, Final

import msgspec

from chappe.clock import Clock, WallClock
from chappe.events import Event, RawRecord, encode_event, rename
from chappe.ids import DEFAULT_WORKSPACE, SourceId
from chappe_ingest.domain import consent, verify
from chappe_ingest.domain.batches import Batch, NotABatch, split
from chappe_ingest.domain.identifiers import OBJECT
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.reading import Json, Unreadable, parse
from chappe_ingest.domain.sources import KINDS, NORMALISERS, SEGMENT, segment

TRY_SOURCE: Final = SourceId("src_try")


def try_source(
    kind: str,
    body: bytes,
    headers: dict[str, str],
    secret: str | None,
    *,
    clock: Clock | None = None,
) -> Json:
    """``{"verified", "reason", "answer", "events", "warnings"}`` for one delivery of ``kind``.

    Events come whether verified or not; links to foreign hosts are kept, with a warning. For
    ``segment`` the call is the body's ``type``. Raises ``ValueError`` on an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no source of the kind {kind}; those that exist are {', '.join(KINDS)}")
    now = (clock or WallClock()).now()
    verdict = _verdict(kind, body, headers, secret)
    events: list[Any] = []
    warnings: list[str] = []
    try:
        for each in _deliveries(kind, body):
            raw = _raw(kind, each, headers, now=now, verified=verdict.verified)
            found = NORMALISERS[kind](raw, Links(keep=True))
            events += [msgspec.json.decode(encode_event(_shown(f.event))) for f in found.facts]
            warnings += found.warnings
    except (Unreadable, NotABatch) as error:
        warnings.append(f"goes to the dead letters: {error}")
    answer = 200 if verdict.verified or secret is None else 401
    return {
        "verified": verdict.verified,
        "reason": verdict.reason,
        "answer": answer,
        "events": events,
        "warnings": warnings,
    }


def _verdict(kind: str, body: bytes, headers: dict[str, str], secret: str | None) -> verify.Verdict:
    if secret is None:
        return verify.Verdict(False, "no --secret was given, so nothing was checked")
    given = [(name.lower(), value) for name, value in headers.items()]
    if kind != SEGMENT:
        return verify.shopify(body, given, [secret])
    keys = verify.write_keys(given, _body_key(body))
    if secret in keys:
        return verify.VERIFIED
    return verify.Verdict(False, "the write key is not the source's" if keys else "no write key")


def _body_key(body: bytes) -> str | None:
    try:
        key = parse(body).get("writeKey")
    except Unreadable:
        return None
    return key if isinstance(key, str) else None


def _deliveries(kind: str, body: bytes) -> list[bytes]:
    if kind != SEGMENT:
        return [body]
    document = parse(body)
    if document.get("type") is None and "batch" in document:
        batch: Batch = split(body)
        return [each.body for each in batch.items]
    return [body]


def _raw(
    kind: str, body: bytes, headers: dict[str, str], *, now: dt.datetime, verified: bool
) -> RawRecord:
    kept = {name.lower(): value for name, value in headers.items()}
    kept.pop(segment.CALL_HEADER, None)
    return RawRecord(
        id="raw_try",
        workspace=DEFAULT_WORKSPACE,
        source=TRY_SOURCE,
        kind=kind,
        namespace="" if kind == SEGMENT else kind,
        received_at=now,
        received_wall=now,
        headers=kept,
        body=body,
        verified=verified,
    )


def _shown(event: Event) -> Event:
    """As the resolver would publish it to a contact nobody knows yet."""
    return rename(
        event,
        identifiers=tuple(each for each in event.identifiers if each.type != OBJECT),
        traits=consent.dated(event.traits, event.source or "", event.occurred_at, {}),
    )
