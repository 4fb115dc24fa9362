"""``/api/v1``: templates, the brand kit, messages, suppressions."""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeAlias

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from chappe.clock import Clock
from chappe.http import FieldError, Page, Problem, cursor_of, position_of, require_token
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe_sender.application.ports import MessageQuery, Reads, TemplateRow, TemplateShelf
from chappe_sender.domain.addresses import parse_address, parse_mailbox
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.message import State
from chappe_sender.domain.sender_domain import FREEMAIL
from chappe_sender.domain.template import FILE_BYTES_MAX, FILES_MAX, TemplateError, TemplateVersion
from chappe_sender.domain.template import Problem as TemplateProblem


class Examined(Protocol):
    """A version that may be published, and what is unwise about it."""

    @property
    def version(self) -> TemplateVersion: ...
    @property
    def warnings(self) -> list[TemplateProblem]: ...


Compile: TypeAlias = Callable[[str, Mapping[str, str], Sequence[str]], Examined]
"""From a name, files, and the hosts that links may lead to. Raises ``TemplateError``."""


class Upload(BaseModel):
    """A template's files, by name."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    files: dict[str, Annotated[str, Field(max_length=FILE_BYTES_MAX)]] = Field(
        min_length=1, max_length=FILES_MAX
    )


class Template(BaseModel):
    """The current version of a template."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    version: str
    message_class: str = Field(serialization_alias="class")
    topic: str | None
    updated_at: dt.datetime | None = None


class Published(Template):
    """Also what is unwise about it."""

    warnings: list[dict[str, str]]


class FullTemplate(Template):
    """Also its files, and the ids of all versions, newest first."""

    files: dict[str, str]
    versions: list[str]


Short = Annotated[str, Field(max_length=500)]
HOST = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"
Style = Annotated[str, Field(max_length=100, pattern=r"^[\w#(),.%' -]*$")]


class BrandKit(BaseModel):
    """``from`` and ``reply_to`` are ``Name <address>``. ``colors.primary`` (``#rrggbb``) and
    ``logo_url`` also dress the pages to unsubscribe and to choose. ``topics``: what people read
    instead of a topic's name, by language, like ``{"offers": {"en": "News", "fr": "Nouvelles"}}``.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: Short = ""
    from_: Short = Field("", alias="from")
    reply_to: Short = ""
    address: Short = ""
    url: Short = ""
    logo_url: Short = ""
    footer: Annotated[str, Field(max_length=5_000)] = ""
    sender_domain: Short = ""
    colors: dict[str, Style] = Field(default_factory=dict, max_length=50)
    fonts: dict[str, Style] = Field(default_factory=dict, max_length=20)
    hosts: list[Annotated[str, Field(max_length=253, pattern=HOST)]] = Field(
        default_factory=list, max_length=50
    )
    topics: dict[str, dict[str, Short]] = Field(default_factory=dict, max_length=200)


class Suppression(BaseModel):
    """An address that is not written to. ``scope`` is empty for every mail, else a topic."""

    address: str = Field(max_length=320)
    reason: str = Field("manual", pattern=r"^(manual|bounced|complained)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What the addresses need."""

    admin_token: str
    shelf: TemplateShelf
    reads: Reads
    compile: Compile
    clock: Clock
    any_from: bool = False
    """Mail goes to the built-in inbox, which takes it from anybody."""


def router(api: Api) -> APIRouter:
    """Everything under ``/api/v1`` that the sender owns."""
    routes = APIRouter(prefix="/api/v1")
    workspace_of = require_token(api.admin_token)
    _templates(routes, api, workspace_of)
    _brand(routes, api, workspace_of)
    _messages(routes, api, workspace_of)
    _suppressions(routes, api, workspace_of)
    _dead_letters(routes, api, workspace_of)
    return routes


