"""Stand-ins for the eight providers' APIs on loopback, with every way of going wrong on a switch.

Each takes requests as the vendor documents them, remembers every mail that it took (also when it
then lies about it, or says nothing), and answers in the vendor's own form. It is a plain HTTP/1.1
server, so that it can hang up in the middle.
"""

import asyncio
import base64
import email
import email.policy
import itertools
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

SECRET = "k-very-secret-0815"
"""Every credential that the fakes accept."""


class Fault(StrEnum):
    """What happens to one request; each is used up by one."""

    NONE = "none"
    SILENCE_AFTER_ACCEPT = "takes it, and never answers"
    ERROR_AFTER_ACCEPT = "takes it, and answers 500"
    ERROR = "does not take it, and answers 500"
    RATE = "429 with Retry-After"
    AUTH = "wrong credentials"
    REFUSED = "refuses the whole request"
    PARTIAL = "refuses every second message of a batch"
    MALFORMED = "takes it, and answers what is no JSON"
    RESET_BEFORE_BODY = "hangs up before it has read the body"
    RESET_AFTER_BODY = "takes it, and hangs up"


RETRY_AFTER = 7


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Taken:
    """A mail that the provider will send: ``message`` is our own id as the provider keeps it."""

    id: str
    message: str
    recipient: str
    headers: dict[str, str]
    html: str
    tracked: bool


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def as_json(status: int, value: Any, **headers: str) -> Answer:
    return Answer(
        status, json.dumps(value).encode(), {"Content-Type": "application/json"} | headers
    )


@dataclass
class Fake:
    """One provider. ``faults`` are used up in order, then all goes well."""

    kind: str
    faults: list[Fault] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Our ids of the mails that it said no to, one by one."""
    retry_after: int = RETRY_AFTER
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    hold: asyncio.Event | None = None
    """When set, answers wait for it."""
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _keys: dict[str, tuple[bytes, Answer]] = field(default_factory=dict)

    @property
    def messages(self) -> list[str]:
        """Our ids of the mails it took, in order, repeats included."""
        return [taken.message for taken in self.taken]

    def answer(self, request: Request, fault: Fault) -> Answer:
        api = APIS[self.kind]
        if fault is Fault.AUTH or SECRET not in _credentials(request):
            return api.error(401, "unauthorized")
        if fault is Fault.RATE:
            given = api.error(429, "rate_limit_exceeded")
            return Answer(
                given.status, given.body, given.headers | {"Retry-After": str(self.retry_after)}
            )
        if fault is Fault.REFUSED:
            alone = api.read(request)
            self.refused += [mail.message for mail in alone] if len(alone) == 1 else []
            return api.error(api.refusal, "invalid")
        if fault is Fault.ERROR:
            return api.error(500, "application_error")
        key = api.key(request)
        if key is not None and key in self._keys:
            body, given = self._keys[key]
            return given if body == request.body and api.repeats else api.error(*api.repeated)
        mails = api.read(request)
        each = [
            self._refuse(mail) if fault is Fault.PARTIAL and place % 2 else self._take(mail)
            for place, mail in enumerate(mails)
        ]
        given = api.success(each)
        if key is not None:
            self._keys[key] = (request.body, given)
        return given

    def _refuse(self, mail: Taken) -> None:
        self.refused.append(mail.message)

    def _take(self, mail: Taken) -> str:
        ident = f"{self.kind}-{next(self._ids)}"
        self.taken.append(Taken(ident, *(getattr(mail, name) for name in _REST)))
        return ident


_REST = ("message", "recipient", "headers", "html", "tracked")


@dataclass(frozen=True)
class Api:
    """A vendor's dialect. ``repeats``: a repeated key gets the first answer again."""

    read: Callable[[Request], list[Taken]]
    success: Callable[[list[str | None]], Answer]
    error: Callable[[int, str], Answer]
    key: Callable[[Request], str | None] = lambda _: None
    repeats: bool = True
    repeated: tuple[int, str] = (409, "invalid_idempotent_request")
    refusal: int = 400


def _credentials(request: Request) -> str:
    found = [request.headers.get(name, "") for name in ("authorization", "api-key")]
    found.append(request.headers.get("x-postmark-server-token", ""))
    scheme, _, rest = found[0].partition(" ")
    if scheme.lower() == "basic":
        found.append(base64.b64decode(rest).decode())
    return " ".join(found)


def _whole(raw: bytes, message: str, recipient: str, *, tracked: bool) -> Taken:
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    html = mail.get_body(("html",))
    assert html is not None
    headers = {name: str(value) for name, value in mail.items()}
    return Taken("", message, recipient, headers, html.get_content(), tracked)


# -- the eight ------------------------------------------------------------------------------------


