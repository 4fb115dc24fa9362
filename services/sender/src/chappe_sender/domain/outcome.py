"""How a hand-over ends, named for what the sender does next.

HandOverError
├── NotSent    surely not accepted: try again later, whatever the class
├── Refused    the server said no: later when ``permanent`` is false, never when it is true
├── Declined   a provider's answer proves that it did not take it; ``scope`` says what was wrong
└── InDoubt    the final dot was written and no answer came: perhaps accepted
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")


class Stage(StrEnum):
    """How far a transaction got. Only after ``verdict`` has begun can there be a doubt."""

    CONNECT = "connect"
    GREETING = "greeting"
    HELLO = "hello"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"
    VERDICT = "verdict"
    ANSWER = "answer"
    """Of a provider, over HTTP."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a server: its code, the enhanced code (RFC 3463) when it gave one, the text."""

    code: int
    enhanced: str | None
    text: str

    @property
    def positive(self) -> bool:
        """2xx, or 3xx: go on."""
        return self.code // 100 in {2, 3}

    @property
    def accepted(self) -> bool:
        return self.code // 100 == 2  # noqa: PLR2004 - the first digit speaks

    @property
    def negative(self) -> bool:
        return self.code // 100 in {4, 5}

    @property
    def permanent(self) -> bool:
        return self.code // 100 == 5  # noqa: PLR2004 - the first digit speaks

    @property
    def whole(self) -> str:
        """With the enhanced code, as rules read it."""
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))

    @override
    def __str__(self) -> str:
        return f"{self.code} {self.text}"


def reply_of(code: int, lines: list[str]) -> Reply:
    """A reply from its lines, without code and separator."""
    text = " ".join(line.strip() for line in lines).strip()
    match = _ENHANCED.match(text)
    if match and match[1] == str(code)[0]:
        enhanced = f"{match[1]}.{int(match[2])}.{int(match[3])}"
        return Reply(code, enhanced, text[match.end() :].strip() or text)
    return Reply(code, None, text)


class HandOverError(Exception):
    """A hand-over that did not end in acceptance."""

    def __init__(self, stage: Stage, detail: str) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage = stage
        self.detail = detail


class NotSent(HandOverError):
    """The message was surely not accepted: no final dot was written."""


class InDoubt(HandOverError):
    """The final dot was written and no answer that we understand came back."""


class Refused(HandOverError):
    """The server answered, and the answer was no."""

    def __init__(self, stage: Stage, reply: Reply) -> None:
        super().__init__(stage, str(reply))
        self.reply = reply

    @property
    def permanent(self) -> bool:
        return self.reply.permanent


class Scope(StrEnum):
    """What a provider's refusal is about."""

    ROUTE = "route"
    """The account, its key, its quota, the address we ask: any message would be refused."""
    RATE = "rate"
    """Too many at a time; later."""
    MESSAGE = "message"
    """This message, for any recipient: its sender, its size, its form."""
    LOAD = "load"
    """What this message was sent together with; alone it may be taken."""
    RECIPIENT = "recipient"
    """The provider does not write to this address."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A provider took the message. ``provider_id`` is how it calls it, where it says so."""

    provider_id: str | None = None
    detail: str = ""

    @override
    def __str__(self) -> str:
        return self.detail or f"taken as {self.provider_id}"


class Declined(HandOverError):
    """A provider's answer that proves that it did not take the message."""

    def __init__(self, scope: Scope, detail: str, retry_after: float | None = None) -> None:
        super().__init__(Stage.ANSWER, detail)
        self.scope = scope
        self.retry_after = retry_after
