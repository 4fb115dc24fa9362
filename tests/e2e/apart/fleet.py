"""The services as separate processes: started, killed and counted from outside."""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from chappe_onebox.inbox import Inbox

CHAPPE = Path(sys.executable).with_name("chappe")
TOKEN = "a-token-for-tests-0123456789abcdef"
KEY = "a-secret-key-for-tests-0123456789abcdef"
PATIENCE_SECONDS = 60


def until(what: str, check: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll until ``check`` gives something true; its errors of connection count as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := check():
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """One ``chappe run``; it may be told to kill itself at a named point."""

    def __init__(
        self,
        fleet: "Processes",
        roles: tuple[str, ...],
        fault: str | None = None,
        mark: Path | None = None,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.roles = roles
        self.log = fleet.directory / f"{'-'.join(roles)}-{self.port}-{len(fleet.processes)}.log"
        environment = {**fleet.environment}
        if fault is not None:
            environment["CHAPPE_TEST_FAULT"] = f"{fault}:{mark}"
        with self.log.open("wb") as out:
            self.handle = subprocess.Popen(
                [CHAPPE, "run", *roles, "--port", str(self.port)],
                env=environment, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ready(self) -> bool:
        if self.handle.poll() is not None:
            raise AssertionError(f"{self.roles} ended: {self.log.read_text('utf-8')[-2000:]}")
        return httpx.get(self.url + "/readyz").status_code == 200

    def kill(self) -> None:
        self.handle.kill()
        self.handle.wait(10)

    def stop(self) -> None:
        if self.handle.poll() is None:
            self.handle.terminate()
            try:
                self.handle.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()


class Processes:
    """Services of one installation, each in a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="chappe-apart-"))
        self.environment = environment
        self.processes: list[Process] = []

    def start(
        self,
        *roles: str,
        fault: str | None = None,
        mark: Path | None = None,
        port: int | None = None,
    ) -> Process:
        process = Process(self, roles, fault, mark, port)
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Fleet(Processes):
    """All of Chappe, process by process, with an inbox of the test's own at the end of it."""

    def __init__(self, environment: dict[str, str], inbox: Inbox) -> None:
        super().__init__(environment)
        self.inbox = inbox
