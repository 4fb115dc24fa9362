"""The links of ours that stand in a mail, each sealed for one purpose.

| kind | payload |
|---|---|
| ``open`` at ``/o`` | workspace, contact, message |
| ``click`` at ``/c`` | workspace, contact, message, link index, destination |
| ``unsubscribe`` at ``/u`` | workspace, contact, address, message, topic or None |
| ``preferences`` at ``/p`` | the same |
| ``confirm`` at ``/p`` | workspace, contact, address, message, seconds when it was issued |
"""

from dataclasses import dataclass

from chappe.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Links:
    """The links of one message. ``public_url`` has no slash at its end."""

    tokens: Tokens
    public_url: str
    workspace: str
    contact: str
    message: str
    address: str
    topic: str | None

    def open(self) -> str:
        """The pixel."""
        return self._url("open", [self.workspace, self.contact, self.message])

    def click(self, index: int, destination: str) -> str:
        return self._url("click", [self.workspace, self.contact, self.message, index, destination])

    def unsubscribe(self) -> str:
        return self._url("unsubscribe", self._person())

    def preferences(self) -> str:
        return self._url("preferences", self._person())

    def confirm(self, issued: int) -> str:
        """Where a double opt-in is confirmed. ``issued``: seconds of the wall clock."""
        payload: list[str | int | None] = [self.workspace, self.contact, self.address, self.message]
        return f"{self.public_url}/p/{self.tokens.seal('confirm', [*payload, issued])}"

    def _person(self) -> list[str | int | None]:
        return [self.workspace, self.contact, self.address, self.message, self.topic]

    def _url(self, kind: str, payload: list[str | int | None]) -> str:
        return f"{self.public_url}/{kind[0]}/{self.tokens.seal(kind, payload)}"
