"""DNS as the system's resolver says it; a look that gets no answer says so."""

from typing import Final

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.resolver
import dns.reversename

from chappe_sender.domain.domain_check import NoAnswer

LOOKUP_SECONDS: Final = 3.0
RECORDS_MAX: Final = 100


class SystemNames:
    """Implements ``Names``."""

    async def ask(self, name: str, kind: str) -> tuple[str, ...]:
        found, _ = await self.ask_signed(name, kind)
        return found

    async def ask_signed(self, name: str, kind: str) -> tuple[tuple[str, ...], bool]:
        """The same, and whether the resolver vouches for it (RFC 4035, the AD bit)."""
        try:
            resolver = dns.asyncresolver.Resolver()
            resolver.use_edns(0, dns.flags.DO, 1_232)
            resolver.flags = dns.flags.RD | dns.flags.AD
            target = dns.reversename.from_address(name) if kind == "PTR" else name
            answer = await resolver.resolve(target, kind, lifetime=LOOKUP_SECONDS, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return (), False
        except (dns.exception.DNSException, OSError, UnicodeError, ValueError) as error:
            raise NoAnswer(f"DNS does not answer ({type(error).__name__})") from error
        signed = bool(answer.response.flags & dns.flags.AD)
        return tuple(_text(record) for record in list(answer)[:RECORDS_MAX]), signed


def _text(record: object) -> str:
    strings = getattr(record, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "replace")
    return str(record)
