import asyncio

import msgspec
import pytest

from chappe.ids import WorkspaceId
from chappe_analytics.application.live import (
    QUEUE_LINES_MAX,
    WATCHERS_MAX,
    Live,
    TooManyWatchers,
)
from chappe_analytics.application.ports import ContactKey
from chappe_analytics.domain.timeline import entry_of_decision, entry_of_event
from tests.unit.analytics.facts import SHOP, ZOE, decision, event


async def test_a_watcher_sees_what_happens_in_its_own_workspace() -> None:
    live = Live()
    with live.watch(SHOP) as here, live.watch(WorkspaceId("other")) as there:
        live.publish([entry_of_event(event("contact.created"), ZOE)])
        await here.wait(seconds=60)
        (line,), dropped = here.take()
        assert msgspec.json.decode(line)["text"] == "Signed up"
        assert dropped == 0
        assert there.take() == ([], 0)


async def test_a_decision_is_shown_with_the_contacts_address_once_it_was_heard() -> None:
    live = Live()
    live.learn({ContactKey(SHOP, ZOE): "zoe@example.com"})
    with live.watch(SHOP) as watcher:
        live.publish([entry_of_decision(decision("entered"))])
        (line,), _ = watcher.take()
    shown = msgspec.json.decode(line)
    assert (shown["contact"], shown["email"]) == ("c_zoe", "zoe@example.com")


async def test_a_slow_watcher_loses_lines_and_is_told_how_many() -> None:
    live = Live()
    with live.watch(SHOP) as watcher:
        entry = entry_of_decision(decision("entered"))
        live.publish([entry] * (QUEUE_LINES_MAX + 5))
        lines, dropped = watcher.take()
        assert (len(lines), dropped) == (QUEUE_LINES_MAX, 5)
        assert watcher.take() == ([], 0)


async def test_there_is_room_for_a_bounded_number_of_watchers() -> None:
    live = Live()
    watching = [live.watch(SHOP) for _ in range(WATCHERS_MAX)]
    for one in watching:
        one.__enter__()
    with pytest.raises(TooManyWatchers), live.watch(SHOP):
        pass
    watching[0].__exit__(None, None, None)
    with live.watch(SHOP):
        assert live.full


async def test_the_end_of_the_process_wakes_who_waits() -> None:
    live = Live()
    with live.watch(SHOP) as watcher:
        waiting = asyncio.create_task(watcher.wait(seconds=60))
        await asyncio.sleep(0)
        live.close()
        await waiting
    assert live.closed
