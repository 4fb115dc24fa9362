"""Show the mails: a subset of Mailpit's API, and the page.

Key names and routes are Mailpit's (https://mailpit.axllent.org/docs/api-v1/), so that a test
written against one runs against the other. What cannot be read is a 400 with ``{"Error": …}``.
"""

import datetime as dt
import urllib.parse
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException

from chappe_onebox.inbox.changes import Changes
from chappe_onebox.inbox.database import Reader, Stored
from chappe_onebox.inbox.door import Door
from chappe_onebox.inbox.headers import head_of, parse_head
from chappe_onebox.inbox.page import page_document
from chappe_onebox.inbox.parse import Attachment, Content, date_of, read_content
from chappe_onebox.inbox.search import EVERYTHING, BadQueryError, Filter, parse_query
from chappe_onebox.inbox.store import Store
from chappe_onebox.inbox.view import DOCUMENT_POLICY, FILE_POLICY, document_of

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
NUMBER_MAX: Final = 10**9
ID_DIGITS_MAX: Final = 18
BODY_BYTES_MAX: Final = 1_048_576
#: Shown in place; every other file is downloaded.
PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"})

Limit = Annotated[int, Query(ge=0, le=NUMBER_MAX)]
Start = Annotated[int, Query(ge=0, le=NUMBER_MAX)]


class DeleteRequest(msgspec.Struct):
    """Which mails to delete; none named means all."""

    ids: list[str] = msgspec.field(name="IDs", default_factory=list)


def create_app(store: Store, changes: Changes, *, origins: frozenset[str] = frozenset()) -> Door:
    """The inbox over HTTP; pages of the given origins may read it from a browser."""
    app = FastAPI(title="Chappe inbox", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_lists(store, changes))
    app.include_router(_mails(store))
    app.include_router(_pages())
    app.add_exception_handler(RequestValidationError, _bad_value)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(BadQueryError, _bad_query)
    return Door(app, origins=origins)


