"""The journeys in memory, compiled once per version, fresh whenever a batch finds them moved."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from chappe.ids import WorkspaceId
from chappe.journey import (
    JourneySettings,
    Pinned,
    Program,
    compile_program,
    stored_journey,
)
from chappe.journey.segments import stored_segment
from chappe_orchestrator.application.ports import Definitions, StoredVersion
from chappe_orchestrator.domain import Journeys, arrange
from chappe_orchestrator.domain.journeys import policy_of
from chappe_orchestrator.domain.segments import SEGMENTS

NOBODY = arrange([])


class PinnedTemplate(msgspec.Struct, frozen=True, rename={"message_class": "class"}):
    """What stands on a template version, as the sender's upload answered it."""

    version: str
    message_class: str = "marketing"
    topic: str | None = None


pinned_templates = msgspec.json.Decoder(dict[str, PinnedTemplate]).decode


def compiled(stored: StoredVersion) -> Program:
    """The program of a stored version."""
    pinned = {
        name: Pinned(one.version, marketing=one.message_class != "transactional", topic=one.topic)
        for name, one in pinned_templates(stored.templates).items()
    }
    journey = stored_journey(stored.definition)
    return compile_program(journey, version=stored.version, templates=pinned)


class Library:
    """Gives each workspace its journeys. ``generation`` is the one they were read at."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._programs: dict[tuple[WorkspaceId, str, int], Program] = {}
        self._journeys: Mapping[WorkspaceId, Journeys] = {}
        self.generation = -1

    def of(self, workspace: WorkspaceId) -> Journeys:
        """The journeys of a workspace; none for one that has published nothing."""
        return self._journeys.get(workspace, NOBODY)

    def watching(self) -> Iterator[tuple[WorkspaceId, str, int]]:
        """What every contact is looked at for once, and its version: the current journeys that a
        date or a silence of the contact begins, and the segments of the workspace together.
        """
        for workspace, journeys in self._journeys.items():
            for program in journeys.watching.values():
                yield workspace, program.journey, program.version
            if journeys.segments.checks:
                yield workspace, SEGMENTS, journeys.segments.version

    async def published_generation(self) -> int:
        """The generation that ``reload`` would read now."""
        return await self._definitions.generation()

    async def reload(self) -> None:
        """Read again; versions already compiled are kept, for they never change."""
        generation, versions = await self._definitions.read()
        programs: defaultdict[WorkspaceId, list[Program]] = defaultdict(list)
        paused: defaultdict[WorkspaceId, set[str]] = defaultdict(set)
        archived: defaultdict[WorkspaceId, set[str]] = defaultdict(set)
        for stored in versions:
            key = (stored.workspace, stored.journey, stored.version)
            if key not in self._programs:
                self._programs[key] = compiled(stored)
            programs[stored.workspace].append(self._programs[key])
            if stored.paused:
                paused[stored.workspace].add(stored.journey)
            if stored.archived:
                archived[stored.workspace].add(stored.journey)
        stored_segments = await self._definitions.segments()
        stored_settings = await self._definitions.settings()
        settings = {
            workspace: JourneySettings.model_validate_json(stored_settings.get(workspace, b"{}"))
            for workspace in {*programs, *stored_settings, *stored_segments}
        }
        self._journeys = {
            workspace: arrange(
                programs[workspace],
                paused=paused[workspace],
                archived=archived[workspace],
                test_recipients=said.test_recipients,
                policy=policy_of(said),
                segments=map(stored_segment, stored_segments.get(workspace, ())),
            )
            for workspace, said in settings.items()
        }
        self.generation = generation