def _templates(routes: APIRouter, api: Api, workspace_of: Any) -> None:
    @routes.post("/templates", status_code=201, response_model_exclude_none=True)
    async def upload(
        body: Upload, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Published:
        """Compile and store; the same files give the same version."""
        try:
            brand = await api.shelf.brand(workspace)
            found = await asyncio.to_thread(api.compile, body.name, body.files, brand.hosts)
        except TemplateError as error:
            raise Problem(
                422,
                f"template {body.name!r} cannot be published; see errors",
                errors=[FieldError(p.where, p.what) for p in error.problems],
            ) from None
        version = found.version
        await api.shelf.publish(workspace, version, body.files)
        return Published(
            name=version.name,
            version=version.id,
            message_class=version.message_class,
            topic=version.topic,
            warnings=[{"where": w.where, "what": w.what} for w in found.warnings],
        )

    @routes.get("/templates")
    async def list_(
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[Template]:
        """By name."""
        after = position_of(cursor, 1) or [""]
        rows = await api.shelf.listed(workspace, str(after[0]), limit + 1)
        more = cursor_of(rows[limit - 1].name) if len(rows) > limit else None
        return Page[Template](items=[_template(row) for row in rows[:limit]], next=more)

    @routes.get("/templates/{name}")
    async def show(
        name: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> FullTemplate:
        """The current version with its files."""
        found = await api.shelf.show(workspace, name)
        if found is None:
            raise Problem(404, f"no template is called {name!r}")
        row, files, versions = found
        return FullTemplate(**_template(row).model_dump(), files=files, versions=versions)

    _ = (upload, list_, show)


def _template(row: TemplateRow) -> Template:
    return Template(
        name=row.name,
        version=row.version,
        message_class=row.message_class,
        topic=row.topic,
        updated_at=row.updated_at,
    )


def _brand(routes: APIRouter, api: Api, workspace_of: Any) -> None:
    @routes.get("/brand")
    async def get(workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> BrandKit:
        """The workspace's brand kit; empty fields until set."""
        brand = await api.shelf.brand(workspace)
        return BrandKit.model_validate(msgspec.to_builtins(brand))

    @routes.put("/brand")
    async def put(
        body: BrandKit, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> BrandKit:
        """Replace it."""
        errors = [
            FieldError(name, "must be `Name <address>` or an address")
            for name, value in (("from", body.from_), ("reply_to", body.reply_to))
            if value and parse_mailbox(value) is None
        ]
        sender = parse_mailbox(body.from_) if body.from_ else None
        if sender is not None and sender.address.domain in FREEMAIL and not api.any_from:
            why = f"{sender.address.domain} is everybody's: mail from it by others fails DMARC"
            errors.append(FieldError("from", why))
        if errors:
            raise Problem(422, "the brand kit cannot be used; see errors", errors=errors)
        await api.shelf.save_brand(
            workspace, msgspec.convert(body.model_dump(by_alias=True), type=Brand)
        )
        return body

    _ = (get, put)


def _messages(routes: APIRouter, api: Api, workspace_of: Any) -> None:
    @routes.get("/messages")
    async def list_(
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        contact: Annotated[str | None, Query(max_length=320)] = None,
        state: State | None = None,
        reason: Annotated[str | None, Query(max_length=100)] = None,
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """Newest first; ``contact`` is an id or ``email:…``. Captured: ``reason=captured``."""
        position = position_of(cursor, 2)
        rows = await api.reads.messages(
            MessageQuery(
                workspace=workspace,
                **_ref(contact),
                state=state,
                reason=reason,
                before=_before(position),
                limit=limit + 1,
            )
        )
        last = rows[limit - 1] if len(rows) > limit else None
        more = cursor_of(last["asked_at"].isoformat(), last["id"]) if last is not None else None
        return Page[dict[str, Any]](items=rows[:limit], next=more)

    @routes.get("/messages/{id_}")
    async def show(
        id_: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """One message."""
        found = await api.reads.message(workspace, id_)
        if found is None:
            raise Problem(404, "no message has this id")
        return found

    _ = (list_, show)


def _before(position: list[str | int] | None) -> tuple[dt.datetime, str] | None:
    if position is None:
        return None
    try:
        return dt.datetime.fromisoformat(str(position[0])), str(position[1])
    except ValueError:
        wrong = FieldError("cursor", "use `next` as given")
        raise Problem(400, "the cursor is not one of ours", errors=[wrong]) from None


def _ref(contact: str | None) -> dict[str, str]:
    if contact is None:
        return {}
    kind, colon, value = contact.partition(":")
    if not colon:
        return {"contact": contact}
    if kind == "email" and value:
        return {"address": value}
    wrong = FieldError(
        "contact", "use a contact's id or email:…; GET /api/v1/identities/{ref} finds ids"
    )
    raise Problem(422, "messages are found by contact id or address", errors=[wrong])


def _suppressions(routes: APIRouter, api: Api, workspace_of: Any) -> None:
    @routes.get("/suppressions")
    async def list_(
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """By address."""
        after = position_of(cursor, 2) or ["", ""]
        rows = await api.reads.suppressions(workspace, (str(after[0]), str(after[1])), limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        more = cursor_of(last["address"], last["scope"]) if last is not None else None
        return Page[dict[str, Any]](items=rows[:limit], next=more)

    @routes.post("/suppressions", status_code=201)
    async def add(
        body: Suppression, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Suppression:
        """Write to this address no more."""
        if parse_address(body.address) is None:
            wrong = FieldError("address", "is not an e-mail address")
            raise Problem(422, "the address cannot be used", errors=[wrong])
        await api.reads.suppress(workspace, body.address, body.reason, api.clock.now())
        return body

    @routes.delete("/suppressions/{address}", status_code=204)
    async def remove(
        address: str, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> None:
        """Forget every reason for this address; consent still decides."""
        if not await api.reads.unsuppress(workspace, address):
            raise Problem(404, "this address is not suppressed")

    _ = (list_, add, remove)


def _dead_letters(routes: APIRouter, api: Api, workspace_of: Any) -> None:
    @routes.get("/dead-letters/sender", dependencies=[Depends(workspace_of)])
    async def list_(
        limit: Limit = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[dict[str, Any]]:
        """Newest first. A record that cannot be read says no workspace, so all see all."""
        rows = await api.reads.dead_letters(_before(position_of(cursor, 2)), limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        more = cursor_of(last["at"].isoformat(), last["id"]) if last is not None else None
        return Page[dict[str, Any]](items=rows[:limit], next=more)

    _ = list_
