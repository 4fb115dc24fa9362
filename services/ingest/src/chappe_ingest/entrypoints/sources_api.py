"""``/api/v1/sources``: add a source and read what to paste where; look at it; let it go."""

import base64
import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

import structlog
from fastapi import APIRouter, Body, Depends
from pydantic import BaseModel, ConfigDict, Field, field_validator

from chappe.clock import Clock
from chappe.http import FieldError, Page, Problem
from chappe.ids import NewId, SourceId, WorkspaceId
from chappe_ingest.application.forgetting import Erasing
from chappe_ingest.application.inlet import LogAway
from chappe_ingest.application.key_sets import KeySets, KeysUnavailable
from chappe_ingest.application.pulling_ports import Backfill
from chappe_ingest.application.quarantine import Quarantine
from chappe_ingest.application.source_table import NameTaken, SourceStore, SourceTable
from chappe_ingest.application.tally import Seen
from chappe_ingest.domain.api_tokens import wrong_token
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.roles import Role, default_role
from chappe_ingest.domain.source import (
    OLD_SECRET_LIVES,
    Secret,
    Source,
    SourceState,
    default_namespace,
    links_for,
    set_secret_command,
    setup_steps,
    warning_of,
)
from chappe_ingest.domain.sources import KINDS, REGISTRY, SEGMENT, STANDARD_WEBHOOKS
from chappe_ingest.entrypoints.pulls_api import ShownBackfill, shown_backfill
from chappe_ingest.entrypoints.workspace import Authorise

BODY_MAX_BYTES: Final = 65_536
DOMAINS_MAX: Final = 50
SECRET_MAX_CHARS: Final = 16_384
"""A secret may be a vendor's whole key set."""

WRITE_KEY: Final = re.compile(r"[!-~]{1,256}")
CONFIG_MAX_BYTES: Final = 16_384
OLD_SECRET_LIVES_MAX_SECONDS: Final = 7 * 86_400
UNTOUCHED: Final = Erasing()
logger = structlog.get_logger(__name__)

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]{1,63}")

SecretText = Annotated[
    str, Field(min_length=1, max_length=SECRET_MAX_CHARS, pattern=r"^[!-~](?:[\s!-~]*[!-~])?$")
]


class NewSource(BaseModel):
    """What to add. ``secret``: the vendor's, or one of your own in place of the one we make.

    ``role``: what it may say of its shop; absent, a payment service beside a store is for payments.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(max_length=40)
    name: str = Field(pattern=_NAME)
    secret: SecretText | None = None
    domains: list[str] = Field(default_factory=list, max_length=DOMAINS_MAX)
    public: bool = False
    namespace: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{0,63}$")
    api_token: SecretText | None = None
    role: Role | None = None
    config: dict[str, Any] = Field(default_factory=dict)

    @field_validator("domains")
    @classmethod
    def _hosts(cls, domains: list[str]) -> list[str]:
        return hosts(domains)


class NewSecret(BaseModel):
    """The vendor's secret; absent, where we issue it: make a new one.

    The one before it is taken for another ``old_lives_seconds``, a day when absent.
    """

    model_config = ConfigDict(extra="forbid")

    secret: SecretText | None = None
    old_lives_seconds: int | None = Field(None, ge=0, le=OLD_SECRET_LIVES_MAX_SECONDS)


class NewDomains(BaseModel):
    """All the hosts that links may lead to."""

    model_config = ConfigDict(extra="forbid")

    domains: list[str] = Field(max_length=DOMAINS_MAX)

    @field_validator("domains")
    @classmethod
    def _hosts(cls, domains: list[str]) -> list[str]:
        return hosts(domains)


class NewApiToken(BaseModel):
    """The shop's API token, for asking back what its webhooks leave out; null forgets it."""

    model_config = ConfigDict(extra="forbid")

    api_token: SecretText | None


class Disabled(BaseModel):
    """What the vendor does now."""

    warning: str