def _read_ses(request: Request) -> list[Taken]:
    found = request.json
    raw = base64.b64decode(found["Content"]["Raw"]["Data"])
    tags = {tag["Name"]: tag["Value"] for tag in found["EmailTags"]}
    (to,) = found["Destination"]["ToAddresses"]
    tracked = "ConfigurationSetName" in found
    return [_whole(raw, tags["chappe-message"], to, tracked=tracked)]


def _read_sendgrid(request: Request) -> list[Taken]:
    found = request.json
    (one,) = found["personalizations"]
    off = found["tracking_settings"]
    tracked = any(off[name]["enable"] for name in ("click_tracking", "open_tracking"))
    assert [part["type"] for part in found["content"]] == ["text/plain", "text/html"]
    return [
        Taken(
            "",
            one["custom_args"]["chappe-message"],
            one["to"][0]["email"],
            found["headers"],
            found["content"][1]["value"],
            tracked,
        )
    ]


def _read_mailgun(request: Request) -> list[Taken]:
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    form = email.message_from_bytes(head + request.body, policy=email.policy.default)
    fields: dict[str, bytes] = {}
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        nested = part.get_content() if part.get_content_type() == "message/rfc822" else None
        fields[str(name)] = (
            nested.as_bytes(policy=email.policy.SMTP) if nested is not None
            else bytes(part.get_payload(decode=True))
        )  # fmt: skip
    assert request.path == "/v3/mg.shop.example/messages.mime"
    tracked = any(
        fields[name] != b"no" for name in ("o:tracking", "o:tracking-clicks", "o:tracking-opens")
    )
    message, to = fields["v:chappe-message"].decode(), fields["to"].decode()
    return [_whole(fields["message"], message, to, tracked=tracked)]


def _read_postmark(request: Request) -> list[Taken]:
    return [
        Taken(
            "",
            each["Metadata"]["chappe-message"],
            each["To"],
            {header["Name"]: header["Value"] for header in each["Headers"]},
            each["HtmlBody"],
            each["TrackOpens"] or each["TrackLinks"] != "None",
        )
        for each in request.json
    ]


def _read_mailjet(request: Request) -> list[Taken]:
    return [
        Taken(
            "",
            each["CustomID"],
            each["To"][0]["Email"],
            each["Headers"],
            each["HTMLPart"],
            (each["TrackOpens"], each["TrackClicks"]) != ("disabled", "disabled"),
        )
        for each in request.json["Messages"]
    ]


def _read_brevo(request: Request) -> list[Taken]:
    found = request.json
    own = json.loads(found["headers"]["X-Mailin-custom"])
    (to,) = found["to"]
    return [
        Taken("", own["chappe-message"], to["email"], found["headers"], found["htmlContent"], False)
    ]


def _read_resend(request: Request) -> list[Taken]:
    found = request.json
    every = cast("list[Any]", found) if isinstance(found, list) else [found]
    return [
        Taken(
            "",
            {tag["name"]: tag["value"] for tag in each["tags"]}["chappe-message"],
            each["to"][0],
            each["headers"],
            each["html"],
            False,
        )
        for each in every
    ]


def _read_sparkpost(request: Request) -> list[Taken]:
    found = request.json
    options = found["options"]
    assert options["perform_substitutions"] is False
    (to,) = found["recipients"]
    return [
        _whole(
            found["content"]["email_rfc822"].encode(),
            found["metadata"]["chappe-message"],
            to["address"]["email"],
            tracked=options["open_tracking"] or options["click_tracking"],
        )
    ]


def _mailjet_success(each: list[str | None]) -> Answer:
    def one(ident: str | None) -> dict[str, Any]:
        if ident is not None:
            return {"Status": "success", "To": [{"MessageID": ident, "MessageUUID": "u"}]}
        error = {"ErrorCode": "mj-0013", "StatusCode": 400, "ErrorMessage": "bad address"}
        return {"Status": "error", "Errors": [error | {"ErrorRelatedTo": ["To[0].Email"]}]}

    return as_json(400 if None in each else 200, {"Messages": [one(ident) for ident in each]})


def _resend_success(each: list[str | None]) -> Answer:
    if len(each) == 1:
        return as_json(200, {"id": each[0]})
    errors = [{"index": n, "message": "bad"} for n, ident in enumerate(each) if ident is None]
    found: dict[str, Any] = {"data": [{"id": ident} for ident in each if ident is not None]}
    return as_json(200, found | ({"errors": errors} if errors else {}))


def _postmark_success(each: list[str | None]) -> Answer:
    return as_json(
        200,
        [
            {"ErrorCode": 0, "Message": "OK", "MessageID": ident}
            if ident is not None
            else {"ErrorCode": 406, "Message": "You tried to send to an inactive recipient"}
            for ident in each
        ],
    )


