"""What making calls needs of the world: the table, the network, the log, a pen for texts."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from chappe.events import Event
from chappe.http import OutboundAnswer
from chappe_orchestrator.domain import Call


class Claimed(NamedTuple):
    """A call to be made now. ``attempt`` counts from 1."""

    call: Call
    attempt: int


class Calls(Protocol):
    """The calls that steps asked for. Several processes may claim at once."""

    async def claim(self, now: dt.datetime, until: dt.datetime, limit: int) -> Sequence[Claimed]:
        """Those that are due; nobody else gets them before ``until``."""
        ...

    async def end(self, call: str, state: str, now: dt.datetime, reason: str | None) -> None:
        """``done`` or ``failed``, unless it was cancelled meanwhile."""
        ...

    async def again(self, call: str, at: dt.datetime, reason: str) -> None: ...

    async def next_at(self) -> dt.datetime | None:
        """When the next call is due."""
        ...

    async def forget(self, before: dt.datetime) -> None:
        """Drop those that ended before."""
        ...


class Outside(Protocol):
    """``chappe.http.Outbound``, as far as it is needed."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        limit_bytes: int = ...,
        timeout_seconds: float | None = None,
    ) -> OutboundAnswer:
        """Raises ``OutboundRefused`` or ``OutboundUnreachable``."""
        ...


class NoticeFailedError(Exception):
    """A mail to the team was not taken; trying again may help."""


class Notices(Protocol):
    """Mail to the shop's own people."""

    async def mail(self, call: str, workspace: str, address: str, subject: str, text: str) -> None:
        """Asking twice for one ``call`` is asking once. Raises ``NoticeFailedError``."""
        ...


class Pen(Protocol):
    """Fills in the texts of a call."""

    def fill(self, text: str, values: Mapping[str, Any]) -> str:
        """Raises ``ValueError`` with a sentence."""
        ...


class Teller(Protocol):
    """Puts a fact into ``events``."""

    async def tell(self, event: Event) -> None:
        """Returns when it is durable. Raises ``chappe.broker.BrokerError``."""
        ...
