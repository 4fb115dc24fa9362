"""Where a domain takes its mail, and how carefully one must speak to it.

MX with its preferences, the null MX (RFC 7505), the domain's own address where it has none
(RFC 5321, 5.1), MTA-STS (RFC 8461), and DANE (RFC 7672) where the resolver vouches for the answer.
"""

import ipaddress
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeAlias

from chappe_sender.adapters.shaping_table import built_in
from chappe_sender.adapters.smtp.route import Pin, Route, Security
from chappe_sender.domain.domain_check import NoAnswer
from chappe_sender.domain.outcome import Reply
from chappe_sender.domain.shaping import Rule, Shaping
from chappe_sender.domain.suppressing import site_of

KEPT_SECONDS: Final = 900.0
POLICY_SECONDS_MAX: Final = 7 * 86_400.0
KEPT_MAX: Final = 20_000
HOSTS_MAX: Final = 10
DANE_EE: Final = 3
_WAYS: Final = 2
"""Of selectors (certificate, key) and of digests beside the whole."""

Fetch: TypeAlias = Callable[[str], Awaitable[str | None]]
"""A policy's text from its address; None when it is not to be had."""


class SignedNames(Protocol):
    async def ask(self, name: str, kind: str) -> tuple[str, ...]: ...

    async def ask_signed(self, name: str, kind: str) -> tuple[tuple[str, ...], bool]:
        """The same, and whether the resolver vouches for it."""
        ...


class NoMailThere(Exception):
    """The domain takes no mail, for sure."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Destination:
    """Routes in the order to be tried."""

    site: str
    rule: Rule
    routes: tuple[Route, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """What a connection may be shared for."""
        return (self.site, *(f"{r.host}/{r.security}/{len(r.pins)}" for r in self.routes))


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """``hosts`` may start with ``*.``."""

    mode: str
    hosts: tuple[str, ...]
    seconds: float

    def allows(self, host: str) -> bool:
        name = host.lower()
        above = name.partition(".")[2]
        return any(each in {name, f"*.{above}"} for each in self.hosts)


def policy_of(text: str) -> StsPolicy | None:
    """None for what is no policy (RFC 8461, 3.2)."""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), []).append(value.strip())
    mode = fields.get("mode", ["none"])[0].lower()
    age = fields.get("max_age", [""])[0]
    if fields.get("version") != ["STSv1"] or not age.isdigit():
        return None
    hosts = tuple(each.lower().rstrip(".") for each in fields.get("mx", []))
    return StsPolicy(mode, hosts, min(float(age), POLICY_SECONDS_MAX))


@dataclass(slots=True)
class Exchanges:
    """``route`` is what all routes have in common. ``loopback``: tests may be reached there."""

    names: SignedNames
    fetch: Fetch
    route: Route
    seconds: Callable[[], float]
    loopback: bool = False
    ipv6: bool = False
    shaping: Shaping = field(default_factory=built_in)
    _known: OrderedDict[str, tuple[float, Destination]] = field(default_factory=OrderedDict)
    _policies: OrderedDict[str, tuple[float, str, StsPolicy]] = field(default_factory=OrderedDict)

    async def of(self, domain: str) -> Destination:
        """Raises ``NoMailThere``, or ``NoAnswer`` when nobody can tell now."""
        now = self.seconds()
        known = self._known.get(domain)
        if known is not None and known[0] > now:
            return known[1]
        found = await self._look(domain, now)
        self._known[domain] = (now + KEPT_SECONDS, found)
        self._known.move_to_end(domain)
        if len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        return found

    async def _look(self, domain: str, now: float) -> Destination:
        hosts, signed = await self._hosts(domain)
        policy = await self._policy(domain, now)
        enforced = policy is not None and policy.mode == "enforce"
        rule = self.shaping.rule_of(hosts[0])
        routes: list[Route] = []
        for host in hosts[:HOSTS_MAX]:
            if enforced and policy is not None and not policy.allows(host):
                continue
            security, pins = await self._care(host, rule, signed=signed, enforced=enforced)
            routes += [
                replace(self.route, host=host, connect_to=each, security=security, pins=pins)
                for each in await self._addresses(host)
            ]
        if not routes:
            raise NoAnswer(f"no exchanger of {domain} can be used")
        return Destination(site_of(hosts[0]), rule, tuple(routes))

    async def _hosts(self, domain: str) -> tuple[list[str], bool]:
        """By preference, equals in any order."""
        records, signed = await self.names.ask_signed(domain, "MX")
        parsed = [(int(p), h.lower()) for p, _, h in (each.partition(" ") for each in records)]
        if any(host == "." for _, host in parsed):
            raise NoMailThere(Reply(556, "5.1.10", f"{domain} takes no mail (null MX)"))
        if not parsed:
            if not await self._addresses(domain):
                raise NoMailThere(Reply(550, "5.1.2", f"the domain {domain} does not exist"))
            return [domain], False
        random.shuffle(parsed)  # RFC 5321, 5.1
        return [host.rstrip(".") for _, host in sorted(parsed, key=lambda each: each[0])], signed

    async def _addresses(self, host: str) -> list[str]:
        found = list(await self.names.ask(host, "A"))
        if self.ipv6:
            found += await self.names.ask(host, "AAAA")
        return [each for each in found if self.loopback or ipaddress.ip_address(each).is_global]

    async def _care(
        self, host: str, rule: Rule, *, signed: bool, enforced: bool
    ) -> tuple[Security, tuple[Pin, ...]]:
        """DANE goes before MTA-STS (RFC 8461, 2). TLSA records that we cannot use still ask for
        TLS (RFC 7672, 2.2).
        """
        if signed:
            records, vouched = await self.names.ask_signed(f"_25._tcp.{host}", "TLSA")
            if records and vouched:
                return Security.ENCRYPT, tuple(pin for r in records if (pin := _pin(r)) is not None)
        if enforced:
            return Security.REQUIRE, ()
        return (Security.ENCRYPT if rule.tls else Security.OPPORTUNISTIC), ()

    async def _policy(self, domain: str, now: float) -> StsPolicy | None:
        """The one we hold stays in force while a newer one cannot be fetched (RFC 8461, 5.1)."""
        held = self._policies.get(domain)
        current = held[2] if held is not None and held[0] > now else None
        try:
            texts = [
                text
                for text in await self.names.ask(f"_mta-sts.{domain}", "TXT")
                if text.replace(" ", "").startswith("v=STSv1;")
            ]
        except NoAnswer:
            return current
        if len(texts) != 1 or (current is not None and held is not None and held[1] == texts[0]):
            return current
        said = await self.fetch(f"https://mta-sts.{domain}/.well-known/mta-sts.txt")
        policy = policy_of(said) if said is not None else None
        if policy is None:
            return current
        self._policies[domain] = (now + policy.seconds, texts[0], policy)
        if len(self._policies) > KEPT_MAX:
            self._policies.popitem(last=False)
        return policy


def _pin(record: str) -> Pin | None:
    words = record.split()
    try:
        usage, selector, matching = (int(word) for word in words[:3])
        data = bytes.fromhex("".join(words[3:]))
    except ValueError:
        return None
    usable = usage == DANE_EE and selector < _WAYS and matching <= _WAYS
    return Pin(selector, matching, data) if usable else None
