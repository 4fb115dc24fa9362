"""What publishing would do, without doing it; and what it must not do."""

from collections.abc import Sequence
from dataclasses import dataclass

from chappe.ids import WorkspaceId
from chappe.journey import Complaint, Journey, canonical_json, stored_journey, with_ids
from chappe.journey.definition import walk_steps
from chappe.journey.moves import moved_ids, written_ids
from chappe_orchestrator.application.ports import JourneyRow, People, Shelf
from chappe_orchestrator.application.publishing import Written


@dataclass(frozen=True, slots=True)
class Planned:
    """One journey beside its published version: ``change`` is new, changed, same or returns.

    ``version`` is the published one, None for a new journey. ``inside`` counts people by version.
    """

    journey: str
    change: str
    version: int | None
    added: list[str]
    removed: list[str]
    inside: dict[int, int]


@dataclass(frozen=True, slots=True)
class PlanJourneys:
    """Compares what was written with what is live."""

    shelf: Shelf
    people: People

    async def __call__(self, workspace: WorkspaceId, journeys: Sequence[Journey]) -> list[Planned]:
        """In the order given."""
        planned: list[Planned] = []
        for journey in journeys:
            row = await self.shelf.one(workspace, journey.journey)
            inside = await self.people.inside(workspace, journey.journey)
            people = {version: sum(at.values()) for version, at in sorted(inside.items())}
            planned.append(_planned(journey, row, people))
        return planned

    async def moved(
        self, workspace: WorkspaceId, sources: Sequence[Written], journeys: Sequence[Journey]
    ) -> list[Complaint]:
        """Every step of a live journey whose unwritten id would stand for another step."""
        complaints: list[Complaint] = []
        for source, journey in zip(sources, journeys, strict=True):
            row = await self.shelf.one(workspace, journey.journey)
            if row is None or row.definition is None or row.archived:
                continue
            before = stored_journey(row.definition)
            for problem in moved_ids(before, journey, written_ids(source.text, journey)):
                where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in problem.at)
                complaints.append(
                    Complaint(source.file, 1, 1, where.removeprefix("."), problem.what)
                )
        return complaints


def _planned(journey: Journey, row: JourneyRow | None, inside: dict[int, int]) -> Planned:
    now = _ids(journey)
    if row is None or row.definition is None:
        return Planned(journey.journey, "new", None, now, [], inside)
    was = _ids(stored_journey(row.definition))
    same = row.definition == canonical_json(journey)
    change = "returns" if row.archived else "same" if same else "changed"
    added = [step for step in now if step not in was]
    removed = [step for step in was if step not in now]
    return Planned(journey.journey, change, row.version, added, removed, inside)


def _ids(journey: Journey) -> list[str]:
    return [step.id or "" for _, step in walk_steps(with_ids(journey).steps)]
