"""A one box as a person starts it: the command, its data directory, its addresses."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from chappe.clock import monotonic

COMMAND = Path(sys.executable).with_name("chappe")
READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
WAIT_SECONDS_MAX = 20.0
COMMAND_SECONDS_MAX = 120.0
NOTHING: Mapping[str, str] = {}
LOOK_SECONDS = 0.05
PROCESSES = Path("/proc")
FREE_PORTS = ("--port", "0", "--smtp-port", "0", "--inbox-port", "0")

T = TypeVar("T")


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings of ours that are not meant for the box."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHAPPE_")}
    return kept | more


def chappe(*words: str, env: Mapping[str, str] = NOTHING) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [str(COMMAND), *words],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


class Box:
    """``chappe up`` on free ports."""

    def __init__(self, data: Path, *, demo: bool = True, env: Mapping[str, str] = NOTHING) -> None:
        self.data = data
        self.demo = demo
        self.env = env
        self.start()

    def start(self) -> None:
        words = ["up", "--data", str(self.data), *FREE_PORTS, *(["--demo"] if self.demo else [])]
        (self.data / "endpoints.json").unlink(missing_ok=True)
        self.log = self.data.with_suffix(".log")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(COMMAND), *words], env=environment(**self.env), stdout=output, stderr=output
            )
        found = until(self._ready, READY_SECONDS_MAX)
        self.endpoints: dict[str, Any] = found
        self.url: str = found["url"]
        self.token: str = found["token"]

    def _ready(self) -> dict[str, Any] | None:
        assert self.process.poll() is None, self.log.read_text()
        file = self.data / "endpoints.json"
        return json.loads(file.read_text()) if file.exists() else None

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        head = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, self.url + path, json=body, headers=head, timeout=130)

    def press(self, do: str, email: str) -> None:
        """Press a button of the sample shop."""
        answer = self.api("POST", "/api/v1/demo/shop", {"do": do, "email": email})
        assert answer.json()["status"] == 200, answer.text

    def mails(self, to: str) -> list[dict[str, Any]]:
        query = {"query": f"to:{to}"}
        found = httpx.get(f"{self.endpoints['inbox']}/api/v1/search", params=query).json()
        return found["messages"]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return chappe(*words, env={"CHAPPE_URL": self.url, "CHAPPE_TOKEN": self.token})

    def family(self) -> set[int]:
        """Every process of this box: it, its children, and whoever works in its directory."""
        parents = {pid: _parent(pid) for pid in pids()}
        family = {self.process.pid} | {pid for pid in parents if works_in(pid, self.data)}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        return family

    def stop(self) -> int:
        """Ctrl-C, and the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS_MAX)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """After a test, whatever became of it: nothing is left of this box."""
        if self.process.poll() is None:
            self.stop()
        elif alive(self.family() - {self.process.pid}):
            self.start()  # a kill leaves Postgres; the next start finds it and stops it
            self.stop()


def until(look: Callable[[], T | None], seconds_max: float = WAIT_SECONDS_MAX) -> T:
    """What ``look`` finds, as soon as it is something."""
    deadline = monotonic() + seconds_max
    while not (found := look()):
        assert monotonic() < deadline, f"not within {seconds_max:.0f} s"
        time.sleep(LOOK_SECONDS)
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run; a zombie does not."""
    return {pid for pid in pids if _state(pid) not in {None, "Z"}}


def pids() -> list[int]:
    return [int(entry.name) for entry in PROCESSES.iterdir() if entry.name.isdigit()]


def works_in(pid: int, directory: Path) -> bool:
    try:
        return str(directory) in str((PROCESSES / str(pid) / "cwd").readlink())
    except OSError:
        return False


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROCESSES / str(pid) / "stat").read_text()
    except OSError:
        return None
    return re.sub(r"^.*\) ", "", text).split()


def _state(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[0] if fields else None


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0
