"""Hands letters to a way out and remembers what became of each."""

import asyncio
from dataclasses import dataclass, field

from chappe_sender.application.ports import Parcel, Verdict
from chappe_sender.domain.envelope import Envelope


@dataclass(frozen=True)
class Letter:
    name: str
    envelope: Envelope


@dataclass
class Desk:
    """Hands out letters and writes down what became of them."""

    letters: list[Letter]
    forbidden: set[str] = field(default_factory=set)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._left = len(self.letters)

    async def take(self) -> Parcel:
        if not self.letters:
            await asyncio.Event().wait()
        return self.letters.pop(0)

    def take_now(self) -> Parcel | None:
        return self.letters.pop(0) if self.letters else None

    async def about_to_commit(self, parcel: Parcel) -> bool:
        assert isinstance(parcel, Letter)
        self.order.append(f"commit {parcel.name}")
        if parcel.name in self.forbidden:
            self._count()
            return False
        return True

    def report(self, parcel: Parcel, verdict: Verdict) -> None:
        assert isinstance(parcel, Letter)
        assert parcel.name not in self.verdicts
        self.order.append(f"report {parcel.name}")
        self.verdicts[parcel.name] = verdict
        self._count()

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self.done.set()
