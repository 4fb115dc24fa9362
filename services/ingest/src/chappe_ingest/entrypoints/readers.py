"""``/o /c /u``: what comes back from a mail. The token carries everything, so nothing is looked up.

A reader always gets the picture, the destination, the page; whether it could be written down is
our concern, except for an unsubscribe, which is only confirmed once it is kept.
"""

import base64
import ipaddress
from dataclasses import dataclass
from typing import Final

import structlog

from chappe.clock import Clock
from chappe.events import Event, RawEngagement
from chappe.ids import ContactId, EventId, MessageId, NewId, WorkspaceId, derived
from chappe.page import Look
from chappe.tokens import Tokens
from chappe_ingest import metrics
from chappe_ingest.application.inlet import Inlet, LogAway
from chappe_ingest.domain import identifiers
from chappe_ingest.entrypoints import pages
from chappe_ingest.entrypoints.asgi import Refuse, Reply, Request, method_not_allowed

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
"""One transparent pixel, 43 bytes."""

FORM_MAX_BYTES: Final = 16_384
AGENT_MAX_CHARS: Final = 500
ONE_CLICK: Final = b"List-Unsubscribe=One-Click"
"""What a mail program posts (RFC 8058 3.1)."""

TEST: Final = "test"
"""What stands for a token in the links of a test mail."""

_PIXEL: Final = Reply(
    200,
    GIF,
    ((b"content-type", b"image/gif"), (b"cache-control", b"no-store, private, max-age=0")),
)

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The addresses in our mails."""

    tokens: Tokens
    inlet: Inlet
    business: Clock
    new_id: NewId

    async def open(self, request: Request, token: str) -> Reply:
        """The pixel, always."""
        if request.method not in {"GET", "HEAD"}:
            return method_not_allowed("GET", "HEAD")
        sealed = token.removesuffix(".gif")
        match self.tokens.open("open", sealed) or self.tokens.open("tally", sealed):
            case [str(workspace), str(contact), str(message)] if message.startswith("m_"):
                await self._note(request, "open", workspace, contact, message)
            case [str(workspace), str(journey), str(step)]:
                # Somebody of many: nothing is kept of who, when or from where.
                metrics.TALLIED_OPENS.labels(workspace, journey, step).inc()
            case _:
                pass
        return _PIXEL

    async def click(self, request: Request, token: str) -> Reply:
        """On to the sealed destination; a token of somebody else leads nowhere."""
        if request.method not in {"GET", "HEAD"}:
            return method_not_allowed("GET", "HEAD")
        match self.tokens.open("click", token):
            case [str(workspace), str(contact), str(message), int(link), str(url)]:
                await self._note(request, "click", workspace, contact, message, link=link, url=url)
            case _:
                return pages.gone(request)
        to = url.encode("ascii", "ignore").translate(None, b"\r\n\0")
        return Reply(302, headers=((b"location", to), (b"cache-control", b"no-store, private")))

    async def unsubscribe(self, request: Request, token: str) -> Reply:
        """GET asks, POST acts: a scanner that follows links unsubscribes nobody."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return method_not_allowed("GET", "POST")
        match self.tokens.open("unsubscribe", token):
            case [str(workspace), str(contact), str(address), message, topic, *said]:
                look = _look(said)
            case _:
                return pages.test(request) if token == TEST else pages.gone(request)
        person = [workspace, contact, address, message, topic]
        preferences = f"/p/{self.tokens.seal('preferences', [*person])}"
        if request.method != "POST":
            return pages.ask(request, address, look, preferences)
        body = await _form(request)
        now = self.business.now()
        email = identifiers.email(address)
        event = Event(
            id=EventId(derived("e_", "unsubscribe", token, now.strftime("%Y-%m-%dT%H:%M"))),
            name="email.unsubscribed",
            workspace=WorkspaceId(workspace),
            source_event="one_click" if ONE_CLICK in body else "page",
            occurred_at=now,
            received_at=now,
            contact=ContactId(contact),
            identifiers=(email,) if email else (),
            data={"message": message, "topic": topic, "address": address},
        )
        try:
            await self.inlet.event(event)
        except LogAway:
            return pages.later(request)
        metrics.ENGAGEMENTS.labels("unsubscribe").inc()
        return pages.done(request, address, look, preferences)

    async def _note(
        self,
        request: Request,
        kind: str,
        workspace: str,
        contact: str,
        message: str,
        *,
        link: int | None = None,
        url: str | None = None,
    ) -> None:
        engagement = RawEngagement(
            id=self.new_id("raw_"),
            kind=kind,
            workspace=WorkspaceId(workspace),
            contact=ContactId(contact),
            message=MessageId(message),
            received_at=self.business.now(),
            link=link,
            url=url,
            user_agent=request.header("user-agent")[:AGENT_MAX_CHARS] or None,
            address=_truncated(request.client),
            method=request.method,
        )
        try:
            await self.inlet.engagement(engagement)
        except LogAway:
            logger.warning("An engagement was lost: the log is away", kind=kind)
            return
        metrics.ENGAGEMENTS.labels(kind).inc()


def _look(said: list[str | int | None]) -> Look:
    """Whose mail it was: name and colour travel in the token, since nothing is looked up here."""
    match said:
        case [str(name), str(primary), *_]:
            return Look(name, primary)
        case _:
            return Look()


async def _form(request: Request) -> bytes:
    try:
        return await request.body(FORM_MAX_BYTES)
    except Refuse as refused:
        if refused.reply.status == 413:  # noqa: PLR2004 - whatever is in it, the POST itself is the wish
            return b""
        raise


def _truncated(client: str | None) -> str | None:
    """The network, not the person: /24 of IPv4, /48 of IPv6."""
    if client is None:
        return None
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return None
    bits = 24 if address.version == 4 else 48  # noqa: PLR2004 - IP's own numbers
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False).network_address)
