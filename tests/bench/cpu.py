"""CPU of other processes, as the kernel counts it."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def _ticks(pid: int, *, reaped: bool = False) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
    return sum(map(int, stat[11:15] if reaped else stat[11:13]))


def parent(pid: int) -> int:
    """Of a process that runs."""
    return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[1])


def postgres_cpu(postmaster: int) -> float:
    """CPU seconds of a Postgres with all it has started, those that have ended too."""
    ticks = _ticks(postmaster, reaped=True)
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if parent(int(path.name)) == postmaster:
                    ticks += _ticks(int(path.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return ticks / TICKS
