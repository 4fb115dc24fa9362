"""What an HTTP answer proves about a message: taken, surely not taken, or nobody knows.

Once a request was written, only an answer that stands in the provider's table proves "not taken".
Every other one, and every silence, leaves the message in doubt: providers are known to answer 5xx
and send the mail.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from chappe_sender.domain.outcome import Declined, HandOverError, InDoubt, Scope, Stage

RETRY_SECONDS_MIN: Final = 1.0
RETRY_SECONDS_MAX: Final = 900.0
RETRY_SECONDS_UNTOLD: Final = 10.0
TEXT_LETTERS_MAX: Final = 300
_EPOCH_FROM: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Proof:
    """An answer that proves "not taken": its status, perhaps the error code it must name."""

    status: int
    scope: Scope
    code: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """One provider's table, the first match counts."""

    proofs: tuple[Proof, ...]

    def verdict(
        self, status: int, code: str, text: str, retry_after: float | None = None
    ) -> HandOverError:
        """For an answer that is not an acceptance. ``code`` is the provider's word for it."""
        said = shortened(f"{status} {code}: {text}" if code else f"{status} {text}")
        for proof in self.proofs:
            if proof.status == status and (proof.code is None or proof.code.search(code)):
                return Declined(proof.scope, said, retry_after)
        return InDoubt(Stage.VERDICT, f"an answer that proves nothing: {said}")


def proof(status: int, scope: Scope, code: str | None = None) -> Proof:
    """A row of a table; ``code`` is a regular expression, in any case."""
    return Proof(status, scope, re.compile(code, re.IGNORECASE) if code is not None else None)


def unreadable(status: int) -> HandOverError:
    """A success that does not say what it should: the message may well have been taken."""
    return InDoubt(Stage.VERDICT, f"{status} with an answer that cannot be read")


def wait_of(headers: Mapping[str, str], now: dt.datetime, *, status: int) -> float | None:
    """Seconds to wait before the next request; None when there is no need.

    ``Retry-After`` as seconds or a date; else the reset of a rate limit that has nothing left.
    Header names are lower case.
    """
    told = _seconds(headers.get("retry-after", ""), now)
    if told is None:
        for prefix in ("x-ratelimit-", "ratelimit-", "x-sib-ratelimit-"):
            left = headers.get(f"{prefix}remaining", "").strip()
            if left.isdigit() and (int(left) == 0 or status == 429):  # noqa: PLR2004 - RFC 6585
                told = _seconds(headers.get(f"{prefix}reset", ""), now)
                break
    if told is None:
        return RETRY_SECONDS_UNTOLD if status == 429 else None  # noqa: PLR2004 - RFC 6585
    return min(max(told, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX)


def _seconds(value: str, now: dt.datetime) -> float | None:
    text = value.strip()[:64]
    try:
        seconds = float(text)
    except ValueError:
        return _until(text, now)
    if seconds != seconds:  # noqa: PLR0124 - not a number
        return None
    return seconds - now.timestamp() if seconds > _EPOCH_FROM else seconds


def _until(text: str, now: dt.datetime) -> float | None:
    try:
        at = parsedate_to_datetime(text)
        return (at - now).total_seconds()
    except (ValueError, TypeError):
        return None


def shortened(text: str) -> str:
    """One printable line."""
    flat = "".join(letter if letter.isprintable() else " " for letter in text[:2_000])
    return " ".join(flat.split())[:TEXT_LETTERS_MAX]
