"""Named points at which a test may kill the process: the places where exactness is decided.

Production never sets ``CHAPPE_TEST_FAULT``; the name is not in the catalogue of settings because
it is no setting: without it each point is a single comparison.
"""

import os
import signal
from pathlib import Path

_ARMED = os.environ.get("CHAPPE_TEST_FAULT", "")  # noqa: TID251 - read once, before any settings
_NAME, _, _REST = _ARMED.partition(":")
_AFTER, _, _MARK = _REST.partition(":")
_left = int(_AFTER or "1")


def fault_point(name: str) -> None:
    """Die here with SIGKILL when ``CHAPPE_TEST_FAULT=name:nth:markfile`` says so.

    The mark file is written first (name and pid), so that the test can assert that the point was
    reached with work in flight.
    """
    global _left  # noqa: PLW0603 - counts the passes of this process
    if name != _NAME:
        return
    _left -= 1
    if _left > 0:
        return
    if _MARK:
        Path(_MARK).write_text(f"{name} {os.getpid()}\n", "utf-8")
    os.kill(os.getpid(), signal.SIGKILL)
