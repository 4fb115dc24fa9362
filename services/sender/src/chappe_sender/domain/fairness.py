"""Whose turn it is: transactional mail first, then workspaces alike, however much each has queued.

A lane is what waits of one workspace and priority in one shard.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from chappe.ids import WorkspaceId
from chappe_sender.domain.template import MessageClass

TRANSACTIONAL: Final = 0
"""The priority of transactional mail; all others are of marketing."""


@dataclass(frozen=True, slots=True)
class Lane:
    """``next_at`` is when its first message is due."""

    shard: int
    priority: int
    workspace: WorkspaceId
    next_at: dt.datetime

    @property
    def message_class(self) -> MessageClass:
        if self.priority == TRANSACTIONAL:
            return MessageClass.TRANSACTIONAL
        return MessageClass.MARKETING


@dataclass(frozen=True, slots=True)
class Share:
    """How many messages a lane may give to one claim."""

    lane: Lane
    messages: int


def shares(lanes: Sequence[Lane], limit: int) -> list[Share]:
    """In the order in which they count: of what they give, the first ``limit`` are taken.

    Each priority might fill the whole claim; its workspaces get equal parts of it, those first
    whose mail has waited longest.
    """
    found: list[Share] = []
    for _, alike in groupby(sorted(lanes, key=attrgetter("priority")), attrgetter("priority")):
        by_workspace: dict[WorkspaceId, list[Lane]] = {}
        for lane in sorted(alike, key=attrgetter("next_at")):
            by_workspace.setdefault(lane.workspace, []).append(lane)
        for its, part in zip(by_workspace.values(), _parts(limit, len(by_workspace)), strict=True):
            for lane, messages in zip(its, _parts(part, len(its)), strict=True):
                if messages:
                    found.append(Share(lane, messages))
    return found


def _parts(whole: int, number: int) -> list[int]:
    """Equal ones, the first of them one larger where it does not come out even."""
    each, over = divmod(whole, number)
    return [each + (at < over) for at in range(number)]
