"""What ends a command early: a sentence, an exit status, and what is wrong where."""

from collections.abc import Sequence

CHECK_FAILED = 1
BAD_INPUT = 2
CANNOT_REACH = 3


class Failure(Exception):
    """``errors`` are ``{"where", "what"}``, where being ``file:line:col`` for files."""

    def __init__(
        self, message: str, code: int = BAD_INPUT, errors: Sequence[dict[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.errors = list(errors)