def hosts(domains: list[str]) -> list[str]:
    """Host names in lower case. Raises ``ValueError``."""
    found = [each.strip().lower().rstrip(".") for each in domains]
    for host in found:
        if _DOMAIN.fullmatch(host) is None:
            raise ValueError(f"{host[:80]!r} is not a host name, as in shop.example.com")
    return found


class AddedSource(BaseModel):
    """The only time that the secret is shown; null: the vendor issues it, set it later."""

    id: str
    url: str
    secret: str | None
    setup: list[str]


class ShownApi(BaseModel):
    """How asking the shop itself stands. ``pulled``: what webhooks did not bring first.

    ``problem`` is in words; ``divergent``: unsubscribes that the shop cannot be told.
    """

    polled_at: dt.datetime | None
    pulled: int
    problem: str | None
    to_tell: int
    divergent: int
    backfill: ShownBackfill | None


class ShownShopErasure(BaseModel):
    """A shop that has left asks to erase its people; an operator decides before ``due_at``."""

    task: str
    state: str
    due_at: dt.datetime
    days_left: int


class ShownSource(BaseModel):
    """A source, and in ``status`` how it is doing, in words."""

    id: str
    kind: str
    name: str
    namespace: str
    role: str
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
    duplicates: int
    dead: int
    last_dead_at: dt.datetime | None
    last_dead_because: str | None
    usual_gap_seconds: float | None
    silent_since: dt.datetime | None
    created_at: dt.datetime
    dropped_erased: int
    """Deliveries left out because they name somebody who was erased."""

    erasures: list[ShownShopErasure]
    api: ShownApi | None = None


