"""A parked contact is released: what waited for it is applied in order, before what comes now.

At most a few hundred events in one batch; a contact with more stays parked, and the batch asks for
the next release itself. What fails again leaves everything as it was, with the new reason.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chappe.events import EVENTS, Event, decode_event, encode_event, rename
from chappe.ids import EventId, derived
from chappe.shards import Input, Out, to_contact
from chappe_orchestrator.application.ports import Store, Who
from chappe_orchestrator.domain.orders import LOOK, RELEASE

RELEASED_MAX = 500
"""Events of one contact applied in one batch."""

Heard = tuple[Event, Input]


class Release(NamedTuple):
    """``kept`` waited, up to ``number``; ``later`` came now, and waits while there is ``more``."""

    kept: list[Heard]
    number: int
    later: list[Heard]
    more: bool


async def releases(store: Store, events: Mapping[Who, Sequence[Heard]]) -> dict[Who, Release]:
    """What the batch's releases set free. A contact for which nothing waits has an empty one."""
    asked = [who for who, heard in events.items() if any(e.name == RELEASE for e, _ in heard)]
    if not asked:
        return {}
    kept: defaultdict[Who, list[Heard]] = defaultdict(list)
    last: dict[Who, int] = {}
    count: defaultdict[Who, int] = defaultdict(int)
    for one in await store.parked_inputs(asked, RELEASED_MAX):
        last[one.who] = one.number
        count[one.who] += 1
        try:
            kept[one.who].append((decode_event(one.input.body), one.input))
        except msgspec.MsgspecError:  # It was one when it was parked; an older version's, then.
            continue
    return {
        who: Release(
            kept[who], last.get(who, 0), without_releases(events[who]), count[who] >= RELEASED_MAX
        )
        for who in asked
    }


def without_releases(heard: Iterable[Heard]) -> list[Heard]:
    """What is kept for a parked contact: all but the orders, which a release gives again."""
    return [(event, one) for event, one in heard if event.name not in (RELEASE, LOOK)]


def next_order(who: Who, heard: Iterable[Heard], release: Release, partitions: int) -> list[Out]:
    """What follows from a release, told to ourselves: to go on, or, once nothing waits, to look
    again for what nobody looked for meanwhile. It comes after all that the log holds by now.
    """
    what = ("more", RELEASE) if release.more else ("look", LOOK)
    for event, _ in heard:
        if event.name == RELEASE:
            order = EventId(derived("e_", event.id, what[0], str(release.number)))
            body = encode_event(rename(event, id=order, name=what[1]))
            return [to_contact(who.shard, EVENTS, event.workspace, who.contact, body, partitions)]
    return []
