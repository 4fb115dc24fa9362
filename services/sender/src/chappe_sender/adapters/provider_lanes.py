"""From a provider's record to lanes that carry its mail, whatever its kind."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from chappe.clock import Clock, monotonic
from chappe.http import Outbound, OutboundError
from chappe_sender.adapters.providers import (
    HTTP_KINDS,
    Account,
    Draft,
    ProviderWayOut,
    account_of,
    adapter_of,
    ask,
    judge,
)
from chappe_sender.adapters.shaping_table import built_in
from chappe_sender.adapters.smtp import SmtpWayOut, route_of
from chappe_sender.adapters.smtp.connection import Connection
from chappe_sender.adapters.smtp.direct import DirectWayOut
from chappe_sender.adapters.smtp.exchanges import Exchanges, NoMailThere, SignedNames
from chappe_sender.adapters.smtp.route import Route, RouteError
from chappe_sender.application.letter import Letter
from chappe_sender.application.line import Line
from chappe_sender.application.lines import LineLanes
from chappe_sender.application.ports import Verdict
from chappe_sender.application.quota import Leased, Quotas, rate_of
from chappe_sender.application.routing import ProviderRecord
from chappe_sender.domain.domain_check import NoAnswer
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.mime import Mail
from chappe_sender.domain.outcome import HandOverError, NotSent, Refused, Stage
from chappe_sender.domain.providers import Kind
from chappe_sender.domain.shaping import Shaping

SMTP_PORT = 25
HTTP_OK = 200
POLICY_OCTETS_MAX = 65_536
POLICY_SECONDS = 10.0


class _SmtpLanes:
    """A relay of a workspace's own."""

    def __init__(self, route: Route) -> None:
        self._way_out = SmtpWayOut(route)

    async def run(self, work: Line) -> None:
        await self._way_out.run(work)

    def key(self, letters: Sequence[Letter]) -> str | None:
        del letters
        return None


class _DirectLanes:
    """Straight to the exchangers."""

    def __init__(
        self, exchanges: Exchanges, quotas: Quotas, record: ProviderRecord, shaping: Shaping
    ) -> None:
        per_day = record.options.get("per_day")
        self._way_out = DirectWayOut(
            exchanges,
            quotas,
            name=record.id,
            seconds=monotonic,
            shaping=shaping,
            sources=tuple(record.options.get("source_ips", "").replace(",", " ").split()),
            per_day=int(per_day) if per_day else None,
        )

    async def run(self, work: Line) -> None:
        await self._way_out.run(work)

    def key(self, letters: Sequence[Letter]) -> str | None:
        del letters
        return None


@dataclass(frozen=True, slots=True)
class ProviderLanes:
    """Makes lanes, and carries single test mails. With ``loopback``, for tests only, a record's
    option ``base_url`` may name a provider's stand-in on this machine.
    """

    outbound: Outbound
    wall: Clock
    ehlo_name: str
    loopback: bool = False
    names: SignedNames | None = None
    quotas: Quotas | None = None
    shaping: Shaping = field(default_factory=built_in)

    def make(self, record: ProviderRecord) -> LineLanes:
        """Raises ``LookupError`` where nothing speaks to the kind, ``ValueError`` for a bad URL."""
        if record.kind is Kind.SMTP:
            return _SmtpLanes(self._route(record))
        if record.kind is Kind.DIRECT:
            return self._direct(record)
        if record.kind not in HTTP_KINDS:
            raise LookupError(f"providers of the kind {record.kind} cannot be used yet")
        account = self._account(record)
        return ProviderWayOut(
            record, adapter_of(account), self.outbound, self.wall, shared=self._shared(record)
        )

    async def carry(
        self, record: ProviderRecord, id_: str, envelope: Envelope, mail: Mail
    ) -> Verdict:
        """One mail, once."""
        try:
            if record.kind is Kind.SMTP:
                return await self._by_smtp(self._route(record), envelope)
            if record.kind is Kind.DIRECT:
                return await self._by_direct(record, envelope)
            adapter = adapter_of(self._account(record))
            drafts = [Draft(id_, envelope, mail, f"<{id_}@{mail.sender.address.domain}>")]
            answer = await ask(self.outbound, adapter, drafts, None, self.wall)
            return judge(adapter, answer, drafts)[0]
        except HandOverError as error:
            return error

    def _shared(self, record: ProviderRecord) -> Leased | None:
        """The provider's rate, where it is known."""
        rate = record.per_second
        if self.quotas is None or rate is None:
            return None
        return rate_of(self.quotas, f"provider/{record.id}", rate, monotonic)

    def _direct(self, record: ProviderRecord) -> LineLanes:
        if self.names is None or self.quotas is None:
            raise LookupError("direct delivery needs DNS and a database")
        exchanges = self._exchanges(record, self.names)
        return _DirectLanes(exchanges, self.quotas, record, self.shaping)

    def _exchanges(self, record: ProviderRecord, names: SignedNames) -> Exchanges:
        route = Route("", SMTP_PORT, ehlo_name=record.options.get("ehlo_name", self.ehlo_name))
        six = record.options.get("ipv6") == "on"
        return Exchanges(
            names, self._policy, route, monotonic, loopback=self.loopback, ipv6=six,
            shaping=self.shaping,
        )  # fmt: skip

    async def _policy(self, url: str) -> str | None:
        """An MTA-STS policy; no redirects (RFC 8461, 3.3)."""
        try:
            answer = await self.outbound.request(
                "GET", url, limit_bytes=POLICY_OCTETS_MAX, timeout_seconds=POLICY_SECONDS
            )
        except OutboundError:
            return None
        return answer.body.decode("utf-8", "replace") if answer.status == HTTP_OK else None

    async def _by_direct(self, record: ProviderRecord, envelope: Envelope) -> Verdict:
        if self.names is None:
            raise NotSent(Stage.CONNECT, "direct delivery needs DNS")
        try:
            domain = envelope.recipient.rpartition("@")[2]
            found = await self._exchanges(record, self.names).of(domain)
        except NoMailThere as never:
            raise Refused(Stage.RCPT, never.reply) from None
        except NoAnswer as unknown:
            raise NotSent(Stage.CONNECT, str(unknown)) from None
        return await self._by_smtp(found.routes[0], envelope)

    def _account(self, record: ProviderRecord) -> Account:
        instead = record.options.get("base_url") if self.loopback else None
        return account_of(record.kind, record.secrets, record.options, instead)

    def _route(self, record: ProviderRecord) -> Route:
        return route_of(record.secrets["url"], ehlo_name=self.ehlo_name)

    async def _by_smtp(self, route: Route, envelope: Envelope) -> Verdict:
        connection = await Connection.open(route)
        try:
            await connection.begin(envelope)
            reply = await connection.finish(envelope, None)
        finally:
            with suppress(HandOverError, OSError):
                await connection.quit()
        return reply


def unusable(record: ProviderRecord) -> str | None:
    """Why this record cannot be a way out, in words that hold no secret."""
    if record.kind is Kind.SMTP:
        try:
            route_of(record.secrets.get("url", ""))
        except RouteError as error:
            return str(error).replace("CHAPPE_SMTP_URL", "the secret url")
    return None