class Standing(Protocol):
    """What is known of asking one shop."""

    @property
    def polled_at(self) -> dt.datetime | None: ...
    @property
    def problem(self) -> str | None: ...
    @property
    def pulled(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def divergent(self) -> int: ...


class Standings(Protocol):
    """Of shops that are asked; others are left out."""

    async def standing(self, sources: Sequence[SourceId]) -> Mapping[SourceId, Standing]: ...

    async def newest(self, sources: Sequence[SourceId]) -> Mapping[SourceId, Backfill]: ...


class Erasings(Protocol):
    """Of sources that erasures touch; others are left out."""

    async def erasing(self, sources: Sequence[SourceId]) -> Mapping[SourceId, Erasing]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcesDesk:
    """What the routes below do."""

    store: SourceStore
    table: SourceTable
    quarantine: Quarantine
    keys: KeySets | None = None
    business: Clock
    wall: Clock
    new_id: NewId
    public_url: str
    standings: Standings
    erasings: Erasings

    async def add(self, workspace: WorkspaceId, wanted: NewSource) -> AddedSource:
        if wanted.kind not in KINDS:
            kinds = ", ".join(KINDS)
            raise Problem(
                422,
                f"there is no source of the kind {wanted.kind!r} yet; those that exist: {kinds}",
                errors=[FieldError("body.kind", f"one of {kinds}")],
            )
        self._check_config(wanted)
        if wanted.api_token is not None:
            _check_token(wanted.kind, wanted.api_token)
        secret = wanted.secret
        if secret is not None:
            links = links_for(wanted.kind, wanted.domains)
            secret = await self._fetched(wanted.kind, links, secret)
        if secret is None and REGISTRY[wanted.kind].we_issue:
            secret = self._new_secret(wanted.kind)
        if secret is not None and wanted.kind == SEGMENT:
            await self._refuse_unusable_key(secret)
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
            role=await self._role(workspace, wanted, namespace),
            config=wanted.config,
            created_at=self.business.now(),
        )
        try:
            await self.store.add(source)
        except NameTaken:
            taken = FieldError("body.name", "taken")
            detail = f"there is a source named {wanted.name} already; choose another name"
            raise Problem(409, detail, errors=[taken]) from None
        if wanted.api_token is not None:
            await self.store.set_api_token(source.id, wanted.api_token)
        await self.table.refresh()
        url = self._url(source)
        return AddedSource(id=source.id, url=url, secret=secret, setup=setup_steps(source, url))

    async def list(self, workspace: WorkspaceId) -> list[ShownSource]:
        sources = [s for s in await self.store.all() if s.workspace == workspace]
        sources.sort(key=lambda source: (source.created_at, source.name))
        live = [source for source in sources if source.state is not SourceState.DELETED]
        return await self._all_shown(live)

    async def show(self, workspace: WorkspaceId, ref: str) -> ShownSource:
        source = await self._find(workspace, ref)
        (shown,) = await self._all_shown([source])
        return shown

    async def _all_shown(self, sources: Sequence[Source]) -> "list[ShownSource]":
        ids = [source.id for source in sources]
        seen, apis = await self.store.seen(ids), await self._apis(ids)
        erasings = await self.erasings.erasing(ids)
        return [
            self._shown(
                source,
                seen.get(source.id, Seen()),
                apis.get(source.id),
                erasings.get(source.id, UNTOUCHED),
            )
            for source in sources
        ]

    async def _apis(self, sources: Sequence[SourceId]) -> Mapping[SourceId, ShownApi]:
        jobs = await self.standings.newest(sources)
        return {
            source: ShownApi(
                polled_at=each.polled_at,
                pulled=each.pulled,
                problem=each.problem,
                to_tell=each.pending,
                divergent=each.divergent,
                backfill=shown_backfill(jobs[source]) if source in jobs else None,
            )
            for source, each in (await self.standings.standing(sources)).items()
        }

    async def set_secret(self, workspace: WorkspaceId, ref: str, wanted: NewSecret) -> AddedSource:
        source = await self._find(workspace, ref)
        if wanted.secret is None and not REGISTRY[source.kind].we_issue:
            raise Problem(422, f"the secret of a {source.kind} source is issued by the vendor")
        given = wanted.secret or self._new_secret(source.kind)
        secret = await self._fetched(source.kind, source.links, given)
        if source.kind == SEGMENT:
            await self._refuse_unusable_key(secret)
        lives = OLD_SECRET_LIVES
        if wanted.old_lives_seconds is not None:
            lives = dt.timedelta(seconds=wanted.old_lives_seconds)
        await self.store.set_secret(source, secret, now=self.wall.now(), lives=lives)
        await self.table.refresh()
        source = await self._find(workspace, source.id)
        try:
            await self.quarantine.release(source)
        except LogAway:
            logger.warning("The quarantine waits for the log", source=source.id)
        url = self._url(source)
        return AddedSource(id=source.id, url=url, secret=secret, setup=setup_steps(source, url))

    async def set_state(self, workspace: WorkspaceId, ref: str, state: SourceState) -> Source:
        source = await self._find(workspace, ref)
        if state is SourceState.ACTIVE and not source.secrets:
            state = SourceState.AWAITING_SECRET
        await self.store.set_state(workspace, source.id, state)
        await self.table.refresh()
        return source

    async def set_domains(self, workspace: WorkspaceId, ref: str, domains: Sequence[str]) -> None:
        source = await self._find(workspace, ref)
        await self.store.set_domains(source.id, domains)
        await self.table.refresh()

    async def set_api_token(self, workspace: WorkspaceId, ref: str, token: str | None) -> None:
        source = await self._find(workspace, ref)
        if token is not None:
            _check_token(source.kind, token)
        await self.store.set_api_token(source.id, token)

    async def _fetched(self, kind: str, links: Links, secret: str) -> str:
        """A secret that is an address stands for the vendor's keys at that address."""
        if self.keys is None:
            return secret
        try:
            return await self.keys.secret(kind, links, secret)
        except KeysUnavailable as error:
            wrong = FieldError("body.secret", str(error)[:500])
            raise Problem(422, f"no keys: {error}"[:500], errors=[wrong]) from None

    def _new_secret(self, kind: str) -> str:
        if kind not in STANDARD_WEBHOOKS:
            return self.new_id("wk_" if kind == SEGMENT else "sec_")
        return "whsec_" + base64.b64encode(self.new_id("").encode()).decode()

    def _check_config(self, wanted: NewSource) -> None:
        kind = REGISTRY[wanted.kind]
        if not wanted.config:
            return
        if kind.make_normalise is None and kind.make_verify is None:
            wrong = FieldError("body.config", f"a {wanted.kind} source takes none")
            raise Problem(422, "there is nothing to configure", errors=[wrong])
        if len(json.dumps(wanted.config)) > CONFIG_MAX_BYTES:
            wrong = FieldError("body.config", f"at most {CONFIG_MAX_BYTES} bytes")
            raise Problem(422, "the configuration is too large", errors=[wrong])
        try:
            kind.understands(wanted.config)
            kind.verifies(wanted.config)
        except (ValueError, TypeError, KeyError) as error:
            wrong = FieldError("body.config", str(error)[:500])
            raise Problem(422, "the configuration cannot be used", errors=[wrong]) from None

    async def _role(self, workspace: WorkspaceId, wanted: NewSource, namespace: str) -> Role:
        if wanted.role is not None:
            return wanted.role
        neighbours = [
            (source.kind, source.role)
            for source in await self.store.all()
            if (source.workspace, source.namespace) == (workspace, namespace)
            and source.state is not SourceState.DELETED
        ]
        return default_role(wanted.kind, neighbours)

    async def _find(self, workspace: WorkspaceId, ref: str) -> Source:
        for source in await self.store.all():
            mine = source.workspace == workspace and source.state is not SourceState.DELETED
            if mine and ref in (source.id, source.name):
                return source
        raise Problem(404, "there is no source with this id or name")

    async def _refuse_unusable_key(self, secret: str) -> None:
        """A write key says which source a call is of, so no two share one."""
        if WRITE_KEY.fullmatch(secret) is None:
            wrong = FieldError("body.secret", "at most 256 printable characters, no spaces")
            raise Problem(422, "this cannot be a write key", errors=[wrong])
        if await self.table.by_write_key([secret]) is not None:
            taken = FieldError("body.secret", "another source has this write key")
            raise Problem(409, "write keys are unique", errors=[taken])

    def _url(self, source: Source) -> str:
        return self.public_url if source.kind == SEGMENT else f"{self.public_url}/in/{source.id}"

    def _shown(
        self, source: Source, seen: Seen, api: ShownApi | None, erasing: Erasing
    ) -> ShownSource:
        now = self.business.now()
        return ShownSource(
            id=source.id,
            kind=source.kind,
            name=source.name,
            namespace=source.namespace,
            role=source.role,
            url=self._url(source),
            domains=list(source.domains),
            public=source.public,
            state=source.state,
            status=in_words(source, seen, now, erasing),
            accepted=seen.accepted,
            refused=seen.refused,
            last_accepted_at=seen.accepted_at,
            last_refused_at=seen.refused_at,
            last_refused_because=seen.refused_because,
            duplicates=seen.repeats,
            dead=seen.dead,
            last_dead_at=seen.dead_at,
            last_dead_because=seen.dead_because,
            usual_gap_seconds=seen.gap_seconds,
            silent_since=seen.silent_since(now),
            created_at=source.created_at,
            dropped_erased=erasing.dropped,
            erasures=[
                ShownShopErasure(
                    task=task.id,
                    state=task.state,
                    due_at=task.due_at,
                    days_left=days_left(task.due_at, now),
                )
                for task in erasing.tasks
            ],
            api=api,
        )