def _sparkpost_success(each: list[str | None]) -> Answer:
    counts = {"total_accepted_recipients": 1, "total_rejected_recipients": 0}
    return as_json(200, {"results": counts | {"id": each[0]}})


def _key_header(request: Request) -> str | None:
    return request.headers.get("idempotency-key")


def _key_brevo(request: Request) -> str | None:
    return request.json["headers"].get("idempotencyKey")


def _error_ses(status: int, code: str) -> Answer:
    kind = {400: "BadRequestException", 429: "TooManyRequestsException"}.get(status, "Failure")
    return as_json(status, {"message": code}, **{"x-amzn-errortype": f"{kind}:http://ses/"})


APIS: dict[str, Api] = {
    "ses": Api(_read_ses, lambda each: as_json(200, {"MessageId": each[0]}), _error_ses),
    "sendgrid": Api(
        _read_sendgrid,
        lambda each: Answer(202, b"", {"X-Message-Id": str(each[0])}),
        lambda status, code: as_json(status, {"errors": [{"message": code, "field": None}]}),
    ),
    "mailgun": Api(
        _read_mailgun,
        lambda each: as_json(200, {"id": f"<{each[0]}>", "message": "Queued. Thank you."}),
        lambda status, code: as_json(status, {"message": code}),
    ),
    "postmark": Api(
        _read_postmark,
        _postmark_success,
        lambda status, code: as_json(status, {"ErrorCode": 300, "Message": code}),
        refusal=422,
    ),
    "mailjet": Api(
        _read_mailjet,
        _mailjet_success,
        lambda status, code: as_json(status, {"ErrorCode": "mj-0002", "ErrorMessage": code}),
    ),
    "brevo": Api(
        _read_brevo,
        lambda each: as_json(201, {"messageId": f"<{each[0]}>"}),
        lambda status, code: as_json(status, {"code": code, "message": code}),
        _key_brevo,
        repeats=False,
        repeated=(400, "duplicate_parameter"),
    ),
    "resend": Api(
        _read_resend,
        _resend_success,
        lambda status, code: as_json(status, {"statusCode": status, "name": code, "message": code}),
        _key_header,
        refusal=422,
    ),
    "sparkpost": Api(
        _read_sparkpost,
        _sparkpost_success,
        lambda status, code: as_json(status, {"errors": [{"message": code, "code": "1"}]}),
        refusal=422,
    ),
}
KINDS = tuple(APIS)
BATCHES = ("postmark", "mailjet", "resend")
KEYED = ("brevo", "resend")
SECRETS: dict[str, dict[str, str]] = {
    "ses": {"access_key": SECRET, "secret_key": "s-never-travels"},
    "postmark": {"server_token": SECRET},
    "mailjet": {"api_key": "user", "secret_key": SECRET},
}
OPTIONS: dict[str, dict[str, str]] = {
    "ses": {"region": "eu-west-1"},
    "mailgun": {"domain": "mg.shop.example"},
    "brevo": {"tracking": "off"},
    "resend": {"tracking": "off", "rate": "1000"},
}


def secrets_of(kind: str) -> dict[str, str]:
    return SECRETS.get(kind, {"api_key": SECRET})


def options_of(kind: str) -> dict[str, str]:
    return OPTIONS.get(kind, {})


# -- the server -----------------------------------------------------------------------------------


@asynccontextmanager
async def serving(fake: Fake) -> AsyncGenerator[Fake]:
    """The fake on a free port of loopback."""
    open_: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fake.connections += 1
        open_.add(writer)
        try:
            while await _one(fake, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            open_.discard(writer)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for writer in list(open_):
            writer.transport.abort()
        await server.wait_closed()


async def _one(fake: Fake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request; whether the connection goes on."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.split("\r\n")
    pairs = [each.partition(":") for each in rest if each]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    fault = fake.faults.pop(0) if fake.faults else Fault.NONE
    if fault is Fault.RESET_BEFORE_BODY:
        return False
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    request = Request(line.split(" ")[1], headers, body)
    fake.requests.append(request)
    fake.in_flight += 1
    fake.most_in_flight = max(fake.most_in_flight, fake.in_flight)
    try:
        answer = fake.answer(request, fault)
        if fake.hold is not None:
            await fake.hold.wait()
    finally:
        fake.in_flight -= 1
    if fault is Fault.RESET_AFTER_BODY:
        return False
    if fault is Fault.SILENCE_AFTER_ACCEPT:
        await asyncio.Event().wait()
    if fault is Fault.ERROR_AFTER_ACCEPT:
        answer = APIS[fake.kind].error(500, "application_error")
    if fault is Fault.MALFORMED:
        answer = Answer(answer.status, b"<html>oops</html>", {"Content-Type": "text/html"})
    lines = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
    await writer.drain()
    return True
