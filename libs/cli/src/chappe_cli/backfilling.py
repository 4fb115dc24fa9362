"""``sources backfill``: begin one, and watch it until it is over or somebody presses Ctrl-C."""

import contextlib
import datetime as dt
import re
import sys
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from chappe.clock import UTC
from chappe_cli import show
from chappe_cli.failure import Failure

if TYPE_CHECKING:
    from rich.progress import Progress

LOOK_SECONDS: Final = 2.0
_SPOKEN: Final = re.compile(r"(\d{1,5})\s*(d|w|mo|y)")
_DAYS: Final = {"d": 1.0, "w": 7.0, "mo": 30.44, "y": 365.25}
_OVER: Final = frozenset({"done", "cancelled", "failed"})

Sleep = Callable[[float], None]


def since_of(text: str, now: dt.datetime) -> str:
    """``90d``, ``8w``, ``6mo``, ``2y`` back from ``now``, or a date, as ISO time in UTC.

    Raises ``Failure``.
    """
    spoken = _SPOKEN.fullmatch(text.strip().lower())
    try:
        if spoken is not None:
            at = now - dt.timedelta(days=int(spoken.group(1)) * _DAYS[spoken.group(2)])
        else:
            at = dt.datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise Failure(
            f"--since {text!r}: use 90d, 8w, 6mo, 2y, or a date like 2025-01-31"
        ) from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def follow(
    ref: str,
    job: dict[str, Any],
    look: Callable[[], dict[str, Any]],
    *,
    as_json: bool,
    sleep: Sleep = time.sleep,
) -> dict[str, Any]:
    """Show ``job`` until it is over; each new state is one JSON object, or moves a bar."""
    with _shown(ref, as_json=as_json) as tell:
        tell(job)
        while job["state"] not in _OVER:
            sleep(LOOK_SECONDS)
            before, job = job, look()
            if job != before:
                tell(job)
    return job


@contextlib.contextmanager
def _shown(ref: str, *, as_json: bool) -> Generator[Callable[[dict[str, Any]], None]]:
    if as_json:
        yield show.line
        return
    from rich.console import Console

    bar = _bar(Console(stderr=True))
    task = bar.add_task(ref, total=None, words="")

    def tell(job: dict[str, Any]) -> None:
        total = max(job["total"], job["done"]) if job["total"] is not None else None
        if job["state"] == "done":
            total = max(job["done"], 1)
        words = job["note"] or job["subject"] or job["state"]
        done = total if job["state"] == "done" else job["done"]
        bar.update(task, completed=done or 0, total=total, words=words)

    with bar:
        yield tell


def _bar(console: Any) -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        console=console,
    )


def left_running(ref: str) -> None:
    """What Ctrl-C does not do."""
    print(
        f"\nThe backfill goes on without you. Look again: chappe sources backfill {ref}\n"
        f"To end it: chappe sources backfill {ref} --cancel",
        file=sys.stderr,
    )