def _check_token(kind: str, token: str) -> None:
    why = wrong_token(kind, token)
    if why is not None:
        raise Problem(422, why, errors=[FieldError("body.api_token", why)])


def days_left(due_at: dt.datetime, now: dt.datetime) -> int:
    """Whole days; below nought when it is late."""
    return (due_at - now) // dt.timedelta(days=1)


def in_words(source: Source, seen: Seen, now: dt.datetime, erasing: Erasing = UNTOUCHED) -> str:
    """One sentence that says what to do, where there is something to do."""
    if (
        task := next((each for each in erasing.tasks if each.state == "waiting"), None)
    ) is not None:
        return (
            f"asks to erase everybody it ever told of, by {task.due_at:%Y-%m-%d} "
            f"({days_left(task.due_at, now)} days left): "
            f"chappe sources erasures {source.name} --confirm {task.id}"
        )
    match source.state:
        case SourceState.AWAITING_SECRET:
            held = " (deliveries are held meanwhile)" if seen.refused_at is not None else ""
            return f"waits for its secret{held}: {set_secret_command(source.name)}"
        case SourceState.PAUSED:
            why = f" ({source.note})" if source.note else ""
            return f"paused{why}: deliveries are kept, and not resolved"
        case SourceState.DISABLED:
            return f"disabled: deliveries are refused. {warning_of(source.kind)}"
        case _:
            pass
    if source.note:
        return f"asks for an operator: {source.note}"
    if seen.refused_at is not None and (
        seen.accepted_at is None or seen.refused_at > seen.accepted_at
    ):
        return f"the last delivery was refused ({seen.refused_at:%Y-%m-%d %H:%M} UTC): " + (
            seen.refused_because or "not verified"
        )
    if seen.accepted_at is None:
        return "no delivery yet"
    if seen.silent_since(now) is not None:
        gap = dt.timedelta(seconds=round(seen.gap_seconds or 0))
        return (
            f"silent: nothing came since {seen.accepted_at:%Y-%m-%d %H:%M} UTC, and usually one "
            f"comes every {gap}; look whether its webhook still exists there"
        )
    if seen.dead_at is not None and seen.dead_at >= seen.accepted_at:
        return (
            f"the last delivery was verified and could not be used: {seen.dead_because}; "
            "see chappe dead-letters list"
        )
    return f"works: the last delivery came {seen.accepted_at:%Y-%m-%d %H:%M} UTC"


