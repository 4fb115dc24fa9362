"""DNS made of a dictionary."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chappe_sender.domain.domain_check import NoAnswer


@dataclass
class FakeNames:
    """``(name, kind)`` → records; what is in ``silent`` gives no answer, whatever the kind."""

    records: dict[tuple[str, str], tuple[str, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[str, ...]]
    )
    silent: set[str] = field(default_factory=set[str])
    signed: bool = False

    async def ask(self, name: str, kind: str) -> tuple[str, ...]:
        if name in self.silent:
            raise NoAnswer("DNS does not answer")
        return self.records.get((name, kind), ())

    async def ask_signed(self, name: str, kind: str) -> tuple[tuple[str, ...], bool]:
        return await self.ask(name, kind), self.signed

    def publish(self, records: Mapping[str, str]) -> None:
        """TXT records."""
        for name, text in records.items():
            self.records[name, "TXT"] = (text,)