def _lists(store: Store, changes: Changes) -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    @router.get("/messages")
    async def list_messages(limit: Limit = LIMIT_DEFAULT, start: Start = 0) -> Response:
        return await _page(store, EVERYTHING, limit=limit, start=start)

    @router.get("/search")
    async def search(query: str = "", limit: Limit = LIMIT_DEFAULT, start: Start = 0) -> Response:
        return await _page(store, parse_query(query), limit=limit, start=start)

    @router.delete("/messages")
    async def delete_messages(request: Request) -> Response:
        wanted = await _delete_request(request)
        if wanted.ids:
            numbers = [number for text in wanted.ids if (number := _number(text)) is not None]
            await store.write(lambda writer: writer.delete(numbers))
        else:
            await store.write(lambda writer: writer.delete_all())
        return PlainTextResponse("ok")

    @router.get("/stream")
    async def stream() -> Response:
        if changes.full:
            raise HTTPException(503, "too many pages follow this inbox")
        return StreamingResponse(
            changes.follow(lambda: _news(store)),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    return router


def _mails(store: Store) -> APIRouter:
    router = APIRouter()

    @router.get("/api/v1/message/{message}")
    async def show(message: str) -> Response:
        found = await _find(store, message)
        if not found.mail.seen:
            await store.write(lambda writer: writer.mark_seen(found.mail.id))
        return _json(await store.read(lambda _: _detail(found)))

    @router.get("/api/v1/message/{message}/raw")
    async def raw(message: str) -> Response:
        return PlainTextResponse((await _find(store, message)).raw)

    @router.get("/api/v1/message/{message}/headers")
    async def headers(message: str) -> Response:
        found = await _find(store, message)
        grouped: dict[str, list[str]] = {}
        for name, value in parse_head(head_of(found.raw)):
            grouped.setdefault(_canonical(name), []).append(value)
        return _json(grouped)

    @router.get("/api/v1/message/{message}/part/{part}")
    async def part(message: str, part: str) -> Response:
        content = (await _read_content(store, message))[1]
        files = [*content.attachments, *content.inline]
        file = next((file for file in files if file.part_id == part), None)
        if file is None:
            raise HTTPException(404, "no such part")
        return _file(file)

    @router.get("/view/{message}.html")
    async def html(message: str) -> Response:
        mail, content = await _read_content(store, message)
        pictures = {
            file.content_id: f"/api/v1/message/{mail.id}/part/{file.part_id}"
            for file in [*content.inline, *content.attachments]
            if file.content_id
        }
        document = document_of(content.html, pictures)
        return HTMLResponse(document, headers={"Content-Security-Policy": DOCUMENT_POLICY})

    return router


def _pages() -> APIRouter:
    router = APIRouter()
    document, policy = page_document()

    @router.get("/")
    @router.get("/view/{_message}")
    async def page() -> Response:
        return HTMLResponse(document, headers={"Content-Security-Policy": policy})

    return router


# Answers


class _Found(msgspec.Struct, frozen=True):
    mail: Stored
    raw: bytes


async def _page(store: Store, wanted: Filter, *, limit: int, start: int) -> Response:
    limit = min(limit, LIMIT_MAX)

    def read(reader: Reader) -> dict[str, Any]:
        mails = reader.page(wanted, limit=limit, start=start)
        snippets = reader.snippets([mail.id for mail in mails])
        matching = reader.count(wanted)
        return {
            "total": store.counts.total,
            "unread": store.counts.unread,
            "count": len(mails),
            "messages_count": store.counts.total if matching is None else matching,
            "start": start,
            "tags": [],
            "messages": [_item(mail, snippets[mail.id]) for mail in mails],
        }

    return _json(await store.read(read))


def _item(mail: Stored, snippet: str) -> dict[str, Any]:
    return {
        "ID": str(mail.id),
        "MessageID": mail.message_id,
        "Read": mail.seen,
        **mail.listing,
        "Created": _instant(mail.received_at),
        "Tags": [],
        "Size": mail.size,
        "Snippet": snippet,
    }


def _detail(found: _Found) -> dict[str, Any]:
    mail, content = found.mail, read_content(found.raw)
    headers = parse_head(head_of(found.raw))
    return {
        "ID": str(mail.id),
        "MessageID": mail.message_id,
        **mail.listing,
        "ReturnPath": mail.return_path,
        "Date": _instant(date_of(headers, otherwise=mail.received_at)),
        "Created": _instant(mail.received_at),
        "Tags": [],
        "Text": content.text,
        "HTML": content.html,
        "Size": mail.size,
        "Inline": [_attachment(file) for file in content.inline],
        "Attachments": [_attachment(file) for file in content.attachments],
    }


def _attachment(file: Attachment) -> dict[str, Any]:
    return {
        "PartID": file.part_id,
        "FileName": file.file_name,
        "ContentType": file.content_type,
        "ContentID": file.content_id,
        "Size": len(file.content),
    }


def _file(file: Attachment) -> Response:
    picture = file.content_type in PICTURES
    name = urllib.parse.quote(file.file_name or f"part-{file.part_id}", safe="")
    kind = "inline" if picture else "attachment"
    return Response(
        file.content,
        media_type=file.content_type if picture else "application/octet-stream",
        headers={
            "Content-Disposition": f"{kind}; filename*=UTF-8''{name}",
            "Content-Security-Policy": FILE_POLICY,
        },
    )


def _news(store: Store) -> str:
    counts = {"total": store.counts.total, "unread": store.counts.unread}
    return f"event: changed\ndata: {msgspec.json.encode(counts).decode()}\n\n"


# Requests


async def _find(store: Store, message: str) -> _Found:
    def read(reader: Reader) -> tuple[Stored, bytes] | None:
        number = reader.latest() if message == "latest" else _number(message)
        return None if number is None else reader.one(number)

    found = await store.read(read)
    if found is None:
        raise HTTPException(404, "message not found")
    return _Found(*found)


async def _read_content(store: Store, message: str) -> tuple[Stored, Content]:
    found = await _find(store, message)
    return found.mail, await store.read(lambda _: read_content(found.raw))


async def _delete_request(request: Request) -> DeleteRequest:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, "the body is too large")
    try:
        return msgspec.json.decode(bytes(body), type=DeleteRequest) if body else DeleteRequest()
    except msgspec.DecodeError as error:
        raise HTTPException(400, f"the body is not {{'IDs': [...]}}: {error}") from error


def _number(text: str) -> int | None:
    """A mail's number from its id; None for what no mail can have."""
    usable = text.isascii() and text.isdigit() and len(text) <= ID_DIGITS_MAX
    return int(text) if usable else None


def _canonical(name: str) -> str:
    """The header's name as Mailpit (Go) writes it: ``Message-Id``, ``Dkim-Signature``."""
    return "-".join(word.capitalize() for word in name.split("-"))


def _instant(instant: dt.datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


def _bad_value(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    what = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
    return _json({"Error": what}, 400)


def _bad_query(_request: Request, error: Exception) -> Response:
    return _json({"Error": str(error)}, 400)


def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"Error": error.detail}, error.status_code)
