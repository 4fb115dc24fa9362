"""``/api/v1/sources``: add a source and read what to paste where; look at it; let it go."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends
from pydantic import BaseModel, ConfigDict, Field, field_validator

from chappe.clock import Clock
from chappe.http import FieldError, Page, Problem
from chappe.ids import NewId, SourceId, WorkspaceId
from chappe_ingest.application.source_table import NameTaken, SourceStore, SourceTable
from chappe_ingest.application.tally import Seen
from chappe_ingest.domain.source import (
    WE_ISSUE,
    Secret,
    Source,
    SourceState,
    default_namespace,
    setup_steps,
)
from chappe_ingest.domain.sources import KINDS, SEGMENT
from chappe_ingest.entrypoints.workspace import Authorise

BODY_MAX_BYTES: Final = 65_536
DOMAINS_MAX: Final = 50
SECRET_MAX_CHARS: Final = 256
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]{1,63}")

SecretText = Annotated[str, Field(min_length=1, max_length=SECRET_MAX_CHARS, pattern=r"^[!-~]+$")]


class NewSource(BaseModel):
    """What to add. ``secret``: the vendor's, or one of your own in place of the one we make."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(max_length=40)
    name: str = Field(pattern=_NAME)
    secret: SecretText | None = None
    domains: list[str] = Field(default_factory=list, max_length=DOMAINS_MAX)
    public: bool = False
    namespace: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{0,63}$")

    @field_validator("domains")
    @classmethod
    def _hosts(cls, domains: list[str]) -> list[str]:
        hosts = [each.strip().lower().rstrip(".") for each in domains]
        for host in hosts:
            if _DOMAIN.fullmatch(host) is None:
                raise ValueError(f"{host[:80]!r} is not a host name, as in shop.example.com")
        return hosts


