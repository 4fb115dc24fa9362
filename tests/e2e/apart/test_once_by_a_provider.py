"""Kill -9 of senders under load, against providers that take mail and lie about it."""

import asyncio
import json
import os
import random
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.e2e.apart.counting import Tally
from tests.e2e.apart.driving import api, messages
from tests.e2e.apart.fleet import CHAPPE, TOKEN, Process
from tests.e2e.apart.once import by_provider
from tests.e2e.apart.sending import eventually, is_ready

SEED = 38
STRIKES = [
    ["unanswered", "after_about_to_commit", "unanswered"],
    ["after_claim", "unanswered", None],
]


async def test_a_batch_is_given_away_once_and_evidence_settles_its_doubts(
    database: str, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    async with by_provider("postmark", database, tmp_path, STRIKES, dice) as run:
        found = run.found
        print(json.dumps(found.counts() | {"faults": run.faults}))
        assert found.wrong() == []
        assert found.shown & found.copies.keys(), "nothing that arrived is in doubt"
        edge = run.place.fleet.start("ingest")
        await eventually("the edge is ready", lambda: is_ready(edge))
        await _evidence_settles(found, run.last, edge)


async def test_under_keys_nothing_is_doubled_and_nothing_stays_in_doubt(
    database: str, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    async with by_provider("resend", database, tmp_path, STRIKES, dice) as run:
        print(json.dumps(run.found.counts() | {"faults": run.faults}))
        assert run.found.wrong() == []
        assert run.found.shown == set()
        assert run.found.sent_again == 0
        keys = [request.headers["idempotency-key"] for request in run.fake.requests]
        assert len(set(keys)) < len(keys), "nothing was asked again"


async def _evidence_settles(found: Tally, last: Process, edge: Process) -> None:
    """A webhook that says `delivered`, and what a person knows."""
    known, *told = sorted(found.shown & found.copies.keys())
    path = "/api/v1/providers/endpoints"
    made: dict[str, str] = await asyncio.to_thread(api, last, "POST", path, {"kind": "postmark"})
    user, _, password = made["secret"].partition(":")
    url = edge.url + urlsplit(made["url"]).path
    async with httpx.AsyncClient(auth=(user, password)) as postmark:
        for id_ in told:
            answer = await postmark.post(url, json=_delivery(id_))
            assert answer.status_code == 200, answer.text

    async def all_heard() -> bool:
        delivered = await asyncio.to_thread(messages, last, "delivered")
        return {each["id"] for each in delivered} == set(told)

    await eventually("the webhooks are heard", all_heard)
    await asyncio.to_thread(_resolve, last, known, "accepted")
    assert await _state(last, known) == ("accepted", None)
    for missing in sorted(found.never_arrived)[:1]:
        await asyncio.to_thread(_resolve, last, missing, "not_accepted")
        assert await _state(last, missing) == ("failed", "not_accepted")


async def _state(sender: Process, message: str) -> tuple[str, str | None]:
    found = await asyncio.to_thread(api, sender, "GET", f"/api/v1/messages/{message}")
    return found["state"], found["reason"]


def _delivery(message: str) -> dict[str, object]:
    return {
        "RecordType": "Delivery",
        "MessageID": f"pm-{message}",
        "Recipient": f"c{message.removeprefix('m_')}@bar.example",
        "DeliveredAt": "2026-11-24T09:00:00Z",
        "Metadata": {"chappe-message": message},
    }


def _resolve(sender: Process, message: str, how: str) -> None:
    done = subprocess.run(
        [CHAPPE, "messages", "resolve", message, "--as", how, "--note", "asked them", "--json"],
        env={"PATH": os.environ["PATH"], "CHAPPE_URL": sender.url, "CHAPPE_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["applied"], done.stdout
