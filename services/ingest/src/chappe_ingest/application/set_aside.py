"""What the log never takes, kept on this machine's disk: looked at, tried again, thrown away."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chappe.broker import Broker
from chappe_ingest.application.spool import Spooled


@dataclass(frozen=True, slots=True)
class SetAside:
    """One record, and why it stays."""

    id: str
    at: dt.datetime
    why: str
    record: Spooled


class Shelf(Protocol):
    """Where they are kept. Blocking."""

    def all(self) -> Sequence[SetAside]:
        """The newest first."""
        ...

    def one(self, id_: str) -> SetAside | None: ...

    def discard_before(self, then: dt.datetime) -> int:
        """Those that were set aside before ``then`` (wall clock); how many went."""
        ...

    def discard(self, id_: str) -> None:
        """Gone for ever; nothing happens when it is gone already."""
        ...


async def replay(broker: Broker, found: SetAside) -> None:
    """Into the log, where it belongs. Raises ``RecordTooLarge`` when it still does not fit."""
    await broker.append(found.record.stream, [found.record.record])
