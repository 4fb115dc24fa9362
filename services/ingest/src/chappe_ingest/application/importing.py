"""How far an import is, so that it goes on where it was cut off."""

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

from chappe.ids import WorkspaceId


@dataclass(frozen=True, slots=True)
class Standing:
    """The rows before ``next_row`` are in; ``done``: all of them."""

    id: str
    next_row: int
    taken: int
    refused: int
    done: bool


@dataclass(frozen=True, slots=True)
class Step:
    """The rows from ``first_row`` up to ``next_row`` were taken; ``done``: no more follow."""

    first_row: int
    next_row: int
    taken: int
    refused: int
    done: bool


class Progress(Protocol):
    """How far each table is in, for as long as repeats of its rows are known as such."""

    async def of(self, workspace: WorkspaceId, id_: str, *, now: dt.datetime) -> Standing | None:
        """None when nothing of it came lately."""
        ...

    async def add(self, workspace: WorkspaceId, id_: str, step: Step, *, now: dt.datetime) -> None:
        """Counts where ``step`` begins where the one before it ended."""
        ...
