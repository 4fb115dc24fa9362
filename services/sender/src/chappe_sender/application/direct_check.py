"""Whether mail can leave this machine by itself: port 25 out, and a name that leads back."""

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from chappe_sender.domain.domain_check import Names, NoAnswer

HOSTS: Final = ("gmail-smtp-in.l.google.com", "outlook-com.olc.protection.outlook.com")
"""Who is asked for a greeting. One that greets shows that port 25 is open."""
ADDRESSES_MAX: Final = 8


class DirectFault(Exception):
    """Direct mail will not leave, or not be taken; the text says what to do."""


class Greeter(Protocol):
    """A mail host's door."""

    async def greeting(self, host: str, source: str | None = None) -> str:
        """Raises ``NoAnswer``."""
        ...


@dataclass(frozen=True, slots=True)
class DirectCheck:
    """Looks from the machine it runs on, which must be one that sends."""

    names: Names
    door: Greeter
    hosts: Sequence[str] = HOSTS

    async def __call__(self, providers: Sequence[Mapping[str, Any]]) -> str:
        """Of ``providers`` as the API lists them. Raises ``DirectFault``."""
        ours = [each for each in providers if each.get("kind") == "direct"]
        if not ours:
            return "not used"
        said = await asyncio.gather(*map(self._one, ours))
        return "; ".join(said)

    async def _one(self, provider: Mapping[str, Any]) -> str:
        options: Mapping[str, str] = provider.get("options") or {}
        name, ehlo_name = provider.get("name", "direct"), options.get("ehlo_name", "").lower()
        sources = options.get("source_ips", "").replace(",", " ").split()[:ADDRESSES_MAX]
        ways, called = await asyncio.gather(self._ways_out(sources), self._name(ehlo_name, sources))
        return f"{name}: {ways}; {called}"

    async def _ways_out(self, sources: Sequence[str]) -> str:
        said = await asyncio.gather(*(self._way_out(each) for each in sources or (None,)))
        return said[0]

    async def _way_out(self, source: str | None) -> str:
        tries = await asyncio.gather(
            *(self.door.greeting(host, source) for host in self.hosts), return_exceptions=True
        )
        faults = [each for each in tries if isinstance(each, BaseException)]
        for fault in faults:
            if not isinstance(fault, NoAnswer):
                raise fault
        if len(faults) < len(tries):
            return "port 25 is open"
        from_where = f" from {source}" if source else ""
        raise DirectFault(
            f"no mail host answers{from_where} ({faults[0]}): most networks close port 25 "
            "outwards; ask yours to open it, or send by a relay or provider instead "
            "(`chappe providers add`)"
        )

    async def _name(self, ehlo_name: str, sources: Sequence[str]) -> str:
        """EHLO's name must be the PTR of what we send from, and lead back there."""
        try:
            leads = (
                *await self.names.ask(ehlo_name, "A"),
                *await self.names.ask(ehlo_name, "AAAA"),
            )
            if not leads:
                raise DirectFault(f"{ehlo_name} (ehlo_name) has no address: publish an A record")
            public = [each for each in sources if _is_public(each)]
            for address in public or leads[:ADDRESSES_MAX]:
                names = [each.rstrip(".").lower() for each in await self.names.ask(address, "PTR")]
                if ehlo_name not in names:
                    raise DirectFault(
                        f"{address} is called {', '.join(names) or 'nothing'}, not {ehlo_name}: "
                        "whoever rents you the address sets its PTR"
                    )
                if address not in leads:
                    raise DirectFault(
                        f"{ehlo_name} does not lead to {address}: publish an A record"
                    )
        except NoAnswer as error:
            return f"the name of our address is not known ({error})"
        if not public:
            return f"{ehlo_name} is the name of {leads[0]}; is that the address we send from?"
        return f"{ehlo_name}, there and back"


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False