class NewSecret(BaseModel):
    """The vendor's secret; absent, where we issue it: make a new one."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretText | None = None


class AddedSource(BaseModel):
    """The only time that the secret is shown; null: the vendor issues it, set it later."""

    id: str
    url: str
    secret: str | None
    setup: list[str]


class ShownSource(BaseModel):
    """A source, and in ``status`` how it is doing, in words."""

    id: str
    kind: str
    name: str
    namespace: str
    url: str
    domains: list[str]
    public: bool
    state: str
    status: str
    accepted: int
    refused: int
    last_accepted_at: dt.datetime | None
    last_refused_at: dt.datetime | None
    last_refused_because: str | None
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcesDesk:
    """What the routes below do."""

    store: SourceStore
    table: SourceTable
    business: Clock
    wall: Clock
    new_id: NewId
    public_url: str

    async def add(self, workspace: WorkspaceId, wanted: NewSource) -> AddedSource:
        if wanted.kind not in KINDS:
            kinds = ", ".join(KINDS)
            raise Problem(
                422,
                f"there is no source of the kind {wanted.kind!r} yet; those that exist: {kinds}",
                errors=[FieldError("body.kind", f"one of {kinds}")],
            )
        secret = wanted.secret
        if secret is None and wanted.kind in WE_ISSUE:
            secret = self.new_id("wk_")
        if secret is not None and wanted.kind == SEGMENT:
            await self._refuse_shared_key(secret)
        namespace = wanted.namespace
        if namespace is None:
            namespace = default_namespace(wanted.kind, wanted.name)
        source = Source(
            id=SourceId(self.new_id("src_")),
            workspace=workspace,
            kind=wanted.kind,
            name=wanted.name,
            namespace=namespace,
            domains=tuple(wanted.domains),
            public=wanted.public,
            state=SourceState.ACTIVE if secret else SourceState.AWAITING_SECRET,
            secrets=(Secret(secret),) if secret else (),
            created_at=self.business.now(),
        )
        try:
            await self.store.add(source)
        except NameTaken:
            taken = FieldError("body.name", "taken")
            detail = f"there is a source named {wanted.name} already; choose another name"
            raise Problem(409, detail, errors=[taken]) from None
        await self.table.refresh()
        url = self._url(source)
        return AddedSource(id=source.id, url=url, secret=secret, setup=setup_steps(source, url))

    async def list(self, workspace: WorkspaceId) -> list[ShownSource]:
        sources = [s for s in await self.store.all() if s.workspace == workspace]
        sources.sort(key=lambda source: (source.created_at, source.name))
        live = [source for source in sources if source.state is not SourceState.DELETED]
        seen = await self.store.seen([source.id for source in live])
        return [self._shown(source, seen.get(source.id, Seen())) for source in live]

    async def show(self, workspace: WorkspaceId, ref: str) -> ShownSource:
        source = await self._find(workspace, ref)
        seen = await self.store.seen([source.id])
        return self._shown(source, seen.get(source.id, Seen()))

    async def set_secret(self, workspace: WorkspaceId, ref: str, wanted: str | None) -> AddedSource:
        source = await self._find(workspace, ref)
        if wanted is None and source.kind not in WE_ISSUE:
            raise Problem(422, f"the secret of a {source.kind} source is issued by the vendor")
        secret = wanted or self.new_id("wk_")
        await self.store.set_secret(source, secret, now=self.wall.now())
        await self.table.refresh()
        url = self._url(source)
        return AddedSource(id=source.id, url=url, secret=secret, setup=setup_steps(source, url))

    async def set_state(self, workspace: WorkspaceId, ref: str, state: SourceState) -> None:
        source = await self._find(workspace, ref)
        if state is SourceState.ACTIVE and not source.secrets:
            state = SourceState.AWAITING_SECRET
        await self.store.set_state(workspace, source.id, state)
        await self.table.refresh()

    async def _find(self, workspace: WorkspaceId, ref: str) -> Source:
        for source in await self.store.all():
            mine = source.workspace == workspace and source.state is not SourceState.DELETED
            if mine and ref in (source.id, source.name):
                return source
        raise Problem(404, "there is no source with this id or name")

    async def _refuse_shared_key(self, secret: str) -> None:
        """A write key says which source a call is of, so no two share one."""
        if await self.table.by_write_key([secret]) is not None:
            taken = FieldError("body.secret", "another source has this write key")
            raise Problem(409, "write keys are unique", errors=[taken])

    def _url(self, source: Source) -> str:
        return self.public_url if source.kind == SEGMENT else f"{self.public_url}/in/{source.id}"

    def _shown(self, source: Source, seen: Seen) -> ShownSource:
        return ShownSource(
            id=source.id,
            kind=source.kind,
            name=source.name,
            namespace=source.namespace,
            url=self._url(source),
            domains=list(source.domains),
            public=source.public,
            state=source.state,
            status=in_words(source, seen),
            accepted=seen.accepted,
            refused=seen.refused,
            last_accepted_at=seen.accepted_at,
            last_refused_at=seen.refused_at,
            last_refused_because=seen.refused_because,
            created_at=source.created_at,
        )


def in_words(source: Source, seen: Seen) -> str:
    """One sentence that says what to do, where there is something to do."""
    match source.state:
        case SourceState.AWAITING_SECRET:
            return f"waits for its secret: chappe sources set-secret {source.name} --secret KEY"
        case SourceState.PAUSED:
            return "paused: deliveries are kept, and not resolved"
        case _:
            pass
    if seen.refused_at is not None and (
        seen.accepted_at is None or seen.refused_at > seen.accepted_at
    ):
        return f"the last delivery was refused ({seen.refused_at:%Y-%m-%d %H:%M} UTC): " + (
            seen.refused_because or "not verified"
        )
    if seen.accepted_at is None:
        return "no delivery yet"
    return f"works: the last delivery came {seen.accepted_at:%Y-%m-%d %H:%M} UTC"


def routes(desk: SourcesDesk, authorise: Authorise) -> APIRouter:
    router = APIRouter(prefix="/api/v1/sources", tags=["sources"], max_body_size=BODY_MAX_BYTES)
    workspace: Any = Depends(authorise)

    @router.post("", status_code=201)
    async def add(wanted: NewSource, workspace: WorkspaceId = workspace) -> AddedSource:
        """Add a source; ``setup`` says what to paste where."""
        return await desk.add(workspace, wanted)

    @router.get("")
    async def list_(workspace: WorkspaceId = workspace) -> Page[ShownSource]:
        """Every source of the workspace, the oldest first."""
        return Page(items=await desk.list(workspace), next=None)

    @router.get("/{ref}")
    async def show(ref: str, workspace: WorkspaceId = workspace) -> ShownSource:
        """One source by its id or name."""
        return await desk.show(workspace, ref)

    @router.post("/{ref}/secret")
    async def set_secret(
        ref: str,
        wanted: Annotated[NewSecret, Body(default_factory=NewSecret)],
        workspace: WorkspaceId = workspace,
    ) -> AddedSource:
        """Set or rotate the secret; the old one is taken for another 24 hours."""
        return await desk.set_secret(workspace, ref, wanted.secret)

    @router.post("/{ref}/pause", status_code=204)
    async def pause(ref: str, workspace: WorkspaceId = workspace) -> None:
        """Keep what comes, resolve nothing. The sender still hears 200."""
        await desk.set_state(workspace, ref, SourceState.PAUSED)

    @router.post("/{ref}/resume", status_code=204)
    async def resume(ref: str, workspace: WorkspaceId = workspace) -> None:
        await desk.set_state(workspace, ref, SourceState.ACTIVE)

    @router.delete("/{ref}", status_code=204)
    async def delete(ref: str, workspace: WorkspaceId = workspace) -> None:
        """Forget the secrets; deliveries are answered 410 from now on."""
        await desk.set_state(workspace, ref, SourceState.DELETED)

    _ = (add, list_, show, set_secret, pause, resume, delete)
    return router
