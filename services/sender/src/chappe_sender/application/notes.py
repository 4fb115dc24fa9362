"""Write commitments and outcomes down in groups, so that one durable write serves every lane."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from chappe.clock import Clock, monotonic
from chappe.shards import LostShards, fault_point
from chappe_sender import metrics
from chappe_sender.application.flight import Flight
from chappe_sender.application.letter import Letter
from chappe_sender.application.ports import Claimed, Commitment, Ended, Ledger, Placed, Verdict
from chappe_sender.domain.ending import Ending, Refusal, ending
from chappe_sender.domain.message import State
from chappe_sender.domain.template import MessageClass


@dataclass(slots=True)
class Note:
    """One commitment that a lane waits for."""

    commitment: Commitment
    answer: asyncio.Future[bool]


@dataclass(slots=True)
class Notes:
    """The ledger's scribe. ``again`` is called when something may be claimed again."""

    ledger: Ledger
    business: Clock
    flight: Flight
    again: Callable[[], None]
    _commitments: list[Note] = field(default_factory=list[Note])
    _endings: list[Ended] = field(default_factory=list[Ended])
    _to_note: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._to_note.wait()
            self._to_note.clear()
            commitments, self._commitments = self._commitments, []
            endings, self._endings = self._endings, []
            await self._write(commitments, endings)

    # -- commitments ------------------------------------------------------------------------

    def commitment(self, letter: Letter, placed: Placed | None) -> Note:
        commitment = Commitment(letter.claimed, letter.header_id, letter.subject, placed)
        note = Note(commitment, asyncio.get_running_loop().create_future())
        self._commitments.append(note)
        self._to_note.set()
        return note

    async def noted(self, note: Note) -> bool:
        """Whether its content may be written now."""
        if await note.answer:
            return True
        self.flight.carried.discard(note.commitment.claimed.message.id)
        return False

    # -- endings ----------------------------------------------------------------------------

    def ended(self, ended: Ended) -> None:
        self._endings.append(ended)
        self._to_note.set()

    def made(self, claimed: Claimed, made: Ending, subject: str | None = None) -> None:
        """It ends like this."""
        self.ended(Ended(claimed.message, claimed.epoch, made, claimed.address, subject))

    def conclude(
        self, claimed: Claimed, verdict: Verdict | Refusal, subject: str | None = None
    ) -> None:
        self.ended(self.end(claimed, verdict, subject))

    def end(
        self, claimed: Claimed, verdict: Verdict | Refusal, subject: str | None = None
    ) -> Ended:
        made = ending(
            verdict,
            message=claimed.message.id,
            message_class=claimed.message.message_class or MessageClass.MARKETING,
            attempts=claimed.attempts,
            now=self.business.now(),
        )
        return Ended(claimed.message, claimed.epoch, made, claimed.address, subject)

    def give_back(self, claimed: Sequence[Claimed], reason: str) -> None:
        """They may be claimed again at once."""
        made = replace(again(self.business.now(), reason), tried=False)
        self._endings += [Ended(each.message, each.epoch, made, each.address) for each in claimed]
        self._to_note.set()

    def postpone(
        self, claimed: Claimed, wait: dt.timedelta, reason: str, detail: str | None = None
    ) -> None:
        metrics.POSTPONED.labels(reason).inc()
        later = self.business.now() + wait
        made = Ending(
            State.SCHEDULED, "postponed", None, reason, detail, next_attempt_at=later, tried=False
        )
        self.made(claimed, made)

    # -- writing down -----------------------------------------------------------------------

    async def _write(self, commitments: list[Note], endings: list[Ended]) -> None:
        ours: list[Ended] = []
        late: list[Ended] = []
        for each in endings:
            mine = self.flight.is_ours(each.message.shard, each.epoch)
            (ours if mine else late).append(each)
        started = monotonic()
        try:
            noted = await self.ledger.note(
                [note.commitment for note in commitments], ours, self.business.now()
            )
        except LostShards:
            self._put_back(commitments, ours)
            return
        else:
            metrics.NOTE_SECONDS.observe(monotonic() - started)
            metrics.NOTE_MESSAGES.observe(len(commitments) + len(endings))
            if noted.committed:
                fault_point("after_about_to_commit")
            if ours:
                fault_point("after_outcome_commit")
            for note in commitments:
                claimed = note.commitment.claimed
                allowed = claimed.message.id in noted.committed
                if not allowed:
                    # Taken back or lost, then this changes nothing; or somebody stopped it.
                    self.give_back([claimed], "stopped")
                if not note.answer.done():
                    note.answer.set_result(allowed)
        self._conclude_noted(ours, late)

    def _put_back(self, commitments: list[Note], endings: list[Ended]) -> None:
        """Nothing of a group was written, or nobody knows. For shards that are still ours, it was
        not: try again. For the others the next owner decides, and may be us.
        """
        now = self.business.now()
        for note in commitments:
            claimed = note.commitment.claimed
            made = again(now, "interrupted")
            endings.append(Ended(claimed.message, claimed.epoch, made, claimed.address))
            self.flight.carried.discard(claimed.message.id)
            if not note.answer.done():
                note.answer.set_result(False)
        for each in endings:
            if self.flight.is_ours(each.message.shard, each.epoch):
                self.ended(each)
            else:
                self._conclude_noted([], [each])

    def _conclude_noted(self, noted: list[Ended], late: list[Ended]) -> None:
        for each in late:
            self.flight.keep_late(each)
        for each in noted:
            seconds = self.flight.seconds(each.message.id)
            if seconds is not None:
                metrics.HAND_OVER_SECONDS.observe(seconds)
            metrics.MESSAGES.labels(each.ending.state, each.message.message_class or "").inc()
        for each in (*noted, *late):
            self.flight.end(each.message.id)
        self.flight.count()
        if any(each.ending.state in {State.SCHEDULED, State.PENDING} for each in noted):
            self.again()
        self.flight.quiet()


def again(now: dt.datetime, reason: str, detail: str | None = None) -> Ending:
    """Back to the start: nothing of it can have been accepted."""
    return Ending(State.PENDING, "postponed", None, reason, detail, next_attempt_at=now)
