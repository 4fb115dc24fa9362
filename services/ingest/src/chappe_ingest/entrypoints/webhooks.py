"""``/in/{source_id}``: storefront webhooks. Verify on the raw bytes, keep, answer 200, empty."""

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Final

import structlog

from chappe.broker import RecordTooLarge
from chappe.clock import Clock, monotonic
from chappe.ids import SourceId, WorkspaceId
from chappe_ingest import metrics
from chappe_ingest.application.inlet import Delivered, Inlet, LogAway
from chappe_ingest.application.key_sets import KeySets
from chappe_ingest.application.quarantine import Quarantine
from chappe_ingest.application.source_table import SourceTable
from chappe_ingest.application.tally import Tally
from chappe_ingest.domain import marks, rates, verify
from chappe_ingest.domain.kind import Kind
from chappe_ingest.domain.source import Source, SourceState, set_secret_command
from chappe_ingest.domain.sources import REGISTRY
from chappe_ingest.domain.taking import deliveries
from chappe_ingest.entrypoints.asgi import (
    HEADERS_MAX_CHARS,
    Refuse,
    Reply,
    Request,
    media_type,
    method_not_allowed,
    problem,
    too_large,
    try_again,
)

BODY_MAX_BYTES: Final = 4 * 1024 * 1024
ACCEPTED: Final = Reply(200)

_SOURCE_ID = re.compile(r"src_[A-Za-z0-9_-]{8,64}")

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """The address of every storefront."""

    sources: SourceTable
    inlet: Inlet
    tally: Tally
    quarantine: Quarantine
    keys: KeySets | None = None
    wall: Clock
    business: Clock
    buckets: rates.Buckets = field(default_factory=lambda: rates.Buckets(rates.SOURCE))
    unchecked: rates.Buckets = field(default_factory=lambda: rates.Buckets(rates.UNCHECKED))

    async def __call__(self, request: Request, source_id: str) -> Reply:
        source = await self.sources.by_id(source_id)
        kind = REGISTRY.get(source.kind) if source is not None else None
        if source is None and self.sources.is_away and _SOURCE_ID.fullmatch(source_id):
            return await self._keep_unchecked(_nobody(source_id, self.business.now()), request)
        if source is None or kind is None or not kind.at_door:
            return self._counted("unknown", 404, "there is no such source")
        if source.state is SourceState.DELETED:
            return self._counted(kind.name, 410, "this source was deleted")
        if source.state is SourceState.DISABLED:
            return self._counted(kind.name, 403, "this source is disabled")
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            return _greeted(kind, request)
        if request.method != "POST":
            return method_not_allowed("POST")
        _check_shape(kind, request)
        if self.buckets.take(source.id, 1, monotonic()):
            self._count(kind.name, "too_many")
            return try_again()
        body = await request.body(BODY_MAX_BYTES)
        if source.state is SourceState.AWAITING_SECRET:
            source = await self._secret_by_now(source)
            if source.state is SourceState.AWAITING_SECRET:
                return await self._hold(source, request, body)
        verdict = await self._verified(source, kind, request, body)
        unsigned = kind.unsigned is not None and kind.unsigned(body, request.headers)
        if not verdict.verified and not unsigned and self.sources.is_away:
            return await self._keep_unchecked(source, request, body)
        if not verdict.verified and not unsigned:
            because = verdict.reason or "not verified"
            self.tally.refused(source.id, self.business.now(), because)
            return self._counted(source.kind, 401, because)
        return await self._keep(source, kind, request, body, verified=verdict.verified)

    async def _secret_by_now(self, source: Source) -> Source:
        """Another process may have been told it a moment ago."""
        await self.sources.refresh_if_old()
        return self.sources.again(source.id) or source

    async def _hold(self, source: Source, request: Request, body: bytes) -> Reply:
        """Into the quarantine: the vendor's first calls come before we know its secret."""
        try:
            kept = await self.quarantine.keep(source, request.headers, body)
        except Exception as error:  # noqa: BLE001 - whatever the database says, the sender comes again
            logger.warning("A delivery could not be held", source=source.id, error=repr(error))
            kept = False
        waits = f"held until the secret is set: {set_secret_command(source.name)}"
        full = "the quarantine of a source without a secret is full: set the secret"
        self.tally.refused(source.id, self.business.now(), waits if kept else full)
        self._count(source.kind, "held" if kept else "quarantine_full")
        return ACCEPTED if kept else try_again()

    async def _verified(
        self, source: Source, kind: Kind, request: Request, body: bytes
    ) -> verify.Verdict:
        """Once more with fresh secrets before the answer is no: they may have been rotated."""
        verdict = self._verdict(source, kind, request, body)
        if not verdict.verified and await self.sources.refresh_if_old():
            source = self.sources.again(source.id) or source
            verdict = self._verdict(source, kind, request, body)
        if not verdict.verified and self.keys is not None and await self.keys.renew(source):
            source = self.sources.again(source.id) or source
            verdict = self._verdict(source, kind, request, body)
        return verdict

    def _verdict(self, source: Source, kind: Kind, request: Request, body: bytes) -> verify.Verdict:
        now = self.wall.now()
        return kind.verifies(source.config)(body, request.headers, source.live_secrets(now), now)

    async def _keep(
        self, source: Source, kind: Kind, request: Request, body: bytes, *, verified: bool
    ) -> Reply:
        delivered: list[Delivered] = []
        for part in deliveries(kind, source.config, body, request.headers):
            if source.state is SourceState.PAUSED:
                part.headers[marks.PAUSED] = "1"
            delivered.append(
                Delivered(
                    headers=part.headers, body=part.body, entity=part.entity, verified=verified
                )
            )
        try:
            await self.inlet.take(source, delivered)
        except LogAway:
            self._count(source.kind, "log_away")
            return try_again()
        except RecordTooLarge:
            self._count(source.kind, "too_large")
            return too_large(BODY_MAX_BYTES)
        self.tally.accepted(source.id, self.business.now(), len(delivered), verified=verified)
        self._count(source.kind, "accepted")
        return ACCEPTED

    async def _keep_unchecked(
        self, source: Source, request: Request, body: bytes | None = None
    ) -> Reply:
        """The source may be new, or its secret, and the database cannot say: the resolver will."""
        if request.method != "POST":
            return Reply(200, headers=((b"allow", b"POST, OPTIONS"),))
        if sum(len(n) + len(v) for n, v in request.headers) > HEADERS_MAX_CHARS:
            raise Refuse(problem(431, "too many headers", close=True))
        if self.unchecked.take("", 1, monotonic()):
            return try_again()
        if body is None:
            body = await request.body(BODY_MAX_BYTES)
        headers = {**dict(reversed(request.headers)), marks.CHECK: "1"}
        delivered = Delivered(headers=headers, body=body, entity=None, verified=None)
        try:
            await self.inlet.take(source, [delivered])
        except (LogAway, RecordTooLarge):
            self._count("unknown", "log_away")
            return try_again()
        self._count("unknown", "unchecked")
        return ACCEPTED

    def _counted(self, kind: str, status: int, detail: str) -> Reply:
        self._count(kind, str(status))
        return problem(status, detail)

    def _count(self, kind: str, outcome: str) -> None:
        metrics.DELIVERIES.labels(kind, outcome).inc()


