"""What DNS must say of a domain before receivers trust its mail: pass, fail, or unknown.

SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489; the organisational domain is found by walking up
the tree), PTR, MX. Only what was really answered fails; a look that got no answer is unknown.
"""

import base64
import binascii
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from chappe_sender.domain.sender_domain import DomainKey, KeyState, signing_domains
from chappe_sender.domain.spf import SpfResult, evaluate, includes, record_of

SPF_INCLUDES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ses": ("amazonses.com",), "sendgrid": ("sendgrid.net",), "mailgun": ("mailgun.org",),
        "postmark": ("spf.mtasv.net",), "mailjet": ("spf.mailjet.com",),
        "brevo": ("spf.brevo.com", "spf.sendinblue.com"), "resend": ("amazonses.com",),
        "sparkpost": ("sparkpostmail.com",),
    }
)  # fmt: skip


class NoAnswer(Exception):
    """DNS did not answer, or not in time: nothing is known."""


class Names(Protocol):
    """DNS."""

    async def ask(self, name: str, kind: str) -> tuple[str, ...]:
        """TXT as joined strings, MX as ``10 host``, A, AAAA, PTR (of an address). Empty: there is
        none. Raises ``NoAnswer``.
        """
        ...


class Door(Protocol):
    """Where other people's hosts take mail."""

    async def ask(self, host: str, recipients: Sequence[str]) -> tuple[str, ...]:
        """What RCPT is answered with for each; nothing is sent. Raises ``NoAnswer``."""
        ...


@dataclass(frozen=True, slots=True)
class ReturnTest:
    """How to see whether returned mail reaches us: an address that we signed, and one that nobody
    did.
    """

    door: Door
    signed: str
    forged: str


class Result(StrEnum):
    """``unknown`` is no reason for anything."""

    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """``mismatch``: DNS says something else than what we send, so receivers refuse or distrust it;
    a record that is only missing is none.
    """

    check: str
    result: Result
    detail: str
    mismatch: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """A way out as the checks see it. ``kind`` is ``inbox`` (ours, on this machine), ``relay``,
    ``direct``, or a provider's. ``signs``: our own signature arrives.
    """

    name: str
    kind: str
    signs: bool
    host: str | None = None
    addresses: tuple[str, ...] = ()
    ehlo_name: str | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """A record that somebody must put into DNS."""

    type: str
    name: str
    value: str
    why: str


def to_publish(
    domain: str, keys: Sequence[DomainKey], ways: Sequence[Way], bounce_domain: str | None
) -> list[Publish]:
    """Every record, whether it is there or not."""
    records = [
        Publish("TXT", key.record_name(domain), key.record, f"DKIM, {key.algorithm}")
        for key in keys
        if key.state is not KeyState.RETIRED
    ]
    terms: list[str] = []
    for way in ways:
        terms += [f"include:{each}" for each in SPF_INCLUDES.get(way.kind, ())[:1]]
        terms += [f"ip{ipaddress.ip_address(each).version}:{each}" for each in way.addresses]
        if way.kind == "relay" and way.host is not None:
            terms.append(f"a:{way.host}")
    back = bounce_domain or domain
    spf = " ".join(["v=spf1", *dict.fromkeys(terms), "~all"])
    records.append(Publish("TXT", back, spf, "SPF; merge it into the one that is there"))
    records.append(
        Publish("TXT", f"_dmarc.{domain}", "v=DMARC1; p=none", "DMARC; raise p once all is well")
    )
    return records


