"""How each vendor's API is asked about a delivery, and what its answers mean.

The address is the vendor's own or made of the source's first domain, never of anything that a
delivery says; of a delivery come only ids that its adapter checked.
"""

import datetime as dt
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol, cast

from chappe.clock import Clock, monotonic
from chappe.http import Outbound, OutboundAnswer, OutboundRefused, OutboundUnreachable
from chappe.ids import SourceId
from chappe_ingest.application.hydrating import Answer, Document, Later, Nothing
from chappe_ingest.application.hydration import Asking
from chappe_ingest.domain.api_tokens import halves
from chappe_ingest.domain.normalised import Hydration
from chappe_ingest.domain.rates import Rate

DOCUMENT_BYTES_MAX: Final = 512 * 1024
TOKEN_BYTES_MAX: Final = 16 * 1024
WHY_MAX_CHARS: Final = 300
TOKENS_MAX: Final = 10_000
TOKEN_EARLY_SECONDS: Final = 30.0
"""So long before its end a token counts as over."""

OPERATOR_AFTER: Final = dt.timedelta(minutes=5)
"""For what only an operator can mend: a token that is refused, a domain that sends us elsewhere."""

STRIPE_VERSION: Final = "2025-04-30.basil"
"""The version whose objects we ask for, whatever the account's own is."""

RATES: Final = {
    "bigcommerce": Rate(per_second=4, burst=8),  # the smallest plan: 150 in 30 s
    "stripe": Rate(per_second=20, burst=20),  # 25/s in test mode, 100/s live
    "shopware": Rate(per_second=5, burst=10),  # the shop's own machine
}
_SLOWEST: Final = Rate(per_second=2, burst=2)


@dataclass(frozen=True, slots=True)
class Access:
    """What a source's settings say about reaching its shop. ``loopback``: tests play the shop."""

    domains: tuple[str, ...]
    token: str | None
    loopback: str | None = None


AccessOf = Callable[[SourceId], Awaitable[Access | None]]


class _Vendor(Protocol):
    async def __call__(self, access: Access, asked: Asking) -> Answer: ...


class VendorApis:
    """``ShopApis`` over the guarded way out. ``loopback``: a source may say where it is played."""

    def __init__(
        self, outbound: Outbound, access_of: AccessOf, wall: Clock, *, loopback: bool = False
    ) -> None:
        self._outbound = outbound
        self._access_of = access_of
        self._wall = wall
        self._loopback = loopback
        self._bearers: dict[SourceId, tuple[str, str, float]] = {}
        self._vendors: Mapping[str, _Vendor] = {
            "bigcommerce": self._bigcommerce,
            "stripe": self._stripe,
            "shopware": self._shopware,
        }

    def rate(self, kind: str) -> Rate:
        return RATES.get(kind, _SLOWEST)

    async def ask(self, asked: Asking) -> Answer:
        access = await self._access_of(asked.source)
        vendor = self._vendors.get(asked.kind)
        if access is None or access.token is None or vendor is None:
            return Nothing("no_token", "the source has no API token any more")
        return await vendor(access, asked)

    async def _bigcommerce(self, access: Access, asked: Asking) -> Answer:
        store, token = halves(access.token or "")
        address = self._played(access) or "https://api.bigcommerce.com"
        said = {"X-Auth-Token": token}
        return await self._put(f"{address}/stores/{store}", asked.question, said)

    async def _stripe(self, access: Access, asked: Asking) -> Answer:
        address = self._played(access) or "https://api.stripe.com"
        said = {"Authorization": f"Bearer {access.token}", "Stripe-Version": STRIPE_VERSION}
        return await self._put(address, asked.question, said)

    async def _shopware(self, access: Access, asked: Asking) -> Answer:
        """With a Bearer token of ten minutes; one that is refused is fetched anew, once."""
        address = self._played(access)
        if address is None and access.domains:
            address = f"https://{access.domains[0]}"
        if address is None:
            return Later(
                "name the shop's host: chappe sources domains", OPERATOR_AFTER, operator=True
            )
        bearer = self._known_bearer(access, asked.source)
        for fresh in (bearer is None, True):
            if fresh:
                bearer = await self._new_bearer(access, asked.source, address)
            if not isinstance(bearer, str):
                return bearer or Later("the shop gives no token")
            said = {"Authorization": f"Bearer {bearer}"}
            answer = await self._request(address, asked.question, said)
            if isinstance(answer, OutboundAnswer) and answer.status == _UNAUTHORIZED and not fresh:
                continue
            return self._meaning(answer)
        raise AssertionError("the second round returns")

    def _played(self, access: Access) -> str | None:
        return access.loopback if self._loopback else None

    def _known_bearer(self, access: Access, source: SourceId) -> str | None:
        bearer, made_with, until = self._bearers.get(source, ("", "", 0.0))
        return bearer if made_with == access.token and monotonic() < until else None

    async def _new_bearer(self, access: Access, source: SourceId, address: str) -> str | Answer:
        client, secret = halves(access.token or "")
        wanted = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
        question = Hydration("/api/oauth/token", json.dumps(wanted))
        answer = await self._request(address, question, {}, TOKEN_BYTES_MAX)
        if isinstance(answer, OutboundAnswer) and answer.status in _WRONG_CLIENT:
            return _refused_token(answer.status)
        meaning = self._meaning(answer)
        if isinstance(meaning, Nothing):
            return Later(f"the shop gives no token: {meaning.why}", OPERATOR_AFTER, operator=True)
        if isinstance(meaning, Later):
            return meaning
        bearer, seconds = _bearer_of(meaning.text)
        if bearer is None:
            return Later("the shop's answer holds no token", OPERATOR_AFTER, operator=True)
        if len(self._bearers) >= TOKENS_MAX:
            self._bearers.clear()
        until = monotonic() + seconds - TOKEN_EARLY_SECONDS
        self._bearers[source] = bearer, access.token or "", until
        return bearer

    async def _put(self, address: str, question: Hydration, said: Mapping[str, str]) -> Answer:
        return self._meaning(await self._request(address, question, said))

    async def _request(
        self,
        address: str,
        question: Hydration,
        said: Mapping[str, str],
        limit_bytes: int = DOCUMENT_BYTES_MAX,
    ) -> OutboundAnswer | Later:
        headers = {"Accept": "application/json", "User-Agent": "Chappe", **said}
        content = None
        if question.content is not None:
            headers["Content-Type"] = "application/json"
            content = question.content.encode()
        try:
            return await self._outbound.request(
                "GET" if content is None else "POST",
                f"{address}{question.path}",
                headers=headers,
                content=content,
                limit_bytes=limit_bytes,
            )
        except OutboundRefused as error:
            return Later(
                f"the shop is not asked: {error}"[:WHY_MAX_CHARS], OPERATOR_AFTER, operator=True
            )
        except OutboundUnreachable as error:
            return Later(f"the shop does not answer: {error}"[:WHY_MAX_CHARS])

    def _meaning(self, answer: OutboundAnswer | Later) -> Answer:
        if isinstance(answer, Later):
            return answer
        status = answer.status
        if status == _OK:
            return _document(answer)
        if status in _GONE:
            return Nothing("gone", "the shop says that it is gone")
        if status in _REFUSED_TOKEN:
            return _refused_token(status)
        if status in _BUSY or status >= _SERVER_ERROR:
            return Later(f"the shop answers {status}", _retry_after(answer, self._wall.now()))
        if status in _REDIRECT:
            why = f"the shop sends us elsewhere ({status}): name the host that answers itself"
            return Later(why, OPERATOR_AFTER, operator=True)
        return Nothing("refused", f"the shop refuses the question ({status})")


