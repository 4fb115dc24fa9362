"""What of a delivery is kept: its body, or its parts, and the few headers worth keeping."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chappe_ingest.domain.kind import Config, Kind
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.verify import Headers

HEADER_MAX_CHARS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Part:
    """One delivery as it goes into the log."""

    headers: dict[str, str]
    body: bytes
    entity: str | None


def deliveries(kind: Kind, config: Config, body: bytes, headers: Headers) -> list[Part]:
    """Usually one; several where the kind knows how to take ``body`` apart.

    One that cannot be taken apart stays whole, and the resolver says why it means nothing.
    """
    kept = kept_headers(kind.keeps(config), headers)
    parts: Sequence[tuple[bytes, Mapping[str, str]]] = ()
    if kind.split is not None:
        with contextlib.suppress(Unreadable):
            parts = kind.split(body, headers)
    if not parts:
        return [Part(kept, body, kind.entity(body, headers))]
    own = [(part, kept | dict(more)) for part, more in parts]
    return [Part(more, part, kind.entity(part, list(more.items()))) for part, more in own]


def kept_headers(wanted: frozenset[str], headers: Headers) -> dict[str, str]:
    """The first value of each that is wanted, bounded."""
    kept: dict[str, str] = {}
    for name, value in headers:
        if name in wanted and name not in kept:
            kept[name] = value[:HEADER_MAX_CHARS]
    return kept
