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
from chappe_ingest.domain.kind import Config, Kind
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Hydration
from chappe_ingest.domain.reading import Json, Unreadable, parse
from chappe_ingest.domain.sources import KINDS, REGISTRY, SEGMENT, segment
from chappe_ingest.domain.taking import Part, deliveries

TRY_SOURCE: Final = SourceId("src_try")
ASKED_MAX_CHARS: Final = 500


def try_source(
    kind: str,
    body: bytes,
    headers: dict[str, str],
    secret: str | None,
    *,
    clock: Clock | None = None,
    config: Config | None = None,
) -> Json:
    """``{"verified", "reason", "answer", "events", "warnings"}`` for one delivery of ``kind``.

    Events come whether verified or not; links to foreign hosts are kept, with a warning. For
    ``segment`` the call is the body's ``type``. Raises ``ValueError`` on an unknown kind.
    """
    known = REGISTRY.get(kind)
    if known is None:
        raise ValueError(f"no source of the kind {kind}; those that exist are {', '.join(KINDS)}")
    now = (clock or WallClock()).now()
    given = [(name.lower(), value) for name, value in headers.items()]
    mapping: Config = config or {}
    verdict = _verdict(known, body, given, secret, mapping, now)
    unsigned = known.unsigned is not None and known.unsigned(body, given)
    events: list[Any] = []
    warnings: list[str] = []
    links = Links(vendor=known.vendor_hosts, keep=True)
    try:
        for part in _parts(known, mapping, body, given):
            raw = _raw(kind, part.body, part.headers, now=now, verified=verdict.verified)
            found = known.understands(mapping)(raw, links)
            events += [msgspec.json.decode(encode_event(_shown(f.event))) for f in found.facts]
            warnings += found.warnings
            if found.hydration is not None:
                warnings.append(_would_ask(found.hydration))
    except (Unreadable, NotABatch) as error:
        warnings.append(f"goes to the dead letters: {error}")
    answer = 200 if verdict.verified or secret is None or unsigned else 401
    return {
        "verified": verdict.verified,
        "reason": verdict.reason,
        "answer": answer,
        "events": events,
        "warnings": warnings,
    }


def _would_ask(question: Hydration) -> str:
    said = f"POST {question.path} with {question.content}" if question.content else question.path
    return (
        f"with an API token the shop would be asked {said[:ASKED_MAX_CHARS]} first, and the events "
        "be made from its answer"
    )


def _verdict(
    kind: Kind,
    body: bytes,
    headers: verify.Headers,
    secret: str | None,
    config: Config,
    now: dt.datetime,
) -> verify.Verdict:
    if secret is None:
        return verify.Verdict(False, "no --secret was given, so nothing was checked")
    return kind.verifies(config)(body, headers, [secret], now)


def _parts(kind: Kind, config: Config, body: bytes, headers: verify.Headers) -> list[Part]:
    """As the door keeps them. Raises ``Unreadable``, ``NotABatch``."""
    if kind.name != SEGMENT:
        return deliveries(kind, config, body, headers)
    kept = {name: value for name, value in headers if name != segment.CALL_HEADER}
    document = parse(body)
    if document.get("type") is None and "batch" in document:
        batch: Batch = split(body)
        return [Part(kept, each.body, each.entity) for each in batch.items]
    return [Part(kept, body, None)]


def _raw(
    kind: str, body: bytes, headers: dict[str, str], *, now: dt.datetime, verified: bool
) -> RawRecord:
    return RawRecord(
        id="raw_try",
        workspace=DEFAULT_WORKSPACE,
        source=TRY_SOURCE,
        kind=kind,
        namespace="" if kind == SEGMENT else kind,
        received_at=now,
        received_wall=now,
        headers=headers,
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
