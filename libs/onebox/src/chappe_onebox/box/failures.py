"""Why a start was refused, in one sentence that says what to do."""

import errno
from pathlib import Path

BAD_USAGE = 2
CANNOT_REACH = 3


class CannotStart(Exception):
    """The message is for the person who typed the command; ``code`` is the exit status."""

    def __init__(self, message: str, code: int = BAD_USAGE) -> None:
        super().__init__(message)
        self.code = code


def because(error: OSError, path: Path) -> CannotStart:
    """What an error of the file system means for somebody who wants to start."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return CannotStart(
                f"the disk of {path} is full: free some space or choose another with --data DIR"
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return CannotStart(
                f"cannot write to {path} ({error.strerror}): make it yours, "
                "or choose another directory with --data DIR"
            )
        case errno.ENOTDIR | errno.EEXIST:
            return CannotStart(f"{path} is not a directory: choose another with --data DIR")
        case _:
            return CannotStart(f"cannot use {path} ({error.strerror or error}): check --data DIR")
