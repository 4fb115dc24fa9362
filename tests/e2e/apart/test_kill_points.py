"""Kill -9 at the points where exactness is decided, with two thousand people on their way."""

import asyncio
import base64
from collections import Counter
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.apart.fleet import TOKEN, Fleet, Process, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

PEOPLE = 2_000
BATCH = 250
SETTLE_SECONDS = 120
LANES = 16  # what one killed sender may leave unknown: a message for each open connection

# Two journeys, not two mails of one: in one, a late first mail would rightly be overtaken.
JOURNEYS = {
    "first": """\
schema: 1
journey: first-mail
title: {en: At once}
trigger: {event: contact.created}
steps:
  - send: {template: first}
""",
    "second": """\
schema: 1
journey: second-mail
title: {en: After a timer}
trigger: {event: contact.created}
steps:
  - wait: 2s
  - send: {template: second}
""",
}

TEMPLATE = """\
---
subject: "NAME"
preheader: "NAME"
class: marketing
topic: news
---
<mjml><mj-body><mj-section><mj-column><mj-text>NAME {{ brand.address }}
<a href="{{ unsubscribe_url }}">Unsubscribe</a></mj-text></mj-column></mj-section></mj-body></mjml>
"""

# (role, point, how many passes before it strikes)
POINTS = [
    ("orchestrator", "after_state_commit", 2),
    ("orchestrator", "after_append", 2),
    ("sender", "after_state_commit", 3),
    ("sender", "after_append", 3),
    ("sender", "after_about_to_commit", 5),
    ("sender", "after_final_dot", 10),
]


def api(process: Process, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(
        method, process.url + path, json=body, timeout=30,
        headers={"Authorization": f"Bearer {TOKEN}"},
    )  # fmt: skip
    assert answer.is_success, answer.text
    return answer.json()


def publish(sender: Process, orchestrator: Process) -> None:
    brand = {"name": "Bar", "from": "Bar <hello@shop.example>", "address": "1 Quay, Brest"}
    api(sender, "PUT", "/api/v1/brand", brand)
    pinned: dict[str, Any] = {}
    for name in ("first", "second"):
        files = {f"{name}.mjml": TEMPLATE.replace("NAME", name)}
        made = api(sender, "POST", "/api/v1/templates", {"name": name, "files": files})
        pinned[name] = {key: made[key] for key in ("version", "class", "topic")}
    journeys = [{"file": f"{name}.yaml", "yaml": text} for name, text in JOURNEYS.items()]
    body = {"journeys": journeys, "templates": pinned}
    api(orchestrator, "POST", "/api/v1/journeys/publish", body)


def sign_up(edge: Process, key: str, numbers: range) -> None:
    """Post signups until each batch is acknowledged; a repeat is harmless."""
    token = base64.b64encode(f"{key}:".encode()).decode()
    for start in range(numbers.start, numbers.stop, BATCH):
        batch: list[dict[str, Any]] = []
        for n in range(start, min(start + BATCH, numbers.stop)):
            who = f"p{n}"
            traits = {"email": f"{who}@bar.example", "consent": {"email": "subscribed"}}
            batch += [
                {"type": "identify", "userId": who, "traits": traits, "messageId": f"a{n}"},
                {"type": "track", "userId": who, "event": "Signed Up", "messageId": f"b{n}"},
            ]

        def post(body: list[dict[str, Any]] = batch) -> bool:
            answer = httpx.post(
                f"{edge.url}/v1/batch", json={"batch": body}, timeout=30,
                headers={"Authorization": f"Basic {token}"},
            )  # fmt: skip
            return answer.status_code == 200

        until("an acknowledged batch", post)


async def received(fleet: Fleet) -> Counter[tuple[str, str]]:
    """(address, subject) of every mail, through the inbox's own API."""
    transport = httpx.ASGITransport(fleet.inbox.app)
    found: Counter[tuple[str, str]] = Counter()
    async with httpx.AsyncClient(transport=transport, base_url="http://inbox") as client:
        while True:
            start = found.total()
            page = (await client.get(f"/api/v1/messages?limit=500&start={start}")).json()
            for mail in page["messages"]:
                found[parseaddr(mail["To"][0]["Address"])[1], mail["Subject"]] += 1
            if len(page["messages"]) < 500:
                return found


def messages(sender: Process, state: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = api(sender, "GET", f"/api/v1/messages?state={state}&limit=500{cursor}")
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


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
        reached[f"{role} {point}"] = 2 * numbers.stop - (await received(fleet)).total()
        await asyncio.to_thread(doomed.handle.wait, 10)
        pairs[role] = [heir, fleet.start(role)]
    assert all(left > 0 for left in reached.values()), f"nothing was in flight: {reached}"

    sender = pairs["sender"][0]
    await asyncio.to_thread(until, "the sender is ready", sender.ready)
    wanted = {(f"p{n}@bar.example", name) for n in range(PEOPLE) for name in ("first", "second")}

    async def missing() -> set[tuple[str, str]]:
        return wanted - set(await received(fleet))

    async with asyncio.timeout(SETTLE_SECONDS):
        while left := await missing():
            doubtful = await asyncio.to_thread(messages, sender, "in_doubt")
            if left <= {(one["address"], one["template"].split("@")[0]) for one in doubtful}:
                break
            await asyncio.sleep(0.5)
    doubtful = await asyncio.to_thread(messages, sender, "in_doubt")
    found = await received(fleet)
    print(
        f"{PEOPLE} people, {found.total()} mails, {len(await missing())} without, "
        f"{sum(count > 1 for count in found.values())} doubled, {len(doubtful)} in doubt; "
        f"in flight at each kill: {reached}"
    )
    assert len(doubtful) <= LANES * sum(role == "sender" for role, _, _ in POINTS)
    assert not [who for who, count in found.items() if count > 1]
    assert await missing() <= {(one["address"], one["template"].split("@")[0]) for one in doubtful}