def _nothing_new() -> NewSecret:
    return NewSecret.model_validate({})


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
        wanted: Annotated[NewSecret, Body(default_factory=_nothing_new)],
        workspace: WorkspaceId = workspace,
    ) -> AddedSource:
        """Set or rotate the secret; the old one is taken for another 24 hours."""
        return await desk.set_secret(workspace, ref, wanted)

    @router.post("/{ref}/pause", status_code=204)
    async def pause(ref: str, workspace: WorkspaceId = workspace) -> None:
        """Keep what comes, resolve nothing. The sender still hears 200."""
        await desk.set_state(workspace, ref, SourceState.PAUSED)

    @router.post("/{ref}/disable")
    async def disable(ref: str, workspace: WorkspaceId = workspace) -> Disabled:
        """Refuse what comes (403), and read what the vendor does then."""
        source = await desk.set_state(workspace, ref, SourceState.DISABLED)
        return Disabled(warning=warning_of(source.kind))

    @router.put("/{ref}/domains", status_code=204)
    async def set_domains(ref: str, wanted: NewDomains, workspace: WorkspaceId = workspace) -> None:
        """Say anew which hosts links of this source may lead to."""
        await desk.set_domains(workspace, ref, wanted.domains)

    @router.put("/{ref}/api-token", status_code=204)
    async def set_api_token(
        ref: str, wanted: NewApiToken, workspace: WorkspaceId = workspace
    ) -> None:
        """Set the token for asking the shop back. It is sealed, and never shown."""
        await desk.set_api_token(workspace, ref, wanted.api_token)

    @router.post("/{ref}/resume", status_code=204)
    async def resume(ref: str, workspace: WorkspaceId = workspace) -> None:
        await desk.set_state(workspace, ref, SourceState.ACTIVE)

    @router.delete("/{ref}", status_code=204)
    async def delete(ref: str, workspace: WorkspaceId = workspace) -> None:
        """Forget the secrets; deliveries are answered 410 from now on."""
        await desk.set_state(workspace, ref, SourceState.DELETED)

    _ = (add, list_, show, set_secret, pause, resume, delete, disable, set_domains, set_api_token)
    return router
