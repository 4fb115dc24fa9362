"""``/providers/{provider}/{endpoint}``: what mail providers tell us. Kept here, verified by the
sender, which has the secrets; a stranger without an endpoint's address costs nothing durable.

The endpoint in the address is sealed by us, so nothing is looked up and none can be guessed.
"""

import base64
from dataclasses import dataclass, field
from typing import Final

import msgspec

from chappe.broker import RecordTooLarge
from chappe.clock import Clock, monotonic
from chappe.events import RawDelivery
from chappe.ids import NewId
from chappe.tokens import Tokens, Vault
from chappe_ingest import metrics
from chappe_ingest.application.inlet import Inlet, LogAway
from chappe_ingest.domain import rates
from chappe_ingest.entrypoints.asgi import (
    HEADER_MAX_CHARS,
    HEADERS_MAX_CHARS,
    Refuse,
    Reply,
    Request,
    method_not_allowed,
    problem,
    slow_down,
    too_large,
    try_again,
)

ENDPOINT: Final = "endpoint"
"""What the token in the address is sealed for."""

BODY_MAX_BYTES: Final = 4 * 1024 * 1024
ACCEPTED: Final = Reply(200)

KINDS: Final = frozenset(
    ("ses", "sendgrid", "mailgun", "postmark", "mailjet", "brevo", "resend", "sparkpost")
)
ONLY_429: Final = frozenset(("brevo",))
"""Who throws an event away on a 5xx, and comes again on a 429 alone."""

SIGNED: Final = frozenset(("sendgrid", "mailgun", "resend"))
"""Who signs, so that no credential of ours is in a header."""

KEPT: Final = frozenset(
    (
        "content-type", "user-agent", "x-amz-sns-message-type", "x-amz-sns-message-id",
        "x-amz-sns-topic-arn", "x-amz-sns-rawdelivery", "x-twilio-email-event-webhook-signature",
        "x-twilio-email-event-webhook-timestamp", "svix-id", "svix-timestamp", "svix-signature",
        "webhook-id", "webhook-timestamp", "webhook-signature", "x-messagesystems-batch-id",
    )
)  # fmt: skip
SEALED: Final = "chappe-sealed"
"""Under this, encrypted, the headers that may hold a credential of ours."""

_PROXIES: Final = ("x-forwarded", "x-real-ip", "x-request-id", "x-amz", "x-envoy", "x-cloud")
CREDENTIALS_MAX: Final = 20

RATE: Final = rates.Rate(per_second=1_000, burst=10_000)
"""Webhooks of one endpoint; a batch of a thousand events is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """The address of every provider's webhooks."""

    tokens: Tokens
    vault: Vault
    inlet: Inlet
    business: Clock
    wall: Clock
    new_id: NewId
    buckets: rates.Buckets = field(default_factory=lambda: rates.Buckets(RATE))

    async def __call__(self, request: Request, rest: str) -> Reply:
        provider, _, token = rest.partition("/")
        opened = self.tokens.open(ENDPOINT, token) if provider in KINDS else None
        match opened:
            case [str(endpoint), str(kind)] if kind == provider:
                pass
            case _:
                self._count("unknown", "404")
                return problem(404, "there is no such provider endpoint")
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            return Reply(200, headers=((b"allow", b"POST, GET, HEAD, OPTIONS"),))
        if request.method != "POST":
            return method_not_allowed("POST")
        _check_shape(request)
        if wait := self.buckets.take(endpoint, 1, monotonic()):
            self._count(provider, "too_many")
            return self._later(provider, wait)
        body = await request.body(BODY_MAX_BYTES)
        if not body.strip():
            return ACCEPTED  # somebody looks whether we are there
        return await self._keep(provider, endpoint, request, body)

    async def _keep(self, provider: str, endpoint: str, request: Request, body: bytes) -> Reply:
        id_ = self.new_id("raw_")
        delivery = RawDelivery(
            id=id_,
            provider=provider,
            endpoint=endpoint,
            received_at=self.business.now(),
            received_wall=self.wall.now(),
            headers=self._headers(id_, provider, request),
            body=body,
        )
        try:
            await self.inlet.delivery(delivery, endpoint)
        except LogAway:
            self._count(provider, "log_away")
            return self._later(provider, 5.0)
        except RecordTooLarge:
            self._count(provider, "too_large")
            return too_large(BODY_MAX_BYTES)
        self._count(provider, "accepted")
        return ACCEPTED

    def _headers(self, id_: str, provider: str, request: Request) -> dict[str, str]:
        """The few that are needed; those that may hold a credential only under our own seal."""
        kept: dict[str, str] = {}
        secret: list[tuple[str, str]] = []
        for name, value in request.headers:
            short = value[:HEADER_MAX_CHARS].replace("\0", "")
            if name in KEPT:
                kept.setdefault(name, short)
            elif provider not in SIGNED and _may_be_credential(name):
                secret.append((name, short))
        if secret:
            packed = msgspec.json.encode(secret[:CREDENTIALS_MAX]).decode()
            sealed = self.vault.encrypt(f"raw.delivery/{id_}", packed)
            kept[SEALED] = base64.b64encode(sealed).decode("ascii")
        return kept

    def _later(self, provider: str, seconds: float) -> Reply:
        return slow_down(seconds) if provider in ONLY_429 else try_again()

    def _count(self, provider: str, outcome: str) -> None:
        metrics.PROVIDER_DELIVERIES.labels(provider, outcome).inc()


def _may_be_credential(name: str) -> bool:
    if name in {"authorization", "token", "api-key"}:
        return True
    return name.startswith("x-") and not name.startswith(_PROXIES)


def _check_shape(request: Request) -> None:
    if sum(len(name) + len(value) for name, value in request.headers) > HEADERS_MAX_CHARS:
        detail = f"at most {HEADERS_MAX_CHARS} characters of headers are taken"
        raise Refuse(problem(431, detail, close=True))
    if request.header("content-encoding").strip().lower() not in {"", "identity"}:
        raise Refuse(problem(415, "a compressed body is not taken here", close=True))
