"""What becomes of the messages that a shard's last owner left behind, once the shard is ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from chappe.clock import Clock
from chappe.service import Evidence
from chappe.shards import LostShards, Owned
from chappe_sender.application.asking_again import may_ask_again, rebuild, take_over
from chappe_sender.application.flight import Flight
from chappe_sender.application.lines import Lines
from chappe_sender.application.notes import Notes, again
from chappe_sender.application.opening import Opening
from chappe_sender.application.ports import Ended, Interrupted, Ledger
from chappe_sender.domain.ending import Ending
from chappe_sender.domain.message import State
from chappe_sender.domain.outcome import InDoubt, Stage

SETTLE_SECONDS = 20.0

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Succession:
    """``evidence`` None: nobody can tell what the default way out took."""

    ledger: Ledger
    business: Clock
    wall: Clock
    evidence: Evidence | None
    lines: Lines
    flight: Flight
    notes: Notes
    opening: Opening

    async def adopt(self, shards: Sequence[Owned]) -> None:
        """Conclude what was interrupted, ask providers again where that tells, then own them."""
        ours: dict[int, int] = {owned.shard: owned.epoch for owned in shards}
        # What our own lanes still carry of these shards, from before they were lost.
        await self.flight.come_to_rest(set(ours), SETTLE_SECONDS)
        asked: list[Interrupted] = []
        while ours:
            left = await self.ledger.interrupted(sorted(ours))
            asked = [
                each
                for each in left
                if may_ask_again(each, self.lines, self.wall.now())
                and not self.flight.is_known(each.claimed.message.id)
            ]
            endings = [await self._conclude(each) for each in left if each not in asked]
            try:
                if endings:
                    await self.ledger.note([], endings, self.business.now())
                    logger.info("Concluded interrupted messages", messages=len(endings))
            except LostShards as lost:
                ours = {s: epoch for s, epoch in ours.items() if s not in lost.shards}
                continue
            break
        self.flight.shards |= ours
        await self._ask_again(asked, ours)

    async def _ask_again(self, left: Sequence[Interrupted], epochs: Mapping[int, int]) -> None:
        for part in await take_over(left, self.ledger, epochs):
            for claimed in part.mine.values():
                self.flight.begin(claimed)
            load = await rebuild(part, self.ledger, self.lines, self.opening.written)
            line = self.lines.get(part.provider)
            if load is not None and line is not None:
                logger.info("Asking a provider again", messages=len(part.mine))
                self.flight.carried |= part.mine.keys()
                line.resume(load)
                continue
            for claimed in part.mine.values():
                changed = InDoubt(Stage.VERDICT, "the sender stopped, and the load has changed")
                self.notes.conclude(claimed, changed)

    async def _conclude(self, left: Interrupted) -> Ended:
        """What became of a message that was being sent when its shard's owner stopped."""
        claimed = left.claimed
        late = self.flight.late(claimed)
        if late is not None:
            return late
        if not left.committing:
            made = again(self.business.now(), "interrupted")
        elif (
            claimed.message.id in self.flight.carried
            or self.evidence is None
            or left.placed is not None  # the evidence is the default way's
        ):
            made = self.notes.end(claimed, InDoubt(Stage.VERDICT, "the sender stopped")).ending
        elif await self.evidence.has(left.header_id or ""):
            made = Ending(
                State.ACCEPTED, "handed_over", "email.accepted", detail="found in the inbox"
            )
        else:
            made = again(self.business.now(), "not_in_the_inbox")
        return Ended(claimed.message, claimed.epoch, made, claimed.address)
