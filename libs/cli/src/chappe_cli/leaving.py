"""``sources erasures --confirm``: forget a shop's people, and watch it until it is done."""

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

import typer

from chappe_cli import show
from chappe_cli.failure import BAD_INPUT, Failure

LOOK_SECONDS: Final = 2.0

Sleep = Callable[[float], None]


def agreed(ref: str, *, yes: bool, as_json: bool) -> None:
    """Ask, unless told not to; a program must say ``--yes``. Raises ``Failure``."""
    if yes:
        return
    if as_json:
        raise Failure("erasing cannot be undone: say --yes", BAD_INPUT)
    typer.confirm(f"Erase everybody whom only {ref} has named? This cannot be undone", abort=True)


def follow(
    task: str,
    look: Callable[[], Iterable[dict[str, Any]]],
    *,
    as_json: bool,
    sleep: Sleep = time.sleep,
) -> dict[str, Any]:
    """Show the task until it is done; each change is one JSON object, or moves a counter.

    Raises ``Failure`` when it is not there.
    """
    with _shown(as_json=as_json) as tell:
        before: dict[str, Any] | None = None
        while True:
            found = next((each for each in look() if each["id"] == task), None)
            if found is None:
                raise Failure(f"no request {task} waits here", BAD_INPUT)
            if found != before:
                tell(found)
            if found["state"] == "done":
                return found
            before = found
            sleep(LOOK_SECONDS)


@contextlib.contextmanager
def _shown(*, as_json: bool) -> Generator[Callable[[dict[str, Any]], None]]:
    if as_json:
        yield show.line
        return
    from rich.console import Console

    with Console(stderr=True).status("erasing") as status:

        def tell(task: dict[str, Any]) -> None:
            status.update(f"{task['erased']:,} erased, {task['kept']:,} known elsewhere and kept")

        yield tell


def left_running(ref: str) -> None:
    """What Ctrl-C does not do."""
    print(
        f"\nThe erasure goes on without you. Look again: chappe sources erasures {ref}",
        file=sys.stderr,
    )
