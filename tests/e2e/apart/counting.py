"""What came of a run with kills: who got it, how often, and what is said about the rest."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.apart.sending import Senders


@dataclass(frozen=True, kw_only=True)
class Tally:
    """``copies`` are what arrived, by message: each a name and the bytes of one copy.

    ``doubt_max`` is how many may be in doubt at the most.
    """

    marketing: frozenset[str]
    receipts: frozenset[str]
    copies: Mapping[str, Sequence[tuple[str, bytes]]]
    states: Mapping[str, str]
    shown: frozenset[str]
    """Those that are shown in doubt."""
    struck: Sequence[str]
    doubt_max: int
    refused: frozenset[str] = frozenset()
    """Those that were refused for themselves, and are known to be."""

    @property
    def doubled(self) -> set[str]:
        return {id_ for id_ in self.marketing if len(self.copies.get(id_, ())) > 1}

    @property
    def never_arrived(self) -> set[str]:
        return set(self.marketing) - self.copies.keys() - self.refused

    @property
    def lost(self) -> set[str]:
        """Without a word."""
        return self.never_arrived - self.shown

    @property
    def lost_receipts(self) -> set[str]:
        return set(self.receipts) - self.copies.keys() - self.refused

    @property
    def sent_again(self) -> int:
        return sum(len(self.copies[id_]) - 1 for id_ in self.receipts if id_ in self.copies)

    def counts(self) -> dict[str, Any]:
        return {
            "marketing": len(self.marketing),
            "receipts": len(self.receipts),
            "kills": dict(Counter(self.struck)),
            "refused": len(self.refused),
            "marketing_doubled": len(self.doubled),
            "marketing_never_arrived": len(self.never_arrived),
            "in_doubt": len(self.shown),
            "in_doubt_max": self.doubt_max,
            "marketing_lost": len(self.lost),
            "receipts_lost": len(self.lost_receipts),
            "receipts_sent_again": self.sent_again,
        }

    def wrong(self) -> list[str]:
        """Every promise that was not kept."""
        given = len(self.marketing) + len(self.receipts)
        accepted = {id_ for id_, state in self.states.items() if state == "accepted"}
        every = [self.copies[id_] for id_ in self.receipts if id_ in self.copies]
        failed = {id_ for id_, state in self.states.items() if state == "failed"}
        others = set(self.states.values()) - {"accepted", "in_doubt", "failed"}
        promises: dict[str, Iterable[object]] = {
            "marketing arrives at most once": self.doubled,
            "what did not arrive is shown in doubt": self.lost,
            "only marketing stays in doubt": self.shown - self.marketing,
            "receipts arrive": self.lost_receipts,
            "a receipt's copies are the same": [c for c in every if len(set(c)) > 1],
            "what is called accepted has arrived": accepted - self.copies.keys(),
            "only what was refused has failed": failed - self.refused,
            "what has failed did not arrive": failed & self.copies.keys() & self.marketing,
            "every message has a row": [given] if len(self.states) != given else [],
            "every message has ended": others,
            f"no more than {self.doubt_max} are in doubt": (
                [len(self.shown)] if len(self.shown) > self.doubt_max else []
            ),
        }
        return [
            f"{said}: {sorted(map(str, found))[:5]}" for said, found in promises.items() if found
        ]


async def tally(
    place: Senders,
    copies: Mapping[str, Sequence[tuple[str, bytes]]],
    shown: Iterable[str],
    doubt_max: int,
    refused: Iterable[str] = (),
) -> Tally:
    return Tally(
        marketing=frozenset(place.load.marketing),
        receipts=frozenset(place.load.receipts),
        copies=copies,
        states=await place.load.states(),
        shown=frozenset(shown),
        struck=place.struck,
        doubt_max=doubt_max,
        refused=frozenset(refused),
    )
