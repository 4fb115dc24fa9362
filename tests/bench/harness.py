"""A one box of our own to measure, driven from outside as a shop would."""

import base64
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
CHAPPE = Path(sys.executable).with_name("chappe")
START_SECONDS_MAX = 60
TOKEN = "bench-token-0123456789abcdef"

JOURNEY = """\
schema: 1
journey: bench
title: {en: One mail at once}
trigger: {event: contact.created}
steps:
  - send: {template: bench-mail}
"""

TEMPLATE = """\
---
subject: "{{ contact.first_name | default: 'Hello' }}, welcome"
preheader: "A word before we start"
class: marketing
topic: news
---
<mjml><mj-body><mj-section><mj-column>
<mj-text>Hello {{ contact.first_name }}, this is the mail that the clock runs for.</mj-text>
<mj-button href="https://shop.example/start">Start</mj-button>
<mj-text>{{ brand.address }} <a href="{{ unsubscribe_url }}">Unsubscribe</a></mj-text>
</mj-column></mj-section></mj-body></mjml>
"""


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": os.getloadavg()[0],
    }


def result(name: str, value: float, unit: str, per: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "per": per, "settings": settings}


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Box:
    """A running ``chappe up`` with one journey that mails every signup."""

    def __init__(self, process: subprocess.Popen[bytes], endpoints: dict[str, Any]) -> None:
        self.process = process
        self.url: str = endpoints["url"].rstrip("/")
        self.inbox: str = (endpoints["inbox"] or "").rstrip("/")
        self.client = httpx.Client(timeout=60)
        self.key = self._source()
        self._brand()
        self.publish("bench", JOURNEY, "bench-mail")

    def api(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(
            method, self.url + path, json=body, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        answer.raise_for_status()
        return answer.json()

    def _source(self) -> str:
        made = self.api("POST", "/api/v1/sources", {"kind": "segment", "name": "bench"})
        return made["secret"]

    def _brand(self) -> None:
        brand = {"name": "Bench", "from": "Bench <hello@bench.example>", "address": "1 Quay, Brest"}
        self.api("PUT", "/api/v1/brand", brand)

    def publish(self, name: str, journey: str, template: str) -> None:
        """A journey whose one mail is the bench's."""
        files = {f"{template}.mjml": TEMPLATE}
        made = self.api("POST", "/api/v1/templates", {"name": template, "files": files})
        pinned = {key: made[key] for key in ("version", "class", "topic")}
        journeys = [{"file": f"{name}.yaml", "yaml": journey}]
        body = {"journeys": journeys, "templates": {template: pinned}}
        self.api("POST", "/api/v1/journeys/publish", body)

    @property
    def headers(self) -> dict[str, str]:
        token = base64.b64encode(f"{self.key}:".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    def mails(self) -> int:
        return self.client.get(f"{self.inbox}/api/v1/messages?limit=1").json()["total"]

    def all_mails(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.client.get(
                f"{self.inbox}/api/v1/messages?limit=500&start={len(found)}"
            ).json()["messages"]
            found += page
            if len(page) < 500:
                return found

    def cpu_seconds(self) -> float:
        """CPU of the box's own process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def signup(who: str) -> list[dict[str, Any]]:
    traits = {
        "email": f"{who}@bench.example",
        "first_name": who,
        "consent": {"email": "subscribed"},
    }
    return [
        {"type": "identify", "userId": who, "traits": traits, "messageId": f"i-{who}"},
        {"type": "track", "userId": who, "event": "Signed Up", "messageId": f"t-{who}"},
    ]


@contextmanager
def one_box(**environment: str) -> Generator[Box]:
    """Start a box in a directory of its own; stop it and leave nothing."""
    directory = Path(tempfile.mkdtemp(prefix="chappe-bench-"))
    log = (directory / "log").open("wb")
    process = subprocess.Popen(
        [CHAPPE, "up", "--data", directory / "data", "--port", "0", "--smtp-port", "0",
         "--inbox-port", "0"],
        stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
        env={**os.environ, "CHAPPE_ADMIN_TOKEN": TOKEN, "CHAPPE_LOG_LEVEL": "warning",
             **environment},
    )  # fmt: skip
    try:
        yield Box(process, _endpoints(directory / "data", process, directory / "log"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        log.close()
        shutil.rmtree(directory, ignore_errors=True)


def _endpoints(data: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS_MAX
    path = data / "endpoints.json"
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the box did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.1)
    return json.loads(path.read_text("utf-8"))
