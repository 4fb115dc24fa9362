"""The scenario, played without a page against a box of its own, and checked from outside.

Everything goes through what a customer has: the shop's signed webhooks, the links in the mails, the
public API, the inbox's API. Exit 0 when every check holds, else 1.
"""

import asyncio
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from chappe.clock import monotonic
from chappe_onebox.demo.scenario import Checks, play
from chappe_onebox.demo.topics import drop_topics

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
LOG_LETTERS = 3_000

KEPT = ("CHAPPE_KAFKA_", "CHAPPE_SHARDS", "CHAPPE_LOG_LEVEL")
"""Of our settings only these reach the box: it brings its own data, database and inbox."""


def play_once(environ: Mapping[str, str]) -> int:
    """Start a box, play, stop it, clean up. Returns the exit status."""
    began = monotonic()
    directory = Path(tempfile.mkdtemp(prefix="chappe-demo-"))
    environment = {
        name: value
        for name, value in environ.items()
        if not name.startswith("CHAPPE_") or name.startswith(KEPT)
    }
    environment.pop("CHAPPE_KAFKA_PREFIX_FILE", None)
    environment["CHAPPE_KAFKA_PREFIX"] = f"chappe.demo-{secrets.token_hex(4)}."
    try:
        checks = _with_box(directory, environment)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        drop_topics(environment)
    seconds = monotonic() - began
    broker = "on Kafka" if environment.get("CHAPPE_KAFKA_BOOTSTRAP") else "embedded"
    _say(
        f"{'✔' if checks.good else '✘'} {checks.passed} of {checks.total} checks hold "
        f"({broker}, {seconds:.0f} s)"
    )
    return 0 if checks.good else 1


def _with_box(directory: Path, environment: dict[str, str]) -> Checks:
    checks = Checks(say=_say)
    options = {
        "data": str(directory / "data"),
        "port": 0,
        "smtp_port": 0,
        "inbox_port": 0,
        "demo": True,
    }
    log = directory / "log"
    with log.open("wb") as output:
        box = subprocess.Popen(  # noqa: S603 - ourselves, with arguments of our own making
            [sys.executable, "-P", "-m", "chappe_onebox", "up", json.dumps(options)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        endpoints = _wait_for(directory / "data" / "endpoints.json", box)
        if checks.that("one box is ready", holds=endpoints is not None) and endpoints is not None:
            asyncio.run(play(endpoints["url"], endpoints["inbox"], endpoints["token"], checks))
    except Exception as error:  # noqa: BLE001 - whatever it is, the scenario did not hold
        checks.that(f"the scenario ended early: {error!r}", holds=False)
    finally:
        box.send_signal(signal.SIGINT)
        try:
            code = box.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            box.kill()
            code = box.wait()
        checks.that("it stops when asked", holds=code == 0, found=code)
        if not checks.good:
            _say(log.read_text("utf-8", "replace")[-LOG_LETTERS:])
    return checks


def _wait_for(file: Path, box: "subprocess.Popen[bytes]") -> dict[str, str] | None:
    """The endpoints, once they are there; None when the box ended or took too long."""
    deadline = monotonic() + READY_SECONDS_MAX
    while monotonic() < deadline:
        if file.exists():
            return json.loads(file.read_text("utf-8"))
        try:
            box.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        return None
    return None


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the command's output
