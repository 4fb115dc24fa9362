"""``/in/{source_id}``: storefront webhooks. Verify on the raw bytes, keep, answer 200, empty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chappe.broker import RecordTooLarge
from chappe.clock import Clock
from chappe_ingest import metrics
from chappe_ingest.application.inlet import Delivered, Inlet, LogAway
from chappe_ingest.application.resolver import PAUSED_HEADER
from chappe_ingest.application.source_table import SourceTable
from chappe_ingest.application.tally import Tally
from chappe_ingest.domain import verify
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import SHOPIFY, shopify
from chappe_ingest.entrypoints.asgi import (
    HEADER_MAX_CHARS,
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


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the door needs to know of a kind of storefront."""

    verify: Callable[[bytes, verify.Headers, Sequence[str]], verify.Verdict]
    headers: frozenset[str]
    entity: Callable[[dict[str, str], bytes], str | None]


def _shopify_entity(headers: dict[str, str], body: bytes) -> str | None:
    topic = headers.get("x-shopify-topic") or headers.get("shopify-topic") or ""
    return shopify.entity(topic, body)


_KINDS: Final = {SHOPIFY: _Kind(verify.shopify, shopify.HEADERS, _shopify_entity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """The address of every storefront."""

    sources: SourceTable
    inlet: Inlet
    tally: Tally
    wall: Clock
    business: Clock

    async def __call__(self, request: Request, source_id: str) -> Reply:
        source = await self.sources.by_id(source_id)
        kind = _KINDS.get(source.kind) if source is not None else None
        if source is None or kind is None:
            return self._counted("unknown", 404, "there is no such source")
        if source.state is SourceState.DELETED:
            return self._counted(source.kind, 410, "this source was deleted")
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            return Reply(200, headers=((b"allow", b"POST, OPTIONS"),))
        if request.method != "POST":
            return method_not_allowed("POST")
        _check_shape(request)
        body = await request.body(BODY_MAX_BYTES)
        verdict = await self._verified(source, kind, request, body)
        if not verdict.verified:
            because = verdict.reason or "not verified"
            self.tally.refused(source.id, self.business.now(), because)
            return self._counted(source.kind, 401, because)
        return await self._keep(source, kind, request, body)

    async def _verified(
        self, source: Source, kind: _Kind, request: Request, body: bytes
    ) -> verify.Verdict:
        """Once more with fresh secrets before the answer is no: they may have been rotated."""
        secrets = source.live_secrets(self.wall.now())
        verdict = kind.verify(body, request.headers, secrets)
        if verdict.verified or not await self.sources.refresh_if_old():
            return verdict
        again = self.sources.again(source.id)
        if again is None:
            return verdict
        return kind.verify(body, request.headers, again.live_secrets(self.wall.now()))

    async def _keep(self, source: Source, kind: _Kind, request: Request, body: bytes) -> Reply:
        headers = _kept_headers(request, kind.headers)
        if source.state is SourceState.PAUSED:
            headers[PAUSED_HEADER] = "1"
        entity = kind.entity(headers, body)
        delivered = Delivered(headers=headers, body=body, entity=entity, verified=True)
        try:
            await self.inlet.take(source, [delivered])
        except LogAway:
            self._count(source.kind, "log_away")
            return try_again()
        except RecordTooLarge:
            self._count(source.kind, "too_large")
            return too_large(BODY_MAX_BYTES)
        self.tally.accepted(source.id, self.business.now())
        self._count(source.kind, "accepted")
        return ACCEPTED

    def _counted(self, kind: str, status: int, detail: str) -> Reply:
        self._count(kind, str(status))
        return problem(status, detail)

    def _count(self, kind: str, outcome: str) -> None:
        metrics.DELIVERIES.labels(kind, outcome).inc()


def _check_shape(request: Request) -> None:
    kind = media_type(request)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise Refuse(problem(415, "send application/json", close=True))
    if request.header("content-encoding").strip().lower() not in {"", "identity"}:
        raise Refuse(problem(415, "a compressed body is not taken here", close=True))


def _kept_headers(request: Request, wanted: frozenset[str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in request.headers:
        if name in wanted and name not in kept:
            kept[name] = value[:HEADER_MAX_CHARS]
    return kept
