"""Write a claimed message's letter, unless it is quiet now or mail is withheld."""

from dataclasses import dataclass

import structlog

from chappe.clock import Clock, monotonic
from chappe_sender.application.bad_day import BadDay
from chappe_sender.application.flight import Flight
from chappe_sender.application.keyring import Signing
from chappe_sender.application.letter import Letter, Scribe
from chappe_sender.application.line import Ready
from chappe_sender.application.notes import Notes
from chappe_sender.application.ports import Catalogue, Claimed, Ended
from chappe_sender.domain.ending import Ending, Refusal
from chappe_sender.domain.message import State
from chappe_sender.domain.quiet import at_hand_over

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Opening:
    """``day`` None: nothing is withheld."""

    catalogue: Catalogue
    scribe: Scribe
    business: Clock
    day: BadDay | None
    flight: Flight
    notes: Notes

    async def ready(self, claimed: Claimed) -> Ready:
        message = claimed.message
        version = await self.catalogue.version(message.workspace, message.template or "")
        brand = await self.catalogue.brand(message.workspace)
        return Ready(claimed, version, brand, monotonic())

    def domain(self, ready: Ready) -> str:
        """Its From domain."""
        return ready.brand.mailbox(self.scribe.sender).address.domain

    def open(self, ready: Ready, signing: Signing = Signing.WHOLE) -> Letter | None:
        """The letter; what is not to be sent now, or cannot be written, is concluded."""
        claimed = ready.claimed
        quiet = at_hand_over(claimed.snapshot, self.business.now())
        if quiet is not None and claimed.message.is_marketing:
            self.notes.made(claimed, quiet)
            return None
        written = self.write(ready, signing)
        if isinstance(written, Letter) and self._is_withheld(claimed):
            self._keep(written)
            return None
        if isinstance(written, Letter):
            self.flight.carried.add(claimed.message.id)
            return written
        self.notes.conclude(claimed, written)
        return None

    def write(self, ready: Ready, signing: Signing) -> Letter | Refusal:
        if ready.version is None:
            return Refusal("template_missing", ready.claimed.message.template)
        try:
            return self.scribe.write(ready.claimed, ready.version, ready.brand, signing)
        except Exception as error:
            # One message that cannot be written must not stop the others, restart after restart.
            logger.exception("A message could not be written", message=ready.claimed.message.id)
            return Refusal("render_failed", type(error).__name__)

    async def written(self, claimed: Claimed) -> Letter | None:
        """As it was given to an HTTP provider before."""
        written = self.write(await self.ready(claimed), Signing.NOT)
        return written if isinstance(written, Letter) else None

    def _is_withheld(self, claimed: Claimed) -> bool:
        if self.day is None:
            return False
        return self.day.policy.withholds(claimed.address, claimed.asked_at)

    def _keep(self, letter: Letter) -> None:
        claimed, content = letter.claimed, letter.envelope.content
        made = Ending(State.SKIPPED, "skipped", "email.skipped", "captured")
        self.notes.ended(
            Ended(claimed.message, claimed.epoch, made, claimed.address, letter.subject, content)
        )
