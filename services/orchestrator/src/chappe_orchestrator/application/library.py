"""The journeys in memory, compiled once per version, fresh whenever a batch finds them moved."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from chappe.ids import WorkspaceId
from chappe.journey import Pinned, Program, compile_program, stored_journey
from chappe_orchestrator.application.ports import Definitions, StoredVersion
from chappe_orchestrator.domain import Journeys, arrange

NOBODY = arrange([])


class PinnedTemplate(msgspec.Struct, frozen=True, rename={"message_class": "class"}):
    """What stands on a template version, as the sender's upload answered it."""

    version: str
    message_class: str = "marketing"
    topic: str | None = None


_templates = msgspec.json.Decoder(dict[str, PinnedTemplate]).decode


def compiled(stored: StoredVersion) -> Program:
    """The program of a stored version."""
    pinned = {
        name: Pinned(one.version, marketing=one.message_class != "transactional", topic=one.topic)
        for name, one in _templates(stored.templates).items()
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

    async def published_generation(self) -> int:
        """The generation that ``reload`` would read now."""
        return await self._definitions.generation()

    async def reload(self) -> None:
        """Read again; versions already compiled are kept, for they never change."""
        generation, versions = await self._definitions.read()
        programs: defaultdict[WorkspaceId, list[Program]] = defaultdict(list)
        paused: defaultdict[WorkspaceId, set[str]] = defaultdict(set)
        for stored in versions:
            key = (stored.workspace, stored.journey, stored.version)
            if key not in self._programs:
                self._programs[key] = compiled(stored)
            programs[stored.workspace].append(self._programs[key])
            if stored.paused:
                paused[stored.workspace].add(stored.journey)
        self._journeys = {
            workspace: arrange(found, paused=paused[workspace])
            for workspace, found in programs.items()
        }
        self.generation = generation
