"""One SMTP connection that always knows its stage (RFC 5321, 2920, 3207, 4954, 6152, 6531, 1870).

A message goes out in two steps, ``begin`` (MAIL, RCPT, DATA and their answers) and ``finish``
(content, final dot and verdict), so that the caller can write down durably, in between, that it is
about to commit. With PIPELINING the next message's MAIL, RCPT and DATA travel with this one's
final dot: one round trip per message.
"""

import base64
import hmac
import re
from dataclasses import dataclass, field, replace
from typing import NoReturn

import msgspec

from chappe.shards import fault_point
from chappe_sender.adapters.smtp.route import Route, Security
from chappe_sender.adapters.smtp.wire import TlsError, Wire, WireError, connect
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.outcome import InDoubt, NotSent, Refused, Reply, Stage, reply_of

REPLY_LINES_MAX = 100
READY, GOODBYE, LOGGED_IN, GO_ON, SEND_CONTENT, CLOSING = 220, 221, 235, 334, 354, 421
OUT_OF_STEP = 503
"""A command at the wrong time: the server's state is not what we think, whatever the message."""
_REPLY = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Features:
    """What the server's EHLO answer offers."""

    pipelining: bool = False
    eight_bit: bool = False
    utf8: bool = False
    starttls: bool = False
    size_max: int | None = None
    auth: frozenset[str] = frozenset()


