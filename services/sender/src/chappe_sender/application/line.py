"""What waits for one route, and what becomes of it: the work of that route's lanes.

Transactional mail does not wait behind marketing. A load is written down as about to be committed
before it is given to anybody; only what was written down is in it.
"""

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chappe.ids import MessageId
from chappe_sender.application.health import Health
from chappe_sender.application.keyring import Signing
from chappe_sender.application.letter import Letter
from chappe_sender.application.ports import Claimed, Parcel, Placed, Verdict
from chappe_sender.application.routing import ProviderRecord
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.outcome import Declined, InDoubt, NotSent, Refused, Scope, Stage
from chappe_sender.domain.template import TemplateVersion

QUEUE_LOW = 16
"""With fewer waiting for a lane than this, the next are claimed."""

LOOK_SECONDS_MIN = 0.25
"""Before a lane looks again at a line that rests."""

_ABOUT_THE_ROUTE = frozenset((Stage.CONNECT, Stage.GREETING, Stage.HELLO, Stage.TLS, Stage.AUTH))


@dataclass(slots=True)
class Ready:
    """A claimed message with what it takes to write it."""

    claimed: Claimed
    version: TemplateVersion | None
    brand: Brand
    since: float


@dataclass(slots=True)
class Load:
    """Messages that go in one request. ``key`` names its bytes; ``mine`` are those we conclude.

    ``resumed``: it was given to the provider before, by a process that did not see the answer.
    """

    letters: list[Letter]
    key: str | None = None
    mine: frozenset[MessageId] | None = None
    resumed: bool = False


class Core(Protocol):
    """What a line needs of the hand-over."""

    def open_letter(self, ready: Ready, signing: Signing = Signing.WHOLE) -> Letter | None:
        """Write it; what cannot be written is concluded there."""
        ...

    async def commit(self, letters: Sequence[Letter], placed: Placed) -> list[bool]:
        """Durably note that they are about to be given away; which of them may."""
        ...

    def conclude(self, letter: Letter, verdict: Verdict, line: "Line") -> None: ...

    def put_back(self, letters: Sequence[Letter], reason: str) -> None:
        """Claim them again: they were surely not sent."""
        ...

    def put_back_ready(self, waiting: Sequence[Ready]) -> None:
        """The same for what was not written yet."""
        ...

    def made_room(self) -> None: ...

    def route_changed(self) -> None: ...

    def line_fails(self) -> None:
        """A line must be looked after."""
        ...

    def is_alone(self, message: MessageId) -> bool: ...


