"""Hand messages over: claim what is due, write down each commitment and outcome, never twice.

Three loops share one queue. The claimer takes due messages in batches; the lanes of the way out
carry them; the scribe of the ledger writes commitments and outcomes in groups, so that one durable
write serves every lane that waits. A lane's outcome is durable before its next commitment is, so
what a crash leaves unknown is at most one message per open connection.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from chappe.clock import Clock
from chappe.ids import MessageId
from chappe.service import Evidence
from chappe.shards import Owned
from chappe_sender.application.bad_day import BadDay
from chappe_sender.application.claims import Claims
from chappe_sender.application.default_way import DefaultWay
from chappe_sender.application.feedback_ports import Heard
from chappe_sender.application.flight import Flight
from chappe_sender.application.keyring import Signing
from chappe_sender.application.lag import Lag
from chappe_sender.application.letter import Letter, Scribe
from chappe_sender.application.line import Line, Ready
from chappe_sender.application.lines import Lines
from chappe_sender.application.notes import Notes
from chappe_sender.application.opening import Opening
from chappe_sender.application.ports import Catalogue, Ledger, Placed, Verdict, WayOut
from chappe_sender.application.sites import Sites
from chappe_sender.application.succession import Succession
from chappe_sender.application.verdicts import Verdicts
from chappe_sender.domain.bounces import Kind
from chappe_sender.domain.breaker import Breaker
from chappe_sender.domain.suppressing import domain_of

DRAIN_SECONDS = 10.0
FINISH_SECONDS = 4.0
"""Less than a lease, which is not renewed meanwhile."""
_ENHANCED = re.compile(r"\b[45]\.\d{1,3}\.\d{1,3}\b")


@dataclass(slots=True)
class HandOver:
    """Implements ``Core`` for the lines of the providers, and ``Shards`` for the processor; its
    parts do the rest.

    ``way_out`` None: there is no default one, and only what has a provider is sent. ``day`` None:
    nothing is withheld.
    """

    ledger: Ledger
    catalogue: Catalogue
    scribe: Scribe
    way_out: WayOut | None
    business: Clock
    wall: Clock
    lag: Lag
    evidence: Evidence | None = None
    day: BadDay | None = None
    breaker: Breaker = field(default_factory=Breaker)
    site: Callable[[str], str] = domain_of
    """The MX site of an address, as far as it is known without asking."""
    lines: Lines = field(default_factory=Lines)
    sites: Sites | None = None
    _flight: Flight = field(init=False, default_factory=Flight)
    _notes: Notes = field(init=False)
    _opening: Opening = field(init=False)
    _verdicts: Verdicts = field(init=False)
    _claims: Claims = field(init=False)
    _succession: Succession = field(init=False)

    def __post_init__(self) -> None:
        self._notes = Notes(self.ledger, self.business, self._flight, self.wake)
        self._opening = Opening(
            self.catalogue, self.scribe, self.business, self.day, self._flight, self._notes
        )
        self._verdicts = Verdicts(
            self._flight, self._notes, self.lines, self.breaker, self.site, self.sites
        )
        self._succession = Succession(
            self.ledger, self.business, self.wall, self.evidence, self.lines, self._flight,
            self._notes, self._opening,
        )  # fmt: skip
        self._claims = Claims(
            self.ledger, self.business, self.wall, self.lag, self._flight, self._notes,
            self._opening, self.lines, self._verdicts.refusals, self.breaker, self.site,
            self.sites, day=self.day,
        )  # fmt: skip
        if self.way_out is not None:
            self._claims.default = DefaultWay(
                self._opening, self._notes, self._verdicts, self._claims.made_room
            )

    async def run(self) -> None:
        """Until cancelled, or until something unexpected."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._claims.run(), name="sender claims")
            tasks.create_task(self._notes.run(), name="sender notes")
            tasks.create_task(self.lines.run(self), name="sender routes")
            if self.way_out is not None and self._claims.default is not None:
                tasks.create_task(self.way_out.run(self._claims.default), name="sender lanes")

    @property
    def in_flight(self) -> int:
        return len(self._flight)

    async def judged(self, heard: Heard) -> None:
        """What a receiver said of a message after it was handed over."""
        event = heard.event
        said = event.reason or ""
        if self.sites is not None:
            self.sites.heard_of(heard.site, said)
        if not heard.marketing or event.kind is Kind.DEFERRED:
            return
        brand = await self.catalogue.brand(heard.workspace)
        domain = brand.mailbox(self.scribe.sender).address.domain
        code = _ENHANCED.search(said)
        self._verdicts.judge(domain, heard.site, event.bounce_class, code[0] if code else "")

    # -- shards -----------------------------------------------------------------------------

    def wake(self) -> None:
        self._claims.wake()

    def advanced(self) -> None:
        self._claims.advanced()

    async def adopt(self, shards: Sequence[Owned]) -> None:
        await self._succession.adopt(shards)
        self.wake()

    async def finish(self, shards: Sequence[int]) -> None:
        """These are about to be somebody else's: leave nothing of theirs on the wire, or those
        messages would be in doubt.
        """
        leaving = set(shards)
        self._flight.leaving |= leaving
        self._put_aside(leaving)
        await self._flight.come_to_rest(leaving, FINISH_SECONDS)

    async def forget(self, shards: Sequence[int]) -> None:
        """Their messages are somebody else's now: what waits is dropped, what is on the wire ends
        where it is, without being written down by us.
        """
        gone = set(shards)
        for shard in gone:
            self._flight.shards.pop(shard, None)
        self._flight.leaving -= gone
        for ready in self._take_out(gone):
            self._flight.leave(ready.claimed)

    async def drain(self) -> None:
        """Take nothing new, give back what waits, and finish what is on the wire."""
        self._claims.draining = True
        every = set(self._flight.shards)
        self._put_aside(every)
        await self._flight.come_to_rest(every, DRAIN_SECONDS)

    def _put_aside(self, shards: set[int]) -> None:
        """What waits for a lane may be claimed again, by whoever owns its shard then."""
        self._notes.give_back([ready.claimed for ready in self._take_out(shards)], "stopped")

    def _take_out(self, shards: set[int]) -> list[Ready]:
        """Remove and give what waits for a lane of any route."""

        def stays(ready: Ready) -> bool:
            return ready.claimed.message.shard not in shards

        default = self._claims.default
        gone = default.take_out(stays) if default is not None else []
        return gone + self.lines.take_out(stays)

    # -- the lines' work --------------------------------------------------------------------

    def open_letter(self, ready: Ready, signing: Signing = Signing.WHOLE) -> Letter | None:
        return self._opening.open(ready, signing)

    async def commit(self, letters: Sequence[Letter], placed: Placed) -> list[bool]:
        notes = [
            self._notes.commitment(letter, replace(placed, place=place))
            for place, letter in enumerate(letters)
        ]
        return [await self._notes.noted(note) for note in notes]

    def conclude(self, letter: Letter, verdict: Verdict, line: Line) -> None:
        self._verdicts.by_line(letter, verdict, line)

    def put_back(self, letters: Sequence[Letter], reason: str) -> None:
        for letter in letters:
            self._flight.carried.discard(letter.claimed.message.id)
        self._notes.give_back([letter.claimed for letter in letters], reason)

    def put_back_ready(self, waiting: Sequence[Ready]) -> None:
        self._notes.give_back([ready.claimed for ready in waiting], "route_closed")

    def is_alone(self, message: MessageId) -> bool:
        return self._verdicts.refusals.is_alone(message)

    def made_room(self) -> None:
        self._claims.made_room()

    def route_changed(self) -> None:
        """A route may be open that was not."""
        self._claims.made_room()

    def route_changed_everywhere(self) -> None:
        """A stop was made or resumed, or mail leaves again."""
        self.lines.changed()
        self._claims.made_room()
        self.wake()

    def line_fails(self) -> None:
        self.lines.changed()
