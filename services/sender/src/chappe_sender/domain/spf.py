"""Whether a domain's SPF record permits an address (RFC 7208), as far as mail of ours needs it."""

import ipaddress
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

LOOKUPS_MAX: Final = 10
"""RFC 7208, 4.6.4."""


class SpfResult(StrEnum):
    """RFC 7208, 2.6."""

    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    SOFT_FAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    ERROR = "permerror"
    UNKNOWN = "unknown"
    """It holds a macro, which only a real transaction fills in."""


class Asks(Protocol):
    async def ask(self, name: str, kind: str) -> tuple[str, ...]: ...


_QUALIFIERS: Final = {
    "+": SpfResult.PASS, "-": SpfResult.FAIL, "~": SpfResult.SOFT_FAIL, "?": SpfResult.NEUTRAL,
}  # fmt: skip


class _TooMany(Exception):
    """More lookups than a receiver makes."""


class _Macro(Exception):
    """Not decidable here."""


def record_of(text: str) -> list[str] | None:
    """The terms of an SPF record; None for any other TXT."""
    words = text.split()
    return words[1:] if words and words[0].lower() == "v=spf1" else None


async def evaluate(names: Asks, domain: str, address: str) -> SpfResult:
    """What a receiver says of mail from ``domain`` by ``address``. Raises what ``names`` raises."""
    try:
        return await _Walk(names, ipaddress.ip_address(address)).check(domain)
    except _TooMany:
        return SpfResult.ERROR
    except _Macro:
        return SpfResult.UNKNOWN


async def includes(names: Asks, domain: str, wanted: str, depth: int = 0) -> bool:
    """Whether the record, or one that it includes, includes ``wanted``."""
    if depth > LOOKUPS_MAX:
        return False
    for term in await _terms(names, domain) or []:
        word = term.lstrip("+-~?").lower()
        _, _, target = word.replace("redirect=", "include:").partition("include:")
        if target == wanted:
            return True
        if target and "%" not in target and await includes(names, target, wanted, depth + 1):
            return True
    return False


async def _terms(names: Asks, domain: str) -> list[str] | None:
    found = [record_of(text) for text in await names.ask(domain, "TXT")]
    records = [terms for terms in found if terms is not None]
    return records[0] if len(records) == 1 else None


class _Walk:
    def __init__(self, names: Asks, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        self._names = names
        self._address = address
        self._lookups = 0

    async def check(self, domain: str) -> SpfResult:
        terms = await _terms(self._names, domain)
        if terms is None:
            return SpfResult.NONE
        redirect = ""
        for term in terms:
            if term.lower().startswith("redirect="):
                redirect = term.partition("=")[2]
            elif "=" in term.partition(":")[0]:
                continue  # a modifier that nobody needs
            elif await self._matches(term.lstrip("+-~?"), domain):
                return _QUALIFIERS.get(term[0], SpfResult.PASS)
        if redirect:
            self._count(redirect)
            result = await self.check(redirect)
            return SpfResult.ERROR if result is SpfResult.NONE else result
        return SpfResult.NEUTRAL

    def _count(self, target: str) -> None:
        if "%" in target:
            raise _Macro
        self._lookups += 1
        if self._lookups > LOOKUPS_MAX:
            raise _TooMany

    async def _matches(self, term: str, domain: str) -> bool:
        word, _, rest = term.partition(":")
        name, slash, length = (rest or word).partition("/")
        kind = word.partition("/")[0].lower()
        target = name if rest else domain
        match kind:
            case "all":
                return True
            case "ip4" | "ip6":
                return self._within([name], slash + length)
            case "include":
                self._count(target)
                return await self.check(target) is SpfResult.PASS
            case "a":
                self._count(target)
                return self._within(await self._hosts(target), slash + length)
            case "mx":
                self._count(target)
                for each in await self._names.ask(target, "MX"):
                    if self._within(await self._hosts(each.split()[-1]), slash + length):
                        return True
                return False
            case "exists":
                self._count(target)
                return bool(await self._names.ask(target, "A"))
            case _:
                return False  # ptr, which nobody should use, and what is not known

    async def _hosts(self, name: str) -> Sequence[str]:
        kind = "A" if self._address.version == 4 else "AAAA"  # noqa: PLR2004 - IP's own number
        return await self._names.ask(name.rstrip("."), kind)

    def _within(self, hosts: Sequence[str], length: str) -> bool:
        wanted = length.partition("//")[0] if self._address.version == 4 else _six(length)  # noqa: PLR2004
        for host in hosts:
            try:
                if self._address in ipaddress.ip_network(f"{host}{wanted}", strict=False):
                    return True
            except ValueError:
                continue
        return False


def _six(length: str) -> str:
    """``/24//64`` names the length for IPv6 after the second slash."""
    if "//" in length:
        return "/" + length.partition("//")[2]
    return length
