"""What publishing would say of journeys, without a server: the command's door into this service."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from chappe.journey import Complaint
from chappe.journey.notes import notes_on
from chappe_orchestrator.application.publishing import Written, read_now


class Tried(NamedTuple):
    """A file, what it says, and the templates beside it; None: nobody asks whether they exist."""

    file: str
    text: str
    templates: Collection[str] | None


class Verdict(NamedTuple):
    """The names of the journeys that read, everything that is wrong, and what should be known."""

    journeys: list[str]
    complaints: list[Complaint]
    warnings: list[str]


def try_journeys(files: Iterable[Tried]) -> Verdict:
    """Everything at once, also between the journeys."""
    sources = [Written(one.file, one.text, one.templates) for one in files]
    journeys, complaints = read_now(sources)
    warnings = [f"{one.journey}: {note}" for one in journeys for note in notes_on(one)]
    return Verdict([one.journey for one in journeys], complaints, warnings)