@dataclass(frozen=True, slots=True)
class Look:
    """One look at DNS for a domain, way by way."""

    names: Names
    domain: str
    keys: Sequence[DomainKey]
    bounce_domain: str | None = None
    returning: ReturnTest | None = None

    async def returned(self) -> Finding | None:
        """Whether the bounce domain's host leads to our intake, which alone tells an address that
        we signed from another; None where nobody takes its mail.
        """
        test, domain = self.returning, self.bounce_domain
        if test is None or domain is None:
            return None
        try:
            exchangers = await self.names.ask(domain, "MX")
            ranked = [each.split() for each in exchangers if each.split()[-1] != "."]
            if not ranked:
                return None
            host = min(ranked, key=lambda each: int(each[0]))[-1].rstrip(".")
            signed, forged = await test.door.ask(host, (test.signed, test.forged))
        except NoAnswer as error:
            return Finding("RETURN", Result.UNKNOWN, f"{error}; is port 25 open from here?")
        except ValueError:
            return Finding("RETURN", Result.UNKNOWN, f"{domain}: its MX cannot be read")
        if signed.startswith("5"):
            return Finding("RETURN", Result.FAIL, f"{host} refuses a return address: {signed}")
        if not signed.startswith("2"):
            return Finding("RETURN", Result.UNKNOWN, f"{host} says {signed}")
        if forged.startswith("5"):
            return Finding("RETURN", Result.PASS, f"{host} takes what we signed, and nothing else")
        said = f"{host} takes any address: whether it hands them to us cannot be seen from here"
        return Finding("RETURN", Result.UNKNOWN, said)

    async def dkim(self) -> list[tuple[DomainKey, Finding]]:
        """One finding for each key that signs or waits."""
        found: list[tuple[DomainKey, Finding]] = []
        for key in self.keys:
            if key.state is not KeyState.RETIRED:
                found.append((key, await self._key(key)))  # noqa: PERF401 - reads better awaited
        return found

    async def way(self, way: Way, dkim: Sequence[tuple[DomainKey, Finding]]) -> list[Finding]:
        spf, spf_domain = await self._spf(way)
        signed = _signed(way, dkim)
        return [
            spf, signed, await self._dmarc(spf, spf_domain, signed), await self._ptr(way),
            await self._mx(),
        ]  # fmt: skip

    async def _key(self, key: DomainKey) -> Finding:
        name = key.record_name(self.domain)
        try:
            texts = await self.names.ask(name, "TXT")
        except NoAnswer as error:
            return Finding("DKIM", Result.UNKNOWN, f"{name}: {error}")
        if not texts:
            return Finding("DKIM", Result.FAIL, f"{name} is not published")
        if any(_public(text) == _public(key.record) for text in texts):
            return Finding("DKIM", Result.PASS, f"{name} is our key")
        return Finding("DKIM", Result.FAIL, f"{name} is another key", mismatch=True)

    async def _spf(self, way: Way) -> tuple[Finding, str]:
        domain = self.bounce_domain or self.domain
        try:
            return await self._spf_of(way, domain), domain
        except NoAnswer as error:
            return Finding("SPF", Result.UNKNOWN, f"{domain}: {error}"), domain

    async def _spf_of(self, way: Way, domain: str) -> Finding:
        records = [t for t in await self.names.ask(domain, "TXT") if record_of(t) is not None]
        if len(records) > 1:
            said = f"{domain} has {len(records)} SPF records: receivers see an error"
            return Finding("SPF", Result.FAIL, said, mismatch=way.kind == "direct")
        if wanted := SPF_INCLUDES.get(way.kind):
            for each in wanted:
                if await includes(self.names, domain, each):
                    return Finding("SPF", Result.PASS, f"{domain} includes {each}")
            said = f"{domain} does not include {wanted[0]}; the provider may use its own domain"
            return Finding("SPF", Result.UNKNOWN, said)
        if not records:
            return Finding("SPF", Result.FAIL, f"{domain} has no SPF record")
        ours = way.addresses or await self._addresses(way.host)
        results = [await evaluate(self.names, domain, each) for each in ours]
        if results and all(result is SpfResult.PASS for result in results):
            return Finding("SPF", Result.PASS, f"{domain} permits {', '.join(ours)}")
        if way.kind != "direct" or not results or SpfResult.UNKNOWN in results:
            return Finding("SPF", Result.UNKNOWN, "which addresses mail leaves from is not known")
        hard = SpfResult.FAIL in results
        return Finding("SPF", Result.FAIL, f"{domain} permits {', '.join(ours)} not", mismatch=hard)

    async def _addresses(self, host: str | None) -> tuple[str, ...]:
        if host is None:
            return ()
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            return (*await self.names.ask(host, "A"), *await self.names.ask(host, "AAAA"))

    async def _dmarc(self, spf: Finding, spf_domain: str, dkim: Finding) -> Finding:
        try:
            where, tags = await self._policy()
        except NoAnswer as error:
            return Finding("DMARC", Result.UNKNOWN, f"{self.domain}: {error}")
        if where is None:
            return Finding("DMARC", Result.FAIL, f"_dmarc.{self.domain} is not published")
        strict = tags.get("aspf", "r").lower().startswith("s")
        near = spf_domain == self.domain or (
            not strict and (_under(spf_domain, where) and _under(self.domain, where))
        )
        if dkim.result is Result.PASS or (spf.result is Result.PASS and near):
            return Finding("DMARC", Result.PASS, f"aligned; {where} asks p={tags.get('p', 'none')}")
        if Result.UNKNOWN in {dkim.result, spf.result}:
            return Finding("DMARC", Result.UNKNOWN, "alignment is not known")
        enforced = tags.get("p", "none").lower() in {"reject", "quarantine"}
        said = f"neither DKIM nor SPF is aligned; {where} asks p={tags.get('p', 'none')}"
        return Finding("DMARC", Result.FAIL, said, mismatch=enforced)

    async def _policy(self) -> tuple[str | None, dict[str, str]]:
        for name in signing_domains(self.domain):
            for text in await self.names.ask(f"_dmarc.{name}", "TXT"):
                if text.strip().lower().startswith("v=dmarc1"):
                    return name, _tags(text)
        return None, {}

    async def _ptr(self, way: Way) -> Finding:
        if way.kind != "direct" or not way.addresses:
            return Finding("PTR", Result.UNKNOWN, "whoever sends on has its own")
        try:
            for address in way.addresses:
                names = [name.rstrip(".").lower() for name in await self.names.ask(address, "PTR")]
                wanted = (way.ehlo_name or "").lower()
                if wanted not in names:
                    said = f"{address} is called {names or 'nothing'}, not {wanted}"
                    return Finding("PTR", Result.FAIL, said, mismatch=bool(names))
                if address not in await self._addresses(wanted):
                    return Finding("PTR", Result.FAIL, f"{wanted} does not lead to {address}")
        except NoAnswer as error:
            return Finding("PTR", Result.UNKNOWN, str(error))
        return Finding("PTR", Result.PASS, f"{way.ehlo_name}, there and back")

    async def _mx(self) -> Finding:
        back = self.bounce_domain or self.domain
        try:
            exchangers = await self.names.ask(back, "MX")
            if any(each.split()[-1] == "." for each in exchangers):
                return Finding("MX", Result.FAIL, f"{back} says that it takes no mail")
            if exchangers:
                return Finding("MX", Result.PASS, f"{back} takes mail at {exchangers[0]}")
            if await self._addresses(back):
                return Finding("MX", Result.PASS, f"{back} takes mail at its own address")
        except NoAnswer as error:
            return Finding("MX", Result.UNKNOWN, f"{back}: {error}")
        return Finding("MX", Result.FAIL, f"{back} takes no mail: bounces are lost")


def _signed(way: Way, dkim: Sequence[tuple[DomainKey, Finding]]) -> Finding:
    """Of the keys that sign; one that waits for its record breaks nothing."""
    if not way.signs:
        return Finding("DKIM", Result.UNKNOWN, "the provider signs; look in its console")
    signing = [finding for key, finding in dkim if key.state is KeyState.ACTIVE]
    if not signing:
        return Finding("DKIM", Result.FAIL, "no key signs this domain's mail")
    order = (Result.FAIL, Result.UNKNOWN, Result.PASS)
    return min(signing, key=lambda finding: (order.index(finding.result), not finding.mismatch))


def _public(record: str) -> bytes:
    try:
        return base64.b64decode("".join(_tags(record).get("p", "").split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _under(name: str, top: str) -> bool:
    return name == top or name.endswith(f".{top}")
