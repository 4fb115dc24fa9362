"""Quiet hours at hand-over: a message that waited into the night waits until morning."""

import datetime as dt

import msgspec

from chappe.events import QuietTime, Send
from chappe.journey import Quiet, first_zone
from chappe_sender.domain.ending import Ending
from chappe_sender.domain.message import State

REASON = "quiet_hours"


class _Kept(msgspec.Struct):
    quiet: QuietTime | None = None


_MARK = b'"quiet":{'
_kept = msgspec.json.Decoder(_Kept).decode
_encode = msgspec.json.Encoder().encode


def stored(send: Send) -> bytes:
    """What is kept with a message: what its template may show, and its quiet hours if any."""
    if send.quiet is None:
        return _encode(send.snapshot)
    return _encode({**msgspec.structs.asdict(send.snapshot), "quiet": send.quiet})


def at_hand_over(kept: bytes, now: dt.datetime) -> Ending | None:
    """What becomes of a message that meets its quiet hours now; None: it may go."""
    if _MARK not in kept or (said := _kept(kept).quiet) is None:
        return None
    hours = Quiet(said.begin, said.end, frozenset(said.days))
    until = hours.over(now, first_zone([said.zone]))
    if until is None:
        return None
    if said.skip:
        return Ending(State.SKIPPED, "skipped", "email.skipped", REASON)
    return Ending(State.SCHEDULED, "postponed", None, REASON, next_attempt_at=until, tried=False)