@dataclass(slots=True)
class Line:
    """Implements ``Work`` for lanes of SMTP and ``LoadWork`` for those of HTTP providers."""

    record: ProviderRecord
    health: Health
    wall: Callable[[], dt.datetime]
    leaving: bool = False
    on_the_wire: int = 0
    urgent: deque[Ready] = field(default_factory=deque)
    others: deque[Ready] = field(default_factory=deque)
    resumed: deque[Load] = field(default_factory=deque)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _core: Core | None = None

    @property
    def core(self) -> Core:
        assert self._core is not None, "a line is worked on once the hand-over runs"
        return self._core

    @core.setter
    def core(self, core: Core) -> None:
        self._core = core

    @property
    def at_rest(self) -> bool:
        return not self.on_the_wire and not self.resumed

    @property
    def waiting(self) -> int:
        return len(self.urgent) + len(self.others)

    @property
    def usable(self) -> bool:
        return self.record.state == "active" and not self.leaving and self.health.usable

    def has_room(self, *, marketing: bool) -> bool:
        low = max(QUEUE_LOW, self.record.batch_size)
        return len(self.others if marketing else self.urgent) <= low

    def put(self, ready: Ready) -> None:
        (self.others if ready.claimed.message.is_marketing else self.urgent).append(ready)
        self._filled.set()

    def resume(self, load: Load) -> None:
        self.resumed.append(load)
        self._filled.set()

    def wake(self) -> None:
        self._filled.set()

    def take_out(self, keep: Callable[[Ready], bool]) -> list[Ready]:
        """Remove and give what is not to be kept."""
        gone = [ready for ready in (*self.urgent, *self.others) if not keep(ready)]
        self.urgent = deque(ready for ready in self.urgent if keep(ready))
        self.others = deque(ready for ready in self.others if keep(ready))
        return gone

    # -- one at a time: SMTP ----------------------------------------------------------------

    async def take(self) -> Parcel:
        while (letter := self.take_now()) is None:
            await self._wait()
        return letter

    def take_now(self) -> Letter | None:
        if not self.usable:
            return None
        letter = self._next()
        if letter is not None:
            self.health.begin()
            self.on_the_wire += 1
        return letter

    async def about_to_commit(self, parcel: Parcel) -> bool:
        assert isinstance(parcel, Letter), "a parcel that we did not write"
        (allowed,) = await self.core.commit([parcel], Placed(self.record.id, None, self.wall()))
        if not allowed:
            self._abandon()
        return allowed

    def report(self, parcel: Parcel, verdict: Verdict) -> None:
        assert isinstance(parcel, Letter), "a parcel that we did not write"
        self.on_the_wire -= 1
        self._judge([verdict])
        self.core.conclude(parcel, verdict, self)

    # -- loads: HTTP ------------------------------------------------------------------------

    async def take_load(self, size: int, octets: int) -> Load:
        """The next; waits for one. At most ``size`` messages of together ``octets``, all of one
        class; what was refused in company goes alone.
        """
        while True:
            if self.resumed:
                self.on_the_wire += 1
                return self.resumed.popleft()
            if self.usable and (first := self._next()) is not None:
                self.health.begin()
                self.on_the_wire += 1
                return Load(self._company(first, size, octets))
            await self._wait()

    def _company(self, first: Letter, size: int, octets: int) -> list[Letter]:
        marketing = first.claimed.message.is_marketing
        keyed = self.record.capabilities.key_ttl is not None
        # Under a key of its own, a receipt is asked for again with the same bytes, however late.
        if self.core.is_alone(first.claimed.message.id) or (keyed and not marketing):
            size = 1
        letters, left = [first], octets - len(first.envelope.content)
        queue = self.others if marketing else self.urgent
        while len(letters) < size and queue:
            if self.core.is_alone(queue[0].claimed.message.id):
                break
            letter = self._open(queue)
            if letter is None:
                continue
            if len(letter.envelope.content) > left:
                self.core.put_back([letter], "next_load")
                break
            letters.append(letter)
            left -= len(letter.envelope.content)
        return letters

    async def commit_load(self, load: Load) -> Load | None:
        """Write down that it is about to be given away. What must not go any more is left out; a
        load under a key is then given up, since the key names all of its bytes.
        """
        at = self.wall()
        allowed = await self.core.commit(load.letters, Placed(self.record.id, load.key, at))
        kept = [letter for letter, yes in zip(load.letters, allowed, strict=True) if yes]
        if len(kept) == len(load.letters):
            return load
        if kept and self.record.capabilities.key_ttl is None:
            return Load(kept, load.key)
        self._abandon()
        self.core.put_back(kept, "regrouped")
        return None

    def report_load(self, load: Load, verdicts: Sequence[Verdict]) -> None:
        """How it ended, one verdict for each letter."""
        self.on_the_wire -= 1
        self._judge(verdicts)
        whole = len(load.letters) > 1 and all(_about_a_message(verdict) for verdict in verdicts)
        for letter, verdict in zip(load.letters, verdicts, strict=True):
            if load.mine is not None and letter.claimed.message.id not in load.mine:
                continue
            if whole:
                self.core.conclude(letter, _together(verdict), self)
            else:
                self.core.conclude(letter, verdict, self)

    # -- inside -----------------------------------------------------------------------------

    def _abandon(self) -> None:
        self.on_the_wire -= 1
        self.health.abandoned()

    async def _wait(self) -> None:
        self._filled.clear()
        seconds = self.health.seconds_left
        if self.waiting and seconds is not None:
            try:
                async with asyncio.timeout(max(seconds, LOOK_SECONDS_MIN)):
                    await self._filled.wait()
            except TimeoutError:
                return
        else:
            await self._filled.wait()

    def _next(self) -> Letter | None:
        while self.urgent or self.others:
            if (letter := self._open(self.urgent or self.others)) is not None:
                return letter
        return None

    def _open(self, queue: deque[Ready]) -> Letter | None:
        ready = queue.popleft()
        self.core.made_room()
        return self.core.open_letter(ready, self._signing)

    @property
    def _signing(self) -> Signing:
        able = self.record.capabilities
        if not able.raw:
            return Signing.NOT
        return Signing.WHOLE if able.keeps_message_id else Signing.BUT_ITS_ID

    def _judge(self, verdicts: Sequence[Verdict]) -> None:
        """What the verdicts of one load say of the route."""
        doubt = next((v for v in verdicts if isinstance(v, InDoubt)), None)
        failure = next((v for v in verdicts if about_the_route(v)), None)
        if doubt is not None:
            self.health.doubted(str(doubt))
        elif failure is not None:
            self.health.failed(str(failure))
        else:
            self.health.answered()
        if self.health.must_stop or not self.health.usable:
            self.core.line_fails()


def about_the_route(verdict: Verdict) -> bool:
    """Whether any message would have ended like this."""
    match verdict:
        case Declined(scope=Scope.ROUTE):
            return True
        case NotSent(stage=stage) | Refused(stage=stage):
            return isinstance(verdict, NotSent) or stage in _ABOUT_THE_ROUTE
        case _:
            return False


def _about_a_message(verdict: Verdict) -> bool:
    return isinstance(verdict, Declined) and verdict.scope is Scope.MESSAGE


def _together(verdict: Verdict) -> Verdict:
    """A load refused as a whole says nothing of each of its messages."""
    assert isinstance(verdict, Declined), "only refusals are of a whole load"
    return Declined(Scope.LOAD, verdict.detail)
