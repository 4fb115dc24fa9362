"""``/v1/*``: the Segment HTTP API. Lenient, unless ``X-Strict-Mode`` asks to hear what is wrong."""

from dataclasses import dataclass, field
from typing import Any, Final

from chappe.broker import RecordTooLarge
from chappe.clock import Clock, monotonic
from chappe_ingest import metrics
from chappe_ingest.application.inlet import Delivered, Inlet, LogAway
from chappe_ingest.application.source_table import SourceTable
from chappe_ingest.application.tally import Tally
from chappe_ingest.domain import marks, rates, verify
from chappe_ingest.domain.batches import (
    BATCH_MAX_BYTES,
    CALL_MAX_BYTES,
    ITEMS_MAX,
    Batch,
    Item,
    NotABatch,
    single,
    split,
)
from chappe_ingest.domain.rates import Buckets
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import SEGMENT, segment
from chappe_ingest.domain.strictness import faults
from chappe_ingest.entrypoints.asgi import (
    Refuse,
    Reply,
    Request,
    inflated,
    media_type,
    method_not_allowed,
    problem,
    slow_down,
    too_large,
    try_again,
)

BATCH: Final = "batch"
CALLS: Final = frozenset({*segment.CALLS, BATCH})
_JSON = (b"content-type", b"application/json")
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")
PREFLIGHT: Final = Reply(
    204,
    headers=(
        _ANY_ORIGIN,
        (b"access-control-allow-methods", b"POST, OPTIONS"),
        (b"access-control-allow-headers", b"authorization, content-type, x-strict-mode"),
        (b"access-control-max-age", b"86400"),
        (b"allow", b"POST, OPTIONS"),
    ),
)
_SUCCESS = b'{"success":true}'
TAKEN: Final = Reply(200, _SUCCESS, (_JSON,))
TAKEN_FROM_BROWSER: Final = Reply(200, _SUCCESS, (_JSON, _ANY_ORIGIN))
_ACCEPTED = metrics.DELIVERIES.labels(SEGMENT, "accepted")


@dataclass(frozen=True, slots=True)
class _Parcel:
    """The calls of one request, however they came."""

    items: tuple[Item, ...]
    write_key: str | None = None
    wrong: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


@dataclass(frozen=True, slots=True)
class Limits:
    """Who may send how much."""

    sources: Buckets = field(default_factory=lambda: Buckets(rates.SOURCE))
    public_keys: Buckets = field(default_factory=lambda: Buckets(rates.PUBLIC_KEY))
    visitors: Buckets = field(default_factory=lambda: Buckets(rates.VISITOR))


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The address of every SDK."""

    sources: SourceTable
    inlet: Inlet
    tally: Tally
    business: Clock
    limits: Limits = field(default_factory=Limits)

    async def __call__(self, request: Request, call: str) -> Reply:
        if call not in CALLS:
            return problem(404, f"no call of this API; those are {', '.join(sorted(CALLS))}")
        if request.method == "OPTIONS":
            return PREFLIGHT
        if request.method != "POST":
            return method_not_allowed("POST", "OPTIONS")
        body = await _body(request, BATCH_MAX_BYTES if call == BATCH else CALL_MAX_BYTES)
        parcel = _unpacked(call, body)
        keys = verify.write_keys(request.headers, parcel.write_key)
        source = await self.sources.by_write_key(keys)
        if source is None:
            metrics.DELIVERIES.labels(SEGMENT, "401").inc()
            return _refused(401, "the write key is not known here")
        if source.state is SourceState.DISABLED:
            metrics.DELIVERIES.labels(SEGMENT, "403").inc()
            return _refused(403, "this source is disabled")
        wait = self._wait(source, request, len(parcel.items))
        if wait:
            metrics.DELIVERIES.labels(SEGMENT, "too_many").inc()
            return slow_down(wait)
        if _is_strict(request) and (wrong := _wrong(call, body, parcel)):
            self.tally.refused(source.id, self.business.now(), wrong[0]["what"])
            return _refused(400, "the call cannot be used; see errors", wrong)
        return await self._keep(source, call, parcel)

    def _wait(self, source: Source, request: Request, count: int) -> float:
        """Seconds until this may come again; a browser's key is narrower, and by visitor."""
        now = monotonic()
        if not source.public:
            return self.limits.sources.take(source.id, count, now)
        visitor = f"{source.id} {request.client}"
        wait = self.limits.visitors.take(visitor, count, now)
        return wait or self.limits.public_keys.take(source.id, count, now)

    async def _keep(self, source: Source, call: str, parcel: _Parcel) -> Reply:
        headers = {} if call == BATCH else {segment.CALL_HEADER: call}
        if source.state is SourceState.PAUSED:
            headers[marks.PAUSED] = "1"
        deliveries = [
            Delivered(headers=headers, body=item.body, entity=item.entity, verified=True)
            for item in parcel.items
        ]
        try:
            if deliveries:
                await self.inlet.take(source, deliveries)
        except LogAway:
            metrics.DELIVERIES.labels(SEGMENT, "log_away").inc()
            return try_again()
        except RecordTooLarge:
            return too_large(BATCH_MAX_BYTES)
        self.tally.accepted(source.id, self.business.now(), len(deliveries))
        _ACCEPTED.inc()
        return TAKEN_FROM_BROWSER if source.public else TAKEN


def _refused(status: int, detail: str, errors: list[dict[str, str]] | None = None) -> Reply:
    """RudderStack's SDK wants ``code`` and ``message``, and fails on an answer without them."""
    more = {"code": str(status), "message": detail}
    return problem(status, detail, errors=errors, more=more)


async def _body(request: Request, max_bytes: int) -> bytes:
    kind = media_type(request)
    if kind and kind not in {"application/json", "text/plain"} and not kind.endswith("+json"):
        raise Refuse(problem(415, "send application/json", close=True))
    encoding = request.header("content-encoding").strip().lower()
    if encoding not in {"", "identity", "gzip"}:
        raise Refuse(problem(415, "of compressions only gzip is taken here", close=True))
    body = await request.body(max_bytes)
    return inflated(body, max_bytes) if encoding == "gzip" else body


def _unpacked(call: str, body: bytes) -> _Parcel:
    """The items; a batch that is none is kept whole, and the resolver says why it is unusable."""
    if call != BATCH:
        item, key = single(body)
        return _Parcel((item,), key)
    try:
        batch: Batch = split(body)
    except NotABatch as error:
        if error.too_many:
            raise Refuse(problem(413, f"at most {ITEMS_MAX} items in a batch")) from None
        _, key = single(body)
        return _Parcel((Item(body, None),), key, [{"where": "body", "what": str(error)}])
    return _Parcel(batch.items, batch.write_key)


def _is_strict(request: Request) -> bool:
    return request.header("x-strict-mode").strip().lower() in {"1", "true", "yes"}


def _wrong(call: str, body: bytes, parcel: _Parcel) -> list[dict[str, str]]:
    if call != BATCH:
        return faults(call, body, "")
    if parcel.wrong:
        return parcel.wrong
    found: list[dict[str, Any]] = []
    for at, item in enumerate(parcel.items):
        found += faults(None, item.body, f"batch[{at}].")
        if len(found) >= WRONG_MAX:
            break
    return found[:WRONG_MAX]


WRONG_MAX: Final = 20
