"""Drive a fleet as its customers would: publish, sign people up, count what arrived."""

import base64
from collections import Counter
from email.utils import parseaddr
from typing import Any

import httpx

from chappe_onebox.inbox import Inbox
from tests.e2e.apart.fleet import TOKEN, Process, until

BATCH = 250

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


async def received(inbox: Inbox) -> Counter[tuple[str, str]]:
    """(address, subject) of every mail, through the inbox's own API."""
    transport = httpx.ASGITransport(inbox.app)
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
