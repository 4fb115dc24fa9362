"""Read the numbers in a server's answer: RFC 5321 replies, RFC 3463 and RFC 5248 status codes."""

import re
from dataclasses import dataclass
from typing import Final

from chappe_sender.domain.bounces.events import BounceClass as B

_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\.?\d)")
_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})")
_REPLY = re.compile(
    r"(?<![\d.:/=\[-])([2345][0-5]\d)(?=[ \-,;:)#\]]|$)(?!\s*(?:ms|kb|mb|bytes|sec))"
)

_SUCCESS = 2

BY_CODE: Final[dict[str, B]] = {
    "1.0": B.INVALID_RECIPIENT,
    "1.1": B.INVALID_RECIPIENT,
    "1.2": B.BAD_DOMAIN,
    "1.3": B.INVALID_RECIPIENT,
    "1.4": B.INVALID_RECIPIENT,
    "1.6": B.INACTIVE_MAILBOX,
    "1.7": B.REPUTATION,
    "1.8": B.REPUTATION,
    "1.9": B.PROTOCOL,
    "1.10": B.BAD_DOMAIN,
    "2.1": B.INACTIVE_MAILBOX,
    "2.2": B.MAILBOX_FULL,
    "2.3": B.TOO_LARGE,
    "2.4": B.SERVER_ERROR,
    "3.1": B.SERVER_ERROR,
    "3.2": B.SERVER_ERROR,
    "3.3": B.SERVER_ERROR,
    "3.4": B.TOO_LARGE,
    "3.5": B.SERVER_ERROR,
    "4.1": B.CONNECTION,
    "4.2": B.CONNECTION,
    "4.3": B.CONNECTION,
    "4.4": B.BAD_DOMAIN,
    "4.5": B.RATE_LIMITED,
    "4.6": B.SERVER_ERROR,
    "4.7": B.EXPIRED,
    "5.1": B.PROTOCOL,
    "5.2": B.PROTOCOL,
    "5.3": B.RATE_LIMITED,
    "5.4": B.PROTOCOL,
    "5.5": B.PROTOCOL,
    "5.6": B.AUTHENTICATION,
    "6.1": B.CONTENT,
    "6.2": B.CONTENT,
    "6.3": B.CONTENT,
    "6.5": B.CONTENT,
    "6.6": B.CONTENT,
    "6.7": B.PROTOCOL,
    "6.9": B.PROTOCOL,
    "7.0": B.POLICY,
    "7.1": B.POLICY,
    "7.2": B.POLICY,
    "7.4": B.POLICY,
    "7.5": B.POLICY,
    "7.7": B.POLICY,
    "7.8": B.POLICY,
    "7.9": B.POLICY,
    "7.10": B.POLICY,
    "7.13": B.INACTIVE_MAILBOX,
    "7.14": B.POLICY,
    "7.17": B.INVALID_RECIPIENT,
    "7.18": B.BAD_DOMAIN,
    "7.20": B.AUTHENTICATION,
    "7.21": B.AUTHENTICATION,
    "7.22": B.AUTHENTICATION,
    "7.23": B.AUTHENTICATION,
    "7.24": B.AUTHENTICATION,
    "7.25": B.AUTHENTICATION,
    "7.26": B.AUTHENTICATION,
    "7.27": B.AUTHENTICATION,
    "7.28": B.RATE_LIMITED,
    "7.29": B.AUTHENTICATION,
    "7.30": B.AUTHENTICATION,
    "7.509": B.AUTHENTICATION,
    "7.515": B.AUTHENTICATION,
}
"""``subject.detail``, of a 4 or a 5 alike. What is missing (0.0, 3.0, 5.0 …) says nothing."""

BY_REPLY: Final[dict[int, B]] = {
    421: B.SERVER_ERROR,
    422: B.MAILBOX_FULL,
    451: B.SERVER_ERROR,
    452: B.MAILBOX_FULL,
    500: B.PROTOCOL,
    501: B.PROTOCOL,
    502: B.PROTOCOL,
    503: B.PROTOCOL,
    504: B.PROTOCOL,
    511: B.INVALID_RECIPIENT,
    521: B.BAD_DOMAIN,
    523: B.TOO_LARGE,
    530: B.POLICY,
    535: B.POLICY,
    552: B.MAILBOX_FULL,
    556: B.BAD_DOMAIN,
}
"""When there is nothing else: 450, 550 and 554 mean anything."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """``status`` is ``(class, subject.detail)``; ``reply`` the last three-digit answer."""

    status: tuple[int, str] | None = None
    reply: int | None = None

    @property
    def digit(self) -> int | None:
        """2, 4 or 5: what the server said of trying again.

        The status code speaks, unless it only repeats what a gateway made of the answer (X.0.0).
        """
        if self.status and (self.status[1] != "0.0" or not self.reply):
            return self.status[0]
        return self.reply // 100 if self.reply else None

    @property
    def by_status(self) -> B | None:
        return BY_CODE.get(self.status[1]) if self.status else None

    @property
    def by_reply(self) -> B | None:
        return BY_REPLY.get(self.reply) if self.reply else None


def numbers(text: str) -> Numbers:
    """The codes in an answer. Of several, the first status that says something and its reply."""
    statuses = [(int(m[1]), f"{int(m[2])}.{int(m[3])}") for m in _ENHANCED.finditer(text)]
    telling = next((s for s in statuses if s[1] in BY_CODE and s[0] != _SUCCESS), None)
    replies = [int(m[1]) for m in _REPLY.finditer(text) if m[1][0] in "45"]
    return Numbers(telling or (statuses[0] if statuses else None), replies[0] if replies else None)


def status(text: str) -> tuple[int, str] | None:
    """The value of a ``Status`` field, comments and zeros ignored."""
    match = _STATUS.match(text)
    return (int(match[1]), f"{int(match[2])}.{int(match[3])}") if match else None