_OK: Final = 200
_SERVER_ERROR: Final = 500
_UNAUTHORIZED: Final = 401
_GONE: Final = frozenset({204, 404, 410})
"""BigCommerce answers 204 where there is nothing."""

_REFUSED_TOKEN: Final = frozenset({401, 403})
_WRONG_CLIENT: Final = frozenset({400, 401, 403})
"""RFC 6749, 5.2: ``invalid_client`` and its like."""

_BUSY: Final = frozenset({408, 409, 423, 425, 429})
_REDIRECT: Final = range(300, 400)


def _refused_token(status: int) -> Later:
    return Later(
        f"the shop refuses the API token ({status}): set another", OPERATOR_AFTER, operator=True
    )


def _document(answer: OutboundAnswer) -> Answer:
    if answer.truncated:
        return Nothing("too_large", f"the shop's answer has more than {DOCUMENT_BYTES_MAX} bytes")
    try:
        return Document(answer.body.decode("utf-8"))
    except UnicodeDecodeError:
        return Nothing("unreadable", "the shop's answer is not UTF-8")


def _bearer_of(text: str) -> tuple[str | None, float]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None, 0.0
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    bearer, seconds = fields.get("access_token"), fields.get("expires_in")
    usable = isinstance(bearer, str) and bearer.isascii() and bearer.isprintable()
    lives = float(seconds) if isinstance(seconds, int) and 0 < seconds < _LIFE_MAX else 0.0
    return (bearer if usable else None), lives


_LIFE_MAX: Final = 86_400


def _retry_after(answer: OutboundAnswer, now: dt.datetime) -> dt.timedelta | None:
    """Seconds or a date (RFC 9110, 10.2.3); BigCommerce says milliseconds in a header of its own.

    The hydrator bounds what is asked for.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return dt.timedelta(seconds=min(int(text[:9]), _LIFE_MAX))
    reset = answer.headers.get("x-rate-limit-time-reset-ms", "").strip()
    if reset.isascii() and reset.isdigit():
        return dt.timedelta(milliseconds=min(int(reset[:12]), _LIFE_MAX * 1_000))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)
    return max(at - now, dt.timedelta(0))