def _nobody(source_id: str, at: dt.datetime) -> Source:
    """A source that we cannot look up now."""
    return Source(
        id=SourceId(source_id),
        workspace=WorkspaceId(""),
        kind="",
        name="",
        namespace="",
        state=SourceState.ACTIVE,
        created_at=at,
    )


def _greeted(kind: Kind, request: Request) -> Reply:
    """A vendor looks whether somebody is there, some with a challenge to echo."""
    if kind.handshake is not None:
        found = kind.handshake(request.method, request.headers, request.query)
        if found is not None:
            status, body, headers = found
            pairs = tuple((n.encode("latin-1"), v.encode("latin-1")) for n, v in headers.items())
            return Reply(status, body, pairs)
    return Reply(200, headers=((b"allow", b"POST, OPTIONS"),))


def _check_shape(kind: Kind, request: Request) -> None:
    if sum(len(name) + len(value) for name, value in request.headers) > HEADERS_MAX_CHARS:
        detail = f"at most {HEADERS_MAX_CHARS} characters of headers are taken"
        raise Refuse(problem(431, detail, close=True))
    if not kind.takes(media_type(request)):
        raise Refuse(problem(415, "send application/json", close=True))
    if request.header("content-encoding").strip().lower() not in {"", "identity"}:
        raise Refuse(problem(415, "a compressed body is not taken here", close=True))
