"""Which MX site takes a domain's mail, asked of DNS and remembered."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, TypeAlias

import dns.asyncresolver
import dns.exception
import dns.rdatatype

from chappe.clock import monotonic
from chappe_sender.adapters.shaping_table import built_in
from chappe_sender.domain.shaping import Shaping
from chappe_sender.domain.suppressing import site_of

KEPT_SECONDS: Final = 6 * 3_600.0
UNKNOWN_SECONDS: Final = 300.0
DOMAINS_MAX: Final = 50_000
AT_ONCE_MAX: Final = 20
LOOKUP_SECONDS: Final = 2.0
ALL_SECONDS: Final = 5.0

RESERVED: Final = (".example", ".test", ".invalid", ".localhost", ".local")
"""Nobody's mail (RFC 2606): not asked."""

Exchanger: TypeAlias = Callable[[str], Awaitable[str | None]]
"""The most preferred exchanger of a domain, or None."""


async def exchanger_of(domain: str) -> str | None:
    """As the system's resolver says. Raises ``DNSException`` when it does not answer."""
    resolver = dns.asyncresolver.Resolver()
    answer = await resolver.resolve(domain, dns.rdatatype.MX, lifetime=LOOKUP_SECONDS)
    best = min(answer, key=lambda record: record.preference, default=None)
    return str(best.exchange) if best is not None else None


class MxSites:
    """Implements ``Sites``."""

    def __init__(self, exchanger: Exchanger = exchanger_of, shaping: Shaping | None = None) -> None:
        self._exchanger = exchanger
        self._shaping = shaping or built_in()
        self._found: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def of(self, domains: Iterable[str]) -> dict[str, str]:
        """By domain; the domain itself where nobody knows, or not in time."""
        wanted = set(domains)
        now = monotonic()
        new = [
            domain
            for domain in sorted(wanted)
            if self._shaping.site_of_domain(domain) is None
            and not _is_reserved(domain)
            and not (domain in self._found and self._found[domain][0] > now)
        ]
        gate = asyncio.Semaphore(AT_ONCE_MAX)
        with suppress(TimeoutError):
            async with asyncio.timeout(ALL_SECONDS):
                await asyncio.gather(*(self._ask(domain, gate) for domain in new))
        return {domain: self._site(domain) for domain in wanted}

    def known(self, address: str) -> str:
        """Of an address, without asking anybody."""
        return self._site(address.rpartition("@")[2].lower())

    def _site(self, domain: str) -> str:
        known = self._found.get(domain)
        named = self._shaping.site_of_domain(domain)
        return named or (known[1] if known is not None else domain)

    async def _ask(self, domain: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                async with asyncio.timeout(LOOKUP_SECONDS):
                    exchange = await self._exchanger(domain)
            except (dns.exception.DNSException, OSError, TimeoutError, UnicodeError):
                exchange = None
        named = (exchange or "").rstrip(".")
        seconds = KEPT_SECONDS if named else UNKNOWN_SECONDS
        self._found[domain] = (monotonic() + seconds, site_of(named) if named else domain)
        self._found.move_to_end(domain)
        if len(self._found) > DOMAINS_MAX:
            self._found.popitem(last=False)


def _is_reserved(domain: str) -> bool:
    labels = f".{domain}"
    return labels.endswith(RESERVED) or ".example." in labels or "." not in domain