def _word(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _without(reply: Reply, username: str, password: str) -> Reply:
    """An answer that repeats what we said, without the password."""
    text = reply.text
    for secret in (password, *map(_word, (password, f"\0{username}\0{password}"))):
        text = text.replace(secret, "…") if secret else text
    return replace(reply, text=text)


class _Challenge(msgspec.Struct):
    status: str


_challenge = msgspec.json.Decoder(_Challenge).decode


def _status(challenge: str) -> str | None:
    """What a refused token's challenge gives as its reason: a number, as in HTTP."""
    try:
        said = _challenge(base64.b64decode(challenge, validate=True))
    except (ValueError, msgspec.MsgspecError):
        return None
    return said.status if re.fullmatch(r"[a-z0-9_]{1,30}", said.status) else None


def features_of(lines: list[str]) -> Features:
    """The features in an EHLO answer, whose first line is the server's name."""
    offered = {line.split()[0].upper(): line.split()[1:] for line in lines[1:] if line.split()}
    size = next(iter(offered.get("SIZE", [])), "")
    return Features(
        pipelining="PIPELINING" in offered,
        eight_bit="8BITMIME" in offered,
        utf8="SMTPUTF8" in offered,
        starttls="STARTTLS" in offered,
        size_max=int(size) if size.isdigit() and int(size) > 0 else None,
        auth=frozenset(word.upper() for word in offered.get("AUTH", [])),
    )


class _TlsFailed(NotSent):
    """Nothing but TLS is in the way."""


@dataclass(slots=True)
class Connection:
    """Use ``open``; after any ``NotSent`` or ``InDoubt`` the connection is closed."""

    route: Route
    _wire: Wire
    features: Features = field(default_factory=Features)
    handed_over: int = 0
    _begun: Envelope | None = None
    _ready: Envelope | None = None
    _reset_first: bool = False
    _try_tls: bool = True

    @classmethod
    async def open(cls, route: Route) -> "Connection":
        """Greet, secure and log in. Raises ``NotSent`` or ``Refused``.

        Opportunistic TLS that fails is done without, as Postfix does: whoever can spoil it could as
        well have hidden that it is offered. A password is not sent so.
        """
        try:
            return await cls._open(route)
        except _TlsFailed:
            if route.security is not Security.OPPORTUNISTIC:
                raise
            return await cls._open(route, try_tls=False)

    @classmethod
    async def _open(cls, route: Route, *, try_tls: bool = True) -> "Connection":
        implicit = route.security is Security.IMPLICIT
        try:
            wire = await connect(
                route.connect_to or route.host,
                route.port,
                route.timeouts.connect,
                route.tls if implicit else None,
                route.source,
            )
        except WireError as error:
            raise NotSent(Stage.CONNECT, str(error)) from error
        connection = cls(route, wire, _try_tls=try_tls)
        try:
            await connection._greet()
        except BaseException:
            wire.abort()
            raise
        return connection

    @property
    def alive(self) -> bool:
        return self._wire.alive

    @property
    def announced(self) -> bool:
        """Whether a next message's MAIL, RCPT and DATA are already on the wire."""
        return self._begun is not None

    async def begin(self, envelope: Envelope) -> None:
        """Have sender and recipient accepted; on return the server waits for the content.

        Raises ``Refused`` (the connection can go on) or ``NotSent`` (it cannot).
        """
        if self._begun is not envelope:
            if self._begun is not None:
                self._fail(Stage.MAIL, "another message was announced")
            self._check(envelope)
            if self._wire.has_lines:
                said = await self._ask(b"", Stage.MAIL, self.route.timeouts.mail)
                self._fail(Stage.MAIL, f"the server spoke unasked: {said}")
            if self.features.pipelining:
                self._announce(envelope)
            else:
                await self._begin_one_by_one(envelope)
                return
        self._begun = None
        await self._read_group(envelope)

    async def finish(self, envelope: Envelope, following: Envelope | None = None) -> Reply:
        """Write the content and hear the verdict. ``following`` is announced in the same breath.

        Raises ``NotSent`` while the final dot is unwritten, then ``Refused`` or ``InDoubt``.
        """
        if self._ready is not envelope:
            self._fail(Stage.CONTENT, "the server is not waiting for this message")
        self._ready = None
        await self._write_content(envelope.content)
        dot = b".\r\n"
        if following is not None and self.features.pipelining and self._fits(following):
            dot += self._group(following)
            self._begun = following
        try:
            self._wire.write(dot)
            fault_point("after_final_dot")
            reply = await self._reply(self.route.timeouts.verdict)
        except WireError as error:
            self._wire.abort()
            raise InDoubt(Stage.VERDICT, str(error)) from error
        if reply.code == CLOSING:
            self._wire.abort()
        if reply.code in {READY, GOODBYE} or not (reply.accepted or reply.negative):
            self._wire.abort()
            raise InDoubt(Stage.VERDICT, f"an answer that is none: {reply}")
        if not reply.positive:
            # Postfix forgets nothing of a message that it refuses at the end of DATA.
            self._reset_first = self._begun is None
            raise Refused(Stage.VERDICT, reply)
        self.handed_over += 1
        return reply

    async def quit(self) -> None:
        """Say goodbye, briefly, and close."""
        try:
            self._wire.write(b"QUIT\r\n")
            await self._reply(self.route.timeouts.quit)
        except WireError:
            pass
        finally:
            self._wire.abort()

    def abort(self) -> None:
        """Close at once: what was begun is not sent."""
        self._wire.abort()

    # ------------------------------------------------------------------ opening

    async def _greet(self) -> None:
        timeouts = self.route.timeouts
        greeting = await self._ask(b"", Stage.GREETING, timeouts.greeting)
        if not greeting.positive:
            raise Refused(Stage.GREETING, greeting)
        await self._hello()
        if self._try_tls and self.route.security not in {Security.NONE, Security.IMPLICIT}:
            await self._secure()
        if self.route.username is not None:
            await self._log_in(self.route.username, self.route.password or "")

    async def _hello(self) -> None:
        name = self.route.ehlo_name.encode("ascii", "ignore") or b"localhost"
        lines, reply = await self._ask_lines(b"EHLO " + name + b"\r\n", Stage.HELLO)
        if reply.permanent:
            self.features = Features()
            lines, reply = await self._ask_lines(b"HELO " + name + b"\r\n", Stage.HELLO)
            if not reply.positive:
                raise Refused(Stage.HELLO, reply)
            return
        if not reply.positive:
            raise Refused(Stage.HELLO, reply)
        self.features = features_of(lines)

    async def _secure(self) -> None:
        required = self.route.security is not Security.OPPORTUNISTIC
        if not self.features.starttls:
            if required:
                self._fail(Stage.TLS, "the server offers no STARTTLS, and it is required")
            return
        reply = await self._ask(b"STARTTLS\r\n", Stage.TLS, self.route.timeouts.mail)
        if reply.code != READY:
            if required:
                raise Refused(Stage.TLS, reply)
            return
        try:
            await self._wire.start_tls(self.route.tls, self.route.host, self.route.timeouts.connect)
        except TlsError as error:
            self._wire.abort()
            raise _TlsFailed(Stage.TLS, str(error)) from error
        except WireError as error:
            self._fail(Stage.TLS, str(error), error)
        pins, certificate = self.route.pins, self._wire.certificate
        if pins and (certificate is None or not any(pin.fits(certificate) for pin in pins)):
            self._fail(Stage.TLS, "the server's certificate is not the one that DNS names")
        await self._hello()

    async def _log_in(self, username: str, password: str) -> None:
        mechanism = self._mechanism()
        match mechanism:
            case "PLAIN":
                reply = await self._auth("PLAIN " + _word(f"\0{username}\0{password}"))
            case "LOGIN":
                reply = await self._auth("LOGIN", _word(username), _word(password))
            case "CRAM-MD5":
                reply = await self._cram(username, password)
            case "XOAUTH2":
                reply = await self._bearer(username, password)
            case _:
                self._fail(Stage.AUTH, "the server offers no AUTH that we know")
        if reply.code != LOGGED_IN:
            raise Refused(Stage.AUTH, _without(reply, username, password))

    def _mechanism(self) -> str | None:
        """The best that both sides know; a token only if asked for. Raises ``NotSent`` rather than
        send a password in clear where the route does not say that there is to be no TLS.
        """
        secured = self._wire.certificate is not None
        order = ("PLAIN", "LOGIN", "CRAM-MD5") if secured else ("CRAM-MD5", "PLAIN", "LOGIN")
        if self.route.auth is not None:
            order = (self.route.auth.upper(),)
        found = next((each for each in order if each in self.features.auth), None)
        in_clear = not secured and found not in {None, "CRAM-MD5"}
        if in_clear and self.route.security is not Security.NONE:
            self._fail(
                Stage.AUTH,
                "the server offers no TLS and no CRAM-MD5, and a password is sent in clear only "
                "where starttls=never says so",
            )
        return found

    async def _auth(self, start: str, *answers: str) -> Reply:
        """``start``, and an answer for each time that the server asks on."""
        timeout = self.route.timeouts.mail
        reply = await self._ask(f"AUTH {start}\r\n".encode(), Stage.AUTH, timeout)
        for answer in answers:
            if reply.code != GO_ON:
                break
            reply = await self._ask(f"{answer}\r\n".encode(), Stage.AUTH, timeout)
        return reply

    async def _cram(self, username: str, password: str) -> Reply:
        """RFC 2195."""
        challenge = await self._auth("CRAM-MD5")
        if challenge.code != GO_ON:
            return challenge
        try:
            asked = base64.b64decode(challenge.text, validate=True)
        except ValueError:
            self._fail(Stage.AUTH, "the server's challenge is none")
        digest = hmac.new(password.encode(), asked, "md5").hexdigest()
        answer = _word(f"{username} {digest}").encode() + b"\r\n"
        return await self._ask(answer, Stage.AUTH, self.route.timeouts.mail)

    async def _bearer(self, username: str, token: str) -> Reply:
        """XOAUTH2 as Google and Microsoft describe it. A refusal comes as a challenge that says
        why, and must be answered by an empty line before the server says no.
        """
        asked = _word(f"user={username}\x01auth=Bearer {token}\x01\x01")
        reply = await self._auth(f"XOAUTH2 {asked}")
        if reply.code != GO_ON:
            return reply
        status = _status(reply.text)
        reply = await self._ask(b"\r\n", Stage.AUTH, self.route.timeouts.mail)
        return replace(reply, text=f"{reply.text} (status {status})") if status else reply

    # ------------------------------------------------------------------ the envelope

    def _fits(self, envelope: Envelope) -> bool:
        try:
            self._check(envelope)
        except Refused:
            return False
        return True

    def _check(self, envelope: Envelope) -> None:
        """What can be known to be refused without asking."""
        size_max = self.features.size_max
        if size_max is not None and len(envelope.content) > size_max:
            raise Refused(
                Stage.MAIL, Reply(552, "5.3.4", f"larger than the server's limit of {size_max}")
            )
        if envelope.utf8 and not self.features.utf8:
            raise Refused(Stage.MAIL, Reply(553, "5.6.7", "the server does not offer SMTPUTF8"))

    def _group(self, envelope: Envelope) -> bytes:
        reset = b"RSET\r\n" if self._reset_first else b""
        return b"".join((reset, self._mail(envelope), self._rcpt(envelope), b"DATA\r\n"))

    def _mail(self, envelope: Envelope) -> bytes:
        line = f"MAIL FROM:<{envelope.sender}>"
        if self.features.size_max is not None:
            line += f" SIZE={len(envelope.content)}"
        if self.features.eight_bit and not envelope.content.isascii():
            line += " BODY=8BITMIME"
        if envelope.utf8:
            line += " SMTPUTF8"
        return f"{line}\r\n".encode()

    def _rcpt(self, envelope: Envelope) -> bytes:
        return f"RCPT TO:<{envelope.recipient}>\r\n".encode()

    def _announce(self, envelope: Envelope) -> None:
        try:
            self._wire.write(self._group(envelope))
        except WireError as error:
            self._fail(Stage.MAIL, str(error), error)

    async def _read_group(self, envelope: Envelope) -> None:
        """Read every answer of a group before deciding (RFC 2920, 3.1)."""
        timeouts = self.route.timeouts
        if self._reset_first:
            await self._ask(b"", Stage.MAIL, timeouts.mail)
            self._reset_first = False
        replies: dict[Stage, Reply] = {}
        for stage, seconds in (
            (Stage.MAIL, timeouts.mail),
            (Stage.RCPT, timeouts.rcpt),
            (Stage.DATA, timeouts.data),
        ):
            reply = replies[stage] = await self._ask(b"", stage, seconds)
            if reply.code == CLOSING:
                self._wire.abort()
                break
        await self._turn_down(replies)
        for stage, reply in replies.items():
            self._insist(stage, reply)
        self._expect_content(envelope, replies[Stage.DATA])

    async def _turn_down(self, replies: dict[Stage, Reply]) -> None:
        """Content is asked for though nobody is to get it: a lone dot (RFC 2920, 3.1). Where the
        sender was refused, it might be taken for a mail to the recipients of the one before.
        """
        data = replies.get(Stage.DATA)
        if data is None or data.code != SEND_CONTENT:
            return
        if not replies[Stage.MAIL].accepted:
            self._wire.abort()
        elif not replies[Stage.RCPT].accepted:
            await self._ask(b".\r\n", Stage.DATA, self.route.timeouts.data)

    async def _begin_one_by_one(self, envelope: Envelope) -> None:
        timeouts = self.route.timeouts
        if self._reset_first:
            await self._ask(b"RSET\r\n", Stage.MAIL, timeouts.mail)
            self._reset_first = False
        for stage, line, seconds in (
            (Stage.MAIL, self._mail(envelope), timeouts.mail),
            (Stage.RCPT, self._rcpt(envelope), timeouts.rcpt),
            (Stage.DATA, b"DATA\r\n", timeouts.data),
        ):
            reply = await self._ask(line, stage, seconds)
            self._insist(stage, reply)
            if stage is Stage.DATA:
                self._expect_content(envelope, reply)

    def _insist(self, stage: Stage, reply: Reply) -> None:
        """Go on only with 2xx, or 354 after DATA."""
        if reply.accepted or (stage is Stage.DATA and reply.code == SEND_CONTENT):
            return
        if not reply.negative:
            self._fail(stage, f"an answer that is none: {reply}")
        if reply.code == OUT_OF_STEP:
            self._fail(stage, f"the server is out of step: {reply}")
        self._reset_first = True
        if reply.code == CLOSING:
            self._wire.abort()
        raise Refused(stage, reply)

    def _expect_content(self, envelope: Envelope, data: Reply) -> None:
        if data.code != SEND_CONTENT:
            self._fail(Stage.DATA, f"the server does not ask for the content: {data}")
        self._ready = envelope

    # ------------------------------------------------------------------ the content

    async def _write_content(self, content: bytes) -> None:
        """Everything but the final dot: until that is written, nothing can have been accepted."""
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        try:
            self._wire.write(stuffed)
            await self._wire.drain(self.route.timeouts.block)
            if self._wire.has_lines:
                early = await self._reply(self.route.timeouts.data)
                self._wire.abort()
                if early.negative:
                    raise Refused(Stage.CONTENT, early)
                raise NotSent(Stage.CONTENT, f"the server answered too early: {early}")
        except WireError as error:
            self._fail(Stage.CONTENT, str(error), error)

    # ------------------------------------------------------------------ asking

    def _fail(self, stage: Stage, why: str, error: WireError | None = None) -> NoReturn:
        self._wire.abort()
        raise NotSent(stage, why) from error

    async def _ask(self, line: bytes, stage: Stage, seconds: float) -> Reply:
        try:
            if line:
                self._wire.write(line)
            return await self._reply(seconds)
        except WireError as error:
            self._fail(stage, str(error), error)

    async def _ask_lines(self, line: bytes, stage: Stage) -> tuple[list[str], Reply]:
        try:
            self._wire.write(line)
            code, lines = await self._reply_lines(self.route.timeouts.mail)
        except WireError as error:
            self._fail(stage, str(error), error)
        return lines, reply_of(code, lines)

    async def _reply(self, seconds: float) -> Reply:
        return reply_of(*await self._reply_lines(seconds))

    async def _reply_lines(self, seconds: float) -> tuple[int, list[str]]:
        lines: list[str] = []
        for _ in range(REPLY_LINES_MAX):
            match = _REPLY.fullmatch(await self._wire.line(seconds))
            if match is None:
                raise WireError("the server does not speak SMTP")
            lines.append((match[3] or b"").decode("utf-8", "replace"))
            if match[2] != b"-":
                return int(match[1]), lines
        raise WireError("the server's answer has no end")
