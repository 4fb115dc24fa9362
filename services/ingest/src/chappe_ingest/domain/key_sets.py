"""A vendor's public keys by their address: a secret whose first lines say where it comes from.

The address is an operator's word, never a delivery's, and is checked against the hosts that the
kind's keys may come from.
"""

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from chappe_ingest.domain.links import Links

ADDRESSES_MAX: Final = 2
ADOBE_HOST: Final = "static.adobeioevents.com"

_Host = Callable[[str, Links], bool]
_HOSTS: Final[dict[str, tuple[_Host, str]]] = {
    "saleor": (
        lambda host, links: links.owns(host),
        "the keys of a Saleor source come from one of its own domains: add it with --domain",
    ),
    "adobe": (lambda host, _: host == ADOBE_HOST, f"Adobe's keys come from {ADOBE_HOST}"),
}


def addresses_of(secret: str) -> tuple[str, ...]:
    """Where a secret comes from; empty for one that was pasted."""
    found: list[str] = []
    for word in secret.split(maxsplit=ADDRESSES_MAX)[:ADDRESSES_MAX]:
        if not word.startswith("https://"):
            break
        found.append(word)
    return tuple(found)


def document_of(secret: str) -> str:
    """The keys themselves."""
    for address in addresses_of(secret):
        secret = secret.lstrip().removeprefix(address)
    return secret.strip()


def secret_of(addresses: Sequence[str], documents: Sequence[str]) -> str:
    return "\n".join((*addresses, *documents))


def refusal(kind: str, addresses: Sequence[str], links: Links) -> str | None:
    """Why keys are not fetched from ``addresses``; None: they may be."""
    rule = _HOSTS.get(kind)
    if rule is None:
        return f"the secret of a {kind} source is not fetched from an address: paste it"
    allowed, why = rule
    hosts = [(urlsplit(each).hostname or "").lower() for each in addresses]
    return None if all(allowed(host, links) for host in hosts) else why
