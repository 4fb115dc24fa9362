"""The links of ours that stand in a mail, each sealed for one purpose.

| kind | payload |
|---|---|
| ``open`` at ``/o`` | workspace, contact, message |
| ``tally`` at ``/o`` | workspace, journey, step: a pixel of nobody in particular |
| ``click`` at ``/c`` | workspace, contact, message, link index, destination |
| ``unsubscribe`` at ``/u`` | workspace, contact, address, message, topic or None, brand, colour |
| ``preferences`` at ``/p`` | workspace, contact, address, message, topic or None |
| ``confirm`` at ``/p`` | workspace, contact, address, message, seconds when it was issued |
"""

from dataclasses import dataclass, field

from chappe.tokens import Tokens
from chappe_sender.domain.measuring import Tracking


@dataclass(frozen=True, slots=True)
class Links:
    """The links of one message. ``public_url`` has no slash at its end.

    ``step`` is the journey and the step that all readers of one pixel have in common.
    """

    tokens: Tokens
    public_url: str
    workspace: str
    contact: str
    message: str
    address: str
    topic: str | None
    look: tuple[str, str] = ("", "")
    """The brand's name and main colour, for the page that looks nothing up."""
    mode: Tracking = Tracking.FULL
    step: tuple[str, str] = ("", "")
    _made: dict[tuple[str | int | None, ...], str] = field(
        default_factory=dict[tuple[str | int | None, ...], str], compare=False, repr=False
    )
    """A mail shows most of its links twice: in HTML and in text."""

    def open(self) -> str | None:
        """The pixel, if there is to be one."""
        match self.mode:
            case Tracking.FULL:
                return self._url("open", [self.workspace, self.contact, self.message])
            case Tracking.AGGREGATE:
                sealed = self.tokens.seal("tally", [self.workspace, *self.step])
                return f"{self.public_url}/o/{sealed}"
            case Tracking.NONE:
                return None

    def click(self, index: int, destination: str) -> str:
        if self.mode is Tracking.NONE:
            return destination
        return self._url("click", [self.workspace, self.contact, self.message, index, destination])

    def unsubscribe(self) -> str:
        return self._url("unsubscribe", [*self._person(), *self.look])

    def preferences(self) -> str:
        return self._url("preferences", self._person())

    def confirm(self, issued: int) -> str:
        """Where a double opt-in is confirmed. ``issued``: seconds of the wall clock."""
        payload: list[str | int | None] = [self.workspace, self.contact, self.address, self.message]
        return f"{self.public_url}/p/{self.tokens.seal('confirm', [*payload, issued])}"

    def _person(self) -> list[str | int | None]:
        return [self.workspace, self.contact, self.address, self.message, self.topic]

    def _url(self, kind: str, payload: list[str | int | None]) -> str:
        key = (kind, *payload)
        if (made := self._made.get(key)) is None:
            made = self._made[key] = (
                f"{self.public_url}/{kind[0]}/{self.tokens.seal(kind, payload)}"
            )
        return made
