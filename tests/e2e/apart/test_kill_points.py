"""Kill -9 at the points where exactness is decided, with two thousand people on their way."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.apart.driving import api, messages, publish, received, sign_up
from tests.e2e.apart.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

PEOPLE = 2_000
SETTLE_SECONDS = 120
LANES = 16  # what one killed sender may leave unknown: a message for each open connection

# (role, point, how many passes before it strikes)
POINTS = [
    ("orchestrator", "after_state_commit", 2),
    ("orchestrator", "after_append", 2),
    ("sender", "after_state_commit", 3),
    ("sender", "after_append", 3),
    ("sender", "after_about_to_commit", 5),
    ("sender", "after_final_dot", 10),
]


async def test_each_contact_gets_each_mail_once_whatever_is_killed(
    fleet: Fleet, tmp_path: Path
) -> None:
    edge, others = fleet.start("ingest"), fleet.start("resolver", "analytics")
    pairs = {role: [fleet.start(role), fleet.start(role)] for role in ("orchestrator", "sender")}

    def everybody_ready() -> bool:
        everyone = [edge, others, *pairs["orchestrator"], *pairs["sender"]]
        return all(process.ready() for process in everyone)

    await asyncio.to_thread(until, "all ready", everybody_ready)
    await asyncio.to_thread(publish, pairs["sender"][0], pairs["orchestrator"][0])
    source = api(edge, "POST", "/api/v1/sources", {"kind": "segment", "name": "bar"})
    share = PEOPLE // len(POINTS) + 1
    reached: dict[str, int] = {}
    for number, (role, point, passes) in enumerate(POINTS):
        mark = tmp_path / f"{role}-{point}"
        for process in pairs[role]:
            await asyncio.to_thread(process.stop)
        doomed = fleet.start(role, fault=f"{point}:{passes}", mark=mark)
        await asyncio.to_thread(
            until,
            f"{role} is ready",
            lambda: mark.exists() or doomed.ready(),  # noqa: B023
        )
        heir = fleet.start(role)
        numbers = range(number * share, min((number + 1) * share, PEOPLE))
        await asyncio.to_thread(sign_up, edge, source["secret"], numbers)
        await asyncio.to_thread(until, f"{role} reaches {point}", mark.exists)
        reached[f"{role} {point}"] = 2 * numbers.stop - (await received(fleet.inbox)).total()
        await asyncio.to_thread(doomed.handle.wait, 10)
        pairs[role] = [heir, fleet.start(role)]
    assert all(left > 0 for left in reached.values()), f"nothing was in flight: {reached}"

    sender = pairs["sender"][0]
    await asyncio.to_thread(until, "the sender is ready", sender.ready)
    wanted = {(f"p{n}@bar.example", name) for n in range(PEOPLE) for name in ("first", "second")}

    async def missing() -> set[tuple[str, str]]:
        return wanted - set(await received(fleet.inbox))

    async with asyncio.timeout(SETTLE_SECONDS):
        while left := await missing():
            doubtful = await asyncio.to_thread(messages, sender, "in_doubt")
            if left <= {(one["address"], one["template"].split("@")[0]) for one in doubtful}:
                break
            await asyncio.sleep(0.5)
    doubtful = await asyncio.to_thread(messages, sender, "in_doubt")
    found = await received(fleet.inbox)
    print(
        f"{PEOPLE} people, {found.total()} mails, {len(await missing())} without, "
        f"{sum(count > 1 for count in found.values())} doubled, {len(doubtful)} in doubt; "
        f"in flight at each kill: {reached}"
    )
    assert len(doubtful) <= LANES * sum(role == "sender" for role, _, _ in POINTS)
    assert not [who for who, count in found.items() if count > 1]
    assert await missing() <= {(one["address"], one["template"].split("@")[0]) for one in doubtful}
