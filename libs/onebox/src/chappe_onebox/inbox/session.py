"""The receiving side of SMTP, as bytes in and bytes out; it opens nothing and waits for nothing.

RFC 5321 with PIPELINING (2920), SIZE (1870), 8BITMIME (6152), SMTPUTF8 (6531) and enhanced
status codes (2034). A mail ends at CRLF.CRLF and nothing else, so that no bare newline smuggles
a second one in.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chappe_onebox.inbox.envelope import Path, Refused, parse_path
from chappe_onebox.inbox.limits import Limits

_CRLF: Final = b"\r\n"
_END: Final = b"\r\n.\r\n"
_SIZE_DIGITS_MAX: Final = 20  # RFC 1870 §4
_HTTP_VERBS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"})


@dataclass(frozen=True, slots=True)
class Incoming:
    """A whole mail, not yet stored: envelope as given, content without its dot-stuffing."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


class Room:
    """The memory all mails under way share."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    def take(self, size: int) -> bool:
        """Reserve ``size`` bytes (negative gives back); False when there is no room."""
        if size > self._free:
            return False
        self._free -= size
        return True


class Mode(enum.Enum):
    """What the next bytes are."""

    COMMAND = enum.auto()
    CONTENT = enum.auto()
    STORING = enum.auto()
    CLOSED = enum.auto()


class Session:
    """One client's conversation.

    ``feed`` returns a mail as soon as one is whole and then stands still, buffering, until
    ``answer`` says whether it was stored; so replies keep the order of the commands however the
    client groups them.
    """

    def __init__(self, *, limits: Limits, host: str, room: Room) -> None:
        self.mode = Mode.COMMAND
        self._limits = limits
        self._host = host
        self._room = room
        self._buffer = bytearray()
        self._replies: list[str] = [f"220 {host} ESMTP Chappe inbox"]
        self._greeted = False
        self._utf8 = False
        self._sender: str | None = None
        self._recipients: dict[str, None] = {}
        self._errors = 0
        self._overlong = False
        self._scanned = 0
        self._held = 0
        self._content_refusal: str | None = None
        self._verbs: dict[str, Callable[[str], None]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda _: self._reply("250 2.0.0 OK"),
            "VRFY": lambda _: self._reply("252 2.5.0 Send a mail and see"),
            "HELP": lambda _: self._reply("214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY QUIT"),
            "QUIT": self._quit,
        }

    @property
    def buffered(self) -> int:
        """Bytes read and not yet understood."""
        return len(self._buffer)

    def take_replies(self) -> bytes:
        """What to write now; empties it."""
        if not self._replies:
            return b""
        text = "\r\n".join(self._replies) + "\r\n"
        self._replies.clear()
        return text.encode()

    def feed(self, data: bytes) -> Incoming | None:
        """Take bytes from the client; a whole mail comes back."""
        if self.mode is Mode.CLOSED:
            return None
        self._buffer += data
        return self._advance()

    def answer(self, reply: str) -> Incoming | None:
        """Say what became of the mail ``feed`` returned, and go on with what is buffered."""
        self._release()
        if self.mode is not Mode.STORING:
            return None
        self._reply(reply)
        self.mode = Mode.COMMAND
        return self._advance()

    def close(self, reply: str | None = None) -> None:
        """End here; what was half-received is forgotten."""
        if reply is not None and self.mode is not Mode.CLOSED:
            self._reply(reply)
        if self.mode is not Mode.STORING:  # else ``answer`` gives the room back
            self._release()
        self.mode = Mode.CLOSED
        self._buffer.clear()

    def _advance(self) -> Incoming | None:
        while True:
            if self.mode is Mode.COMMAND:
                if not self._next_command():
                    return None
            elif self.mode is Mode.CONTENT:
                end = self._find_end()
                if end is None:
                    return None
                mail = self._finish_content(end)
                if mail is not None:
                    return mail
            else:
                return None

    # Commands

    def _next_command(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) >= self._limits.line_bytes:
                self._overlong = True
                self._buffer.clear()
            return False
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        too_long = self._overlong or len(line) > self._limits.line_bytes
        self._overlong = False
        try:
            if too_long:
                raise Refused("500 5.5.2 Line too long")
            self._run(line)
        except Refused as refused:
            self._reply(refused.reply)
            self._errors += 1
            if self._errors >= self._limits.errors:
                self.close("421 4.7.0 Too many errors")
        return True

    def _run(self, line: bytes) -> None:
        try:
            text = line.rstrip(b"\r\n").decode()
        except UnicodeDecodeError:
            raise Refused("500 5.5.2 Commands are UTF-8") from None
        if "\0" in text:
            raise Refused("500 5.5.2 Commands have no NUL")
        verb, _, argument = text.strip().partition(" ")
        verb = verb.upper()
        handler = self._verbs.get(verb)
        if handler is not None:
            handler(argument.strip())
        elif verb in _HTTP_VERBS:
            # A web page can make a browser post a form here; hang up before its body is read.
            self.close("421 4.7.0 This is SMTP, not HTTP")
        else:
            raise Refused("500 5.5.1 Unknown command")

    def _ehlo(self, argument: str) -> None:
        self._greet(argument)
        self._replies += [
            f"250-{self._host}",
            "250-PIPELINING",
            "250-8BITMIME",
            "250-SMTPUTF8",
            f"250-SIZE {self._limits.mail_bytes}",
            "250 ENHANCEDSTATUSCODES",
        ]

    def _helo(self, argument: str) -> None:
        self._greet(argument)
        self._reply(f"250 {self._host}")

    def _greet(self, argument: str) -> None:
        if not argument:
            raise Refused("501 5.5.4 Say your name")
        self._greeted = True
        self._forget()

    def _mail(self, argument: str) -> None:
        if not self._greeted:
            raise Refused("503 5.5.1 Say EHLO first")
        if self._sender is not None:
            raise Refused("503 5.5.1 One sender at a time")
        path = parse_path(argument, "FROM", may_be_empty=True)
        self._utf8 = self._check_mail_parameters(path)
        self._check_ascii(path)
        self._sender = path.address
        self._reply("250 2.1.0 Sender OK")

    def _check_mail_parameters(self, path: Path) -> bool:
        utf8 = False
        for name, value in path.parameters.items():
            if name == "SIZE" and value is not None and value.isascii() and value.isdigit():
                if len(value) > _SIZE_DIGITS_MAX or int(value) > self._limits.mail_bytes:
                    raise Refused("552 5.3.4 The mail is too large")
            elif name == "SMTPUTF8" and value is None:
                utf8 = True
            elif not (name == "BODY" and (value or "").upper() in {"7BIT", "8BITMIME"}):
                raise Refused("555 5.5.4 Unknown parameter or value")
        return utf8

    def _check_ascii(self, path: Path) -> None:
        if not path.address.isascii() and not self._utf8:
            raise Refused("553 5.6.7 This address needs SMTPUTF8")

    def _rcpt(self, argument: str) -> None:
        if self._sender is None:
            raise Refused("503 5.5.1 MAIL comes first")
        path = parse_path(argument, "TO", may_be_empty=False)
        if path.parameters:
            raise Refused("555 5.5.4 Unknown parameter")
        self._check_ascii(path)
        if len(self._recipients) >= self._limits.recipients and (
            path.address not in self._recipients
        ):
            self._reply("452 4.5.3 Too many recipients")
            return
        self._recipients[path.address] = None
        self._reply("250 2.1.5 Recipient OK")

    def _data(self, argument: str) -> None:
        if argument:
            raise Refused("501 5.5.4 DATA takes no argument")
        if self._sender is None:
            raise Refused("503 5.5.1 MAIL comes first")
        if not self._recipients:
            raise Refused("554 5.5.1 No valid recipients")
        self.mode = Mode.CONTENT
        self._buffer[:0] = _CRLF  # a first line of one dot then ends it like any other
        self._scanned = 0
        self._content_refusal = None
        self._reply("354 End with a line of one dot")

    def _rset(self, argument: str) -> None:
        if argument:
            raise Refused("501 5.5.4 RSET takes no argument")
        self._forget()
        self._reply("250 2.0.0 OK")

    def _quit(self, _argument: str) -> None:
        self.close("221 2.0.0 Bye")

    # Content

    def _find_end(self) -> int | None:
        """Where the content ends, its last CRLF included; None when more must come."""
        found = self._buffer.find(_END, max(0, self._scanned - len(_END) + 1))
        if found >= 0:
            return found + len(_CRLF)
        self._scanned = len(self._buffer)
        self._bound_content()
        return None

    def _bound_content(self) -> None:
        size = len(self._buffer)
        # Dot-stuffing makes a mail longer on the wire, by a third at the very most.
        if size > self._limits.mail_bytes * 4 // 3 + len(_END):
            self._content_refusal = self._content_refusal or "552 5.3.4 The mail is too large"
        elif self._room.take(size - self._held):
            self._held = size
        else:
            self._content_refusal = self._content_refusal or "452 4.3.1 Too busy, try again later"
        if self._content_refusal is not None:
            # Read on to its end, so that the conversation stays in step, but keep nothing.
            del self._buffer[: 1 - len(_END)]
            self._scanned = len(self._buffer)
            self._release()

    def _finish_content(self, end: int) -> Incoming | None:
        content = bytes(self._buffer[:end]).replace(b"\r\n.", _CRLF)[len(_CRLF) :]
        del self._buffer[: end + len(_END) - len(_CRLF)]
        sender, recipients = self._sender or "", tuple(self._recipients)
        self._forget()
        self.mode = Mode.COMMAND
        refusal = self._content_refusal
        if refusal is None and len(content) > self._limits.mail_bytes:
            refusal = "552 5.3.4 The mail is too large"
        if refusal is None and not self._room.take(len(content) - self._held):
            refusal = "452 4.3.1 Too busy, try again later"
        if refusal is not None:
            self._release()
            self._reply(refusal)
            return None
        self._held = len(content)
        self.mode = Mode.STORING
        return Incoming(sender, recipients, content)

    def _forget(self) -> None:
        self._sender = None
        self._recipients = {}
        self._utf8 = False

    def _release(self) -> None:
        self._room.take(-self._held)
        self._held = 0

    def _reply(self, reply: str) -> None:
        self._replies.append(reply)
