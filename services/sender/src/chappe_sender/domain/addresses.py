"""Addresses we can write to: a plain local part, a domain that the wire understands."""

import functools
import re
from dataclasses import dataclass

from typing_extensions import override

LOCAL_OCTETS_MAX = 64
ADDRESS_OCTETS_MAX = 254
_ATOM = r"[^\x00-\x20\x7f-\x9f()<>,;:\\\"\[\]@.]+"
_LOCAL = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Address:
    """``local@domain``, the domain in its ASCII form. ``local`` may be international (RFC 6531),
    which needs SMTPUTF8 all the way.
    """

    local: str
    domain: str

    @override
    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def needs_utf8(self) -> bool:
        return not self.local.isascii()


def parse_address(text: str) -> Address | None:
    """None for what no mail server should be asked to take, quoted local parts and literals too."""
    local, at, domain = text.strip().rpartition("@")
    if (
        not at
        or not _LOCAL.fullmatch(local)
        or len(local.encode("utf-8", "replace")) > LOCAL_OCTETS_MAX
    ):
        return None
    try:
        local.encode("utf-8")
    except UnicodeError:
        return None
    wire = _on_the_wire(domain)
    if wire is None:
        return None
    address = Address(local, wire)
    return address if len(str(address).encode()) <= ADDRESS_OCTETS_MAX else None


@functools.lru_cache(maxsize=4096)
def _on_the_wire(domain: str) -> str | None:
    try:
        wire = domain.lower().encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = wire.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return None
    return wire


def address_key(text: str) -> str:
    """The form under which suppressions are kept: trimmed and in lower case."""
    return text.strip().lower()


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name and an address: ``Shop <hello@shop.example>``."""

    name: str
    address: Address


@functools.lru_cache(maxsize=1024)
def parse_mailbox(text: str) -> Mailbox | None:
    """``Name <address>``, ``"Name" <address>`` or a bare address."""
    if _CONTROLS.search(text):
        return None
    match = re.fullmatch(r"\s*(.*?)\s*<([^<>]+)>\s*", text)
    name, bare = (match[1], match[2]) if match else ("", text)
    address = parse_address(bare)
    if address is None:
        return None
    return Mailbox(re.sub(r'^"(.*)"$', r"\1", name).replace('\\"', '"'), address)
