"""``/api/v1/templates/{name}``: look at it as any contact, try it on a few people."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, TypeAlias

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from chappe.clock import Clock
from chappe.http import FieldError, Problem, require_token
from chappe.ids import NewId, WorkspaceId
from chappe_sender.application.ports import Catalogue, ContentError
from chappe_sender.application.preview import (
    TEST_ADDRESSES_MAX,
    TEST_MARK,
    Person,
    Preview,
    Previewer,
    TestRoute,
)
from chappe_sender.application.trial import told
from chappe_sender.domain.addresses import Address, parse_address
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.headers import HeaderError

JSON_BYTES_MAX = 262_144
_SOMEBODY = Address("somebody", "example.com")

People: TypeAlias = Callable[[WorkspaceId, str], Awaitable[dict[str, Any] | None]]
"""A contact by reference, as templates see it. Raises ``ConnectionError``."""
Score: TypeAlias = Callable[[bytes], Awaitable[float | None]]


class AsWhom(BaseModel):
    """``contact`` is a reference or traits; ``event`` an event's data. Left out: made up ones."""

    model_config = ConfigDict(extra="forbid")

    version: str | None = Field(None, max_length=100)
    contact: str | dict[str, Any] | None = None
    event: dict[str, Any] | None = None
    locale: str | None = Field(None, max_length=35)
    coupon: str = Field("SAMPLE-10", max_length=100)


class Shown(BaseModel):
    """What would be sent. ``size`` is the HTML's in octets; ``spam_score`` null: not measured."""

    template: str
    locale: str
    subject: str
    html: str
    text: str
    headers: list[tuple[str, str]]
    links: list[str]
    size: int
    message_size: int
    spam_score: float | None


class Test(AsWhom):
    """To whom; at most five."""

    to: list[str] = Field(min_length=1, max_length=TEST_ADDRESSES_MAX)


class Sent(BaseModel):
    """What became of one test mail."""

    to: str
    outcome: str
    said: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewApi:
    """What the addresses need. ``captured``: nothing leaves this installation."""

    admin_token: str
    catalogue: Catalogue
    previewer: Previewer
    people: People
    score: Score
    route: TestRoute
    wall: Clock
    new_id: NewId
    captured: bool


def router(api: PreviewApi) -> APIRouter:
    routes = APIRouter(prefix="/api/v1")
    workspace_of = require_token(api.admin_token)

    @routes.post("/templates/{name}/preview")
    async def preview(
        name: str, body: AsWhom, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Shown:
        """Nothing is stored or sent."""
        made = await _made(api, workspace, name, body, _SOMEBODY, "")
        return Shown(
            template=name,
            locale=made.locale,
            subject=made.mail.subject,
            html=made.mail.html,
            text=made.mail.text,
            headers=made.headers,
            links=made.links,
            size=made.html_bytes,
            message_size=len(made.raw),
            spam_score=await api.score(made.raw),
        )

    @routes.post("/templates/{name}/send-test")
    async def send_test(
        name: str, body: Test, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> list[Sent]:
        """Untracked, outside the ledger, and unsubscribing nobody."""
        addresses = [parse_address(each) for each in body.to]
        wrong = [
            FieldError(f"to.{n}", "is not an e-mail address")
            for n, address in enumerate(addresses)
            if address is None
        ]
        if wrong:
            raise Problem(422, "an address cannot be used; see errors", errors=wrong)
        if api.captured:
            raise Problem(409, "nothing leaves this installation: CHAPPE_DELIVERY is not live")
        sent: list[Sent] = []
        for address in addresses:
            assert address is not None
            made = await _made(api, workspace, name, body, address, TEST_MARK)
            sent.append(await _carried(api, workspace, made))
        return sent

    _ = (preview, send_test)
    return routes


async def _carried(api: PreviewApi, workspace: WorkspaceId, made: Preview) -> Sent:
    mail = made.mail
    sender = str(mail.sender.address)
    envelope = Envelope(sender, str(mail.to), made.raw, utf8=mail.needs_utf8)
    try:
        verdict = await api.route(workspace, mail.message, envelope, mail)
    except LookupError as error:
        raise Problem(409, str(error)) from None
    trial = asdict(told(verdict, sender))
    return Sent(to=str(mail.to), **{key: trial[key] for key in ("outcome", "said", "meaning")})


async def _made(
    api: PreviewApi, workspace: WorkspaceId, name: str, body: AsWhom, to: Address, mark: str
) -> Preview:
    version = await api.catalogue.version(workspace, body.version or name)
    if version is None or version.name != name:
        raise Problem(404, f"no template is called {body.version or name!r}")
    if len(msgspec.json.encode([body.contact, body.event])) > JSON_BYTES_MAX:
        raise Problem(413, f"contact and event are larger than {JSON_BYTES_MAX // 1024} kB")
    person = Person(
        contact=await _contact(api, workspace, body.contact),
        event=body.event,
        locale=body.locale,
        coupon=body.coupon,
    )
    brand = await api.catalogue.brand(workspace)
    now: dt.datetime = api.wall.now()
    try:
        return await asyncio.to_thread(
            api.previewer.preview,
            version, brand, person,
            workspace=workspace, to=to, id_=api.new_id("mt_"), now=now, mark=mark,
        )  # fmt: skip
    except (ContentError, HeaderError) as error:
        wrong = FieldError(version.id, str(error))
        raise Problem(422, f"it cannot be filled in: {error}", errors=[wrong]) from None


async def _contact(
    api: PreviewApi, workspace: WorkspaceId, said: str | dict[str, Any] | None
) -> dict[str, Any] | None:
    if not isinstance(said, str):
        return said
    try:
        found = await api.people(workspace, said)
    except ConnectionError as error:
        raise Problem(503, str(error), headers={"Retry-After": "1"}) from None
    if found is None:
        raise Problem(404, f"no contact is known by {said!r}")
    return found
