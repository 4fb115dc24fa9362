"""What the door, the resolver and ``sources try`` need to know of a kind of source.

Each kind is a module of ``domain.sources`` that says these things in functions and constants of
fixed names; ``kind_of`` makes the record from the module.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Protocol, TypeAlias

from chappe.events import RawRecord
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.verify import Headers, Verdict

JSON_TYPES: Final = frozenset({"", "application/json", "*+json"})
"""Media types; "" is a delivery that names none."""


class Understand(Protocol):
    """One delivery to its facts. Pure. Raises ``Unreadable`` on what is no such delivery."""

    def __call__(self, raw: RawRecord, links: Links) -> Normalised: ...


class Verify(Protocol):
    """Whether ``body`` is from the holder of one of ``secrets``. Never raises.

    ``headers`` as they came: pairs, names in lower case, repeats kept; ``now`` is the wall clock.
    """

    def __call__(
        self, body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime
    ) -> Verdict: ...


Config: TypeAlias = Mapping[str, Any]
"""What a source of a configurable kind was told: the mapping of a generic one."""

Hydrated: TypeAlias = Callable[[RawRecord, bytes, Links], Normalised]
"""As ``Understand``, with the document that the shop's API answered. Raises ``Unreadable``."""

Entity: TypeAlias = Callable[[bytes, Headers], str | None]
"""What a delivery is about, cheaply, for its place in the order. Never raises."""

Split: TypeAlias = Callable[[bytes, Headers], Sequence[tuple[bytes, Mapping[str, str]]]]
"""A delivery of several events taken apart: each body, and headers to keep beside it.

Raises ``Unreadable``.
"""

Unsigned: TypeAlias = Callable[[bytes, Headers], bool]
"""Whether this is a delivery that its sender never signs: kept, as not verified."""

Handshake: TypeAlias = Callable[[str, Headers, str], tuple[int, bytes, Mapping[str, str]] | None]
"""Method, headers, query to status, body, headers; None: answered like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of source. ``headers``: those worth keeping, in lower case.

    ``we_issue``: the secret is ours to make; else the vendor shows it, often after it has the URL.
    ``setup``: steps with ``{url}``, ``{name}`` and ``{secret}``. ``make_…`` build the same from a
    source's configuration, where there is one.
    """

    name: str
    normalise: Understand
    verify: Verify
    entity: Entity
    headers: frozenset[str]
    vendor_hosts: tuple[str, ...] = ()
    we_issue: bool = False
    setup: tuple[str, ...] = ()
    content_types: frozenset[str] = JSON_TYPES
    handshake: Handshake | None = None
    split: Split | None = None
    unsigned: Unsigned | None = None
    hydrated: Hydrated | None = None
    make_normalise: Callable[[Config], Understand] | None = None
    make_verify: Callable[[Config], Verify] | None = None
    make_headers: Callable[[Config], frozenset[str]] | None = None
    at_door: bool = True

    def understands(self, config: Config) -> Understand:
        return self.make_normalise(config) if self.make_normalise is not None else self.normalise

    def verifies(self, config: Config) -> Verify:
        return self.make_verify(config) if self.make_verify is not None else self.verify

    def keeps(self, config: Config) -> frozenset[str]:
        """The headers worth keeping."""
        return self.make_headers(config) if self.make_headers is not None else self.headers

    def takes(self, media_type: str) -> bool:
        """Whether a body of this type (lower case, "" for none) is for this kind."""
        types = self.content_types
        return (
            media_type in types
            or "*" in types
            or (media_type.endswith("+json") and "*+json" in types)
        )


def kind_of(name: str, module: ModuleType) -> Kind:
    """The record of a module that keeps the contract."""
    types: frozenset[str] | None = getattr(module, "CONTENT_TYPES", None)
    return Kind(
        name=name,
        normalise=module.normalise,
        verify=module.verify,
        entity=module.entity,
        headers=frozenset(module.HEADERS),
        vendor_hosts=tuple(module.VENDOR_HOSTS),
        we_issue=module.WE_ISSUE_SECRET,
        setup=tuple(module.SETUP),
        content_types=JSON_TYPES if types is None else types,
        handshake=getattr(module, "handshake", None),
        split=getattr(module, "split", None),
        unsigned=getattr(module, "unsigned", None),
        hydrated=getattr(module, "hydrated", None),
        make_normalise=getattr(module, "make_normaliser", None),
        make_verify=getattr(module, "make_verify", None),
        make_headers=getattr(module, "kept_headers", None),
    )
