"""What waits for the default way out: the work of its lanes. Receipts do not wait for marketing."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from chappe_sender.application.letter import Letter
from chappe_sender.application.line import QUEUE_LOW, Ready
from chappe_sender.application.notes import Notes
from chappe_sender.application.opening import Opening
from chappe_sender.application.ports import Parcel, Verdict
from chappe_sender.application.verdicts import Verdicts
from chappe_sender.domain.template import MessageClass


@dataclass(slots=True)
class DefaultWay:
    """Implements ``Work``. ``made_room`` is called when more may be claimed for it."""

    opening: Opening
    notes: Notes
    verdicts: Verdicts
    made_room: Callable[[], None]
    _urgent: deque[Ready] = field(default_factory=deque[Ready])
    _others: deque[Ready] = field(default_factory=deque[Ready])
    _filled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def room(self) -> frozenset[MessageClass]:
        """The classes of which more may be claimed."""
        found: list[MessageClass] = []
        if len(self._urgent) <= QUEUE_LOW:
            found.append(MessageClass.TRANSACTIONAL)
        if len(self._others) <= QUEUE_LOW:
            found.append(MessageClass.MARKETING)
        return frozenset(found)

    def put(self, ready: Ready) -> None:
        (self._others if ready.claimed.message.is_marketing else self._urgent).append(ready)

    def wake(self) -> None:
        """What was put may be taken."""
        self._filled.set()

    def take_out(self, keep: Callable[[Ready], bool]) -> list[Ready]:
        """Remove and give what is not to be kept."""
        gone = [ready for ready in (*self._urgent, *self._others) if not keep(ready)]
        self._urgent = deque(ready for ready in self._urgent if keep(ready))
        self._others = deque(ready for ready in self._others if keep(ready))
        return gone

    async def take(self) -> Parcel:
        while (letter := self.take_now()) is None:
            self._filled.clear()
            await self._filled.wait()
        return letter

    def take_now(self) -> Letter | None:
        while queue := self._urgent or self._others:
            ready = queue.popleft()
            if len(queue) <= QUEUE_LOW:
                self.made_room()
            if (letter := self.opening.open(ready)) is not None:
                return letter
        return None

    async def about_to_commit(self, parcel: Parcel) -> bool:
        return await self.notes.noted(self.notes.commitment(_letter(parcel), None))

    def report(self, parcel: Parcel, verdict: Verdict) -> None:
        self.verdicts.plain(_letter(parcel), verdict)


def _letter(parcel: Parcel) -> Letter:
    assert isinstance(parcel, Letter), "a parcel that we did not write"
    return parcel
