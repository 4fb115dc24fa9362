"""Where the sender's parts meet."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import structlog
from fastapi import FastAPI

from chappe.broker import Outgoing
from chappe.events import Event, contact_key, encode_event
from chappe.events.streams import EVENTS
from chappe.http import Check, Outbound, OutboundAnswer, create_app, require_token
from chappe.ids import WorkspaceId, partition_of, random_id
from chappe.postgres import migrate as apply_migrations
from chappe.service import Context, Service
from chappe.settings import SettingsError
from chappe.shards import ShardRunner, wrap
from chappe_sender.adapters.bad_day import PostgresBadDay
from chappe_sender.adapters.catalogue import PostgresCatalogue
from chappe_sender.adapters.certificates import FetchedCertificates
from chappe_sender.adapters.compiler import examine
from chappe_sender.adapters.domain_shelf import PostgresDomains
from chappe_sender.adapters.feedback_endpoints import FeedbackRecords
from chappe_sender.adapters.feedback_store import FeedbackTables, take_in
from chappe_sender.adapters.ledger import PostgresLedger
from chappe_sender.adapters.mx_sites import MxSites
from chappe_sender.adapters.names import SystemNames
from chappe_sender.adapters.people import HttpPeople
from chappe_sender.adapters.policy_shelf import PostgresPolicies
from chappe_sender.adapters.provider_lanes import ProviderLanes, unusable
from chappe_sender.adapters.provider_shelf import PostgresProviders
from chappe_sender.adapters.quotas import PostgresQuotas
from chappe_sender.adapters.reads import PostgresReads
from chappe_sender.adapters.renderer import Renderer
from chappe_sender.adapters.shaping_table import shaping_with
from chappe_sender.adapters.smtp import SmtpWayOut, route_of
from chappe_sender.adapters.smtp.door import Door
from chappe_sender.adapters.smtp.exchanges import SignedNames
from chappe_sender.adapters.smtp.route import RouteError
from chappe_sender.adapters.spam_score import spam_score
from chappe_sender.adapters.sqs import Sqs
from chappe_sender.adapters.suppressing import PostgresSuppressing
from chappe_sender.application.bad_day import BadDay
from chappe_sender.application.direct_check import DirectCheck
from chappe_sender.application.domain_desk import DomainDesk
from chappe_sender.application.feedback import Feedback
from chappe_sender.application.feedback_intake import FeedbackIntake
from chappe_sender.application.feedback_ports import Delivery
from chappe_sender.application.feedback_reading import Reader
from chappe_sender.application.handover import HandOver
from chappe_sender.application.keyring import Keyring
from chappe_sender.application.lag import Lag
from chappe_sender.application.letter import Scribe
from chappe_sender.application.lines import Lines
from chappe_sender.application.ports import Verdict
from chappe_sender.application.positions import misfit
from chappe_sender.application.preview import Previewer
from chappe_sender.application.processor import SenderProcessor
from chappe_sender.application.queue_poll import QueuePoll
from chappe_sender.application.routing import ProviderRecord, RouteState
from chappe_sender.application.sites import Sites
from chappe_sender.domain.addresses import Address, Mailbox, parse_address
from chappe_sender.domain.delivery import AllowList, Mode, Policy
from chappe_sender.domain.domain_check import Names, ReturnTest, Way
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.mime import Mail
from chappe_sender.domain.providers import Kind
from chappe_sender.domain.shaping import Shaping
from chappe_sender.entrypoints import (
    api,
    coupons_api,
    domains_api,
    export,
    feedback_api,
    notices_api,
    policy_api,
    preferences,
    preview_api,
    providers_api,
    sending_api,
    suppression_import,
)

logger = structlog.get_logger(__name__)

SCHEMA = "sender"
LINGER_SECONDS = 0.015
"""Lets a message and the events before it, or two outcomes, share one batch at a trickle."""

PROVIDERS_LOOKED_AT = 100
"""For a test mail."""

PATTERNS = (
    "/p/*",
    "/api/v1/templates*",
    "/api/v1/brand",
    "/api/v1/coupons",
    "/api/v1/messages*",
    "/api/v1/domains*",
    "/api/v1/sending*",
    "/api/v1/providers*",
    "/api/v1/suppressions*",
    "/api/v1/dead-letters/sender",
)


async def migrate(pool: asyncpg.Pool) -> list[str]:
    """Apply the sender's migrations; returns the names of those that were new."""
    return await apply_migrations(
        pool, SCHEMA, "chappe.shards.migrations", "chappe_sender.migrations"
    )


async def doctor(providers: Sequence[Mapping[str, Any]]) -> str:
    """What `chappe doctor` says of mail that leaves directly. Raises ``DirectFault``."""
    return await DirectCheck(SystemNames(), Door("localhost"))(providers)


@asynccontextmanager
async def sender(  # noqa: PLR0915 - where everything meets
    context: Context, names: SignedNames | None = None
) -> AsyncGenerator[Service]:
    """The ``sender`` role. Raises ``SettingsError`` when there is no usable way out.

    ``names`` stands for DNS where sender domains and exchangers are looked up.
    """
    catalogue = PostgresCatalogue(context.pool, context.business)
    ledger = PostgresLedger(context.pool, context.broker.partitions, context.vault.fingerprint)
    outbound = Outbound(allow_loopback=context.settings.outbound_loopback, max_connections=128)
    shelf = PostgresProviders(context.pool, context.vault)
    shaping = _shaping(context)
    sites = MxSites(shaping=shaping)
    lanes = _lanes(context, outbound, names or SystemNames(), shaping)
    lines = Lines(shelf, lanes.make, context.wall, context.business)
    await lines.refresh()
    domains = PostgresDomains(context.pool, context.vault)
    keyring = Keyring(domains)
    await keyring.refresh()
    day_store = PostgresBadDay(context.pool)
    day = _bad_day(context, day_store)
    lines.stopped = lambda: day.stopped_providers
    await _check_positions(context, day_store)
    await day.refresh()
    handover = _hand_over(
        context, catalogue, ledger, lines, keyring, day,
        Sites(shaping, sites.known, PostgresQuotas(context.pool)),
    )  # fmt: skip
    day.changed = handover.route_changed_everywhere
    desk = _domains(context, domains, keyring, shelf, names or SystemNames())
    tables = FeedbackTables(context.pool, context.vault, context.broker.partitions)
    feedback = _feedback(context, tables, outbound, handover, sites)
    runner = ShardRunner(
        SenderProcessor(ledger, catalogue, handover, context.business, feedback),
        broker=context.broker,
        pool=context.pool,
        clock=context.business,
        me=context.me,
        exclusive=context.exclusive,
        linger_seconds=LINGER_SECONDS,
    )
    ledger.runner = runner
    tables.runner = runner
    queues = _queues(context, tables, outbound)
    handover.lag.positions = lambda: {
        shard: owned.next_offsets.get(EVENTS, 0) for shard, owned in runner.owned.items()
    }

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            others = [
                tasks.create_task(handover.run(), name="sender hand-over"),
                tasks.create_task(feedback.run(), name="sender feedback"),
                tasks.create_task(queues.run(), name="sender queues"),
                tasks.create_task(keyring.run(), name="sender keys"),
                tasks.create_task(day.run(), name="sender stops"),
                tasks.create_task(desk.run(), name="sender domains"),
            ]
            await runner.run()
            for each in others:
                each.cancel()

    async def stop() -> None:
        await handover.drain()
        await runner.stop()

    async def looked() -> str | None:
        if (reason := await runner.busy()) is not None:
            return reason
        sending, due, _ = await ledger.standing(context.business.now())
        if waiting := max(sending + due, handover.in_flight):
            return f"sender: {waiting} messages on their way"
        told = await tables.waiting(context.wall.now())
        return f"sender: {told} deliveries of feedback" if told else None

    async def busy() -> str | None:
        """Twice: what moves on while we look is a delivery, then an event, then a message."""
        return await looked() or await looked()

    async def next_due() -> dt.datetime | None:
        return (await ledger.standing(context.business.now()))[2]

    def wake() -> None:
        runner.wake()
        handover.wake()
        feedback.wake()

    checks: dict[str, Check] = {"shards": runner.ready}
    app = _app(context, catalogue, checks)
    app.include_router(domains_api.router(desk, context.admin_token))
    app.include_router(feedback_api.router(_feedback_api(context, tables, feedback)))
    app.include_router(
        providers_api.router(_providers_api(context, catalogue, shelf, lanes, lines, day))
    )
    app.include_router(
        coupons_api.router(
            coupons_api.CouponsApi(
                admin_token=context.admin_token, shelf=ledger.coupons, clock=context.business
            )
        )
    )
    app.include_router(
        notices_api.router(
            notices_api.NoticesApi(
                admin_token=context.admin_token,
                reads=PostgresReads(context.pool),
                broker=context.broker,
                clock=context.business,
            )
        )
    )
    asking = httpx.AsyncClient(base_url=context.api_url, trust_env=False)
    app.include_router(preview_api.router(_preview_api(context, catalogue, shelf, lanes, asking)))
    app.include_router(sending_api.router(_sending_api(context, day_store, day, shelf)))
    policies = PostgresPolicies(context.pool)
    app.include_router(
        policy_api.router(
            policy_api.PolicyApi(
                admin_token=context.admin_token, policies=policies, clock=context.business
            )
        )
    )
    try:
        yield Service(
            name="sender",
            app=app,
            patterns=PATTERNS,
            run=run,
            stop=stop,
            busy=busy,
            next_due=next_due,
            wake=wake,
            checks=checks,
        )
    finally:
        await asking.aclose()
        await outbound.aclose()


def _address(context: Context) -> Address:
    """Whom mail is from where no brand kit says it."""
    host = urlsplit(context.public_url).hostname or "localhost"
    return parse_address(f"hello@{host}") or Address("hello", "localhost")


def _shaping(context: Context) -> Shaping:
    try:
        return shaping_with(context.settings.shaping)
    except ValueError as error:
        raise SettingsError(f"CHAPPE_SHAPING: {error}") from None


def _lanes(
    context: Context, outbound: Outbound, names: SignedNames, shaping: Shaping
) -> ProviderLanes:
    return ProviderLanes(
        outbound,
        context.wall,
        _address(context).domain,
        context.settings.outbound_loopback,
        names,
        PostgresQuotas(context.pool),
        shaping,
    )


def _providers_api(
    context: Context,
    catalogue: PostgresCatalogue,
    shelf: PostgresProviders,
    lanes: ProviderLanes,
    lines: Lines,
    day: BadDay,
) -> providers_api.ProvidersApi:
    fallback = Mailbox("", _address(context))

    async def sender_of(workspace: WorkspaceId) -> Mailbox:
        return (await catalogue.brand(workspace)).mailbox(fallback)

    async def refresh() -> None:
        lines.changed()
        await lines.refresh()

    return providers_api.ProvidersApi(
        admin_token=context.admin_token,
        shelf=shelf,
        unusable=unusable,
        refresh=refresh,
        line=lines.get,
        lane=lanes,
        sender=sender_of,
        clock=context.business,
        wall=context.wall,
        new_id=random_id,
        withheld=lambda address: day.policy.withholds(address, context.business.now()),
        loopback=context.settings.outbound_loopback,
    )


def _feedback(
    context: Context,
    tables: FeedbackTables,
    outbound: Outbound,
    handover: HandOver,
    sites: MxSites,
) -> Feedback:
    async def get(url: str) -> OutboundAnswer:
        return await outbound.request("GET", url, limit_bytes=65_536, timeout_seconds=5.0)

    return Feedback(
        store=tables,
        intake=FeedbackIntake(tables),
        reader=Reader(tables, FetchedCertificates(get), context.tokens, context.vault),
        sites=sites,
        business=context.business,
        wall=context.wall,
        shards=lambda: list(tables.runner.owned),
        released=handover.wake,
        judged=handover.judged,
    )


def _queues(context: Context, tables: FeedbackTables, outbound: Outbound) -> QueuePoll:
    async def post(url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        return await outbound.request(
            "POST", url, headers=headers, content=body, timeout_seconds=30.0
        )

    return QueuePoll(
        queues=Sqs(post, context.wall),
        known=FeedbackRecords(context.pool, context.vault).queues,
        shards=lambda: list(tables.runner.owned),
        broker=context.broker,
        business=context.business,
        wall=context.wall,
    )


def _feedback_api(
    context: Context, tables: FeedbackTables, feedback: Feedback
) -> feedback_api.FeedbackApi:
    async def keep(delivery: Delivery) -> None:
        await take_in(context.pool, [delivery])

    return feedback_api.FeedbackApi(
        admin_token=context.admin_token,
        records=FeedbackRecords(context.pool, context.vault),
        tokens=context.tokens,
        public_url=context.public_url,
        keep=keep,
        place=tables.place,
        wake=feedback.wake,
        bounce_domain=context.settings.bounce_domain,
        business=context.business,
        wall=context.wall,
        new_id=random_id,
        loopback=context.settings.outbound_loopback,
    )


def _bad_day(context: Context, store: PostgresBadDay) -> BadDay:
    settings = context.settings
    allowed = AllowList.parse(settings.delivery_allow or "")
    return BadDay(Policy(Mode(settings.delivery), context.wall.now(), allowed), context.wall, store)


async def _check_positions(context: Context, store: PostgresBadDay) -> None:
    """Where a backup was restored, keep mail instead of sending it twice."""
    incarnation = await store.incarnation()
    if incarnation is None:
        return
    offsets = await store.offsets()
    found = await misfit(context.broker, offsets, store.published, SCHEMA, incarnation)
    if found is None:
        return
    if found.startswith("newer:"):
        await store.renew(incarnation, random_id(""))
    if await store.misfit(found, context.business.now(), context.wall.now()):
        logger.error(
            "Database and log do not fit: mail is captured until `chappe sending go-live`",
            reason=found,
        )


def _sending_api(
    context: Context, store: PostgresBadDay, day: BadDay, shelf: PostgresProviders
) -> sending_api.SendingApi:
    async def provider(workspace: WorkspaceId, name: str) -> str | None:
        found = await shelf.find(workspace, name)
        return found.id if found is not None else None

    return sending_api.SendingApi(
        admin_token=context.admin_token,
        store=store,
        day=day,
        provider=provider,
        from_domain=_address(context).domain,
        clock=context.business,
        new_id=random_id,
    )


def _domains(
    context: Context,
    shelf: PostgresDomains,
    keyring: Keyring,
    providers: PostgresProviders,
    names: Names,
) -> DomainDesk:
    async def ways(workspace: WorkspaceId, domain: str) -> list[Way]:
        found = [
            Way(
                record.name,
                "relay" if record.kind is Kind.SMTP else record.kind,
                record.capabilities.raw,
                _relay_host(record.secrets.get("url")),
                tuple(record.options.get("source_ips", "").replace(",", " ").split()),
                record.options.get("ehlo_name"),
            )
            for record in await providers.active()
            if record.workspace == workspace and record.serves(domain)
        ]
        if context.smtp_url is not None or not found:
            # On one box, evidence is the built-in inbox, which is then the default way.
            kind = "inbox" if context.evidence is not None else "relay"
            found.insert(0, Way("default", kind, signs=True, host=_relay_host(context.smtp_url)))
        return found

    return DomainDesk(
        shelf=shelf,
        keyring=keyring,
        names=names,
        ways=ways,
        bounce_domain=context.settings.bounce_domain,
        wall=context.wall,
        new_id=random_id,
        returning=_returning(context),
    )


def _returning(context: Context) -> ReturnTest | None:
    """An address that names no message of anybody, signed, and the same with its seal broken."""
    domain, local = context.settings.bounce_domain, context.tokens.sign_return("b", "m_probe")
    if domain is None or local is None:
        return None
    ehlo_name = urlsplit(context.public_url).hostname or "localhost"
    forged = local[:-4] + ("a" if local[-4] != "a" else "b") + local[-3:]
    return ReturnTest(Door(ehlo_name), f"{local}@{domain}", f"{forged}@{domain}")


def _relay_host(url: str | None) -> str | None:
    return urlsplit(url).hostname if url else None


def _hand_over(
    context: Context,
    catalogue: PostgresCatalogue,
    ledger: PostgresLedger,
    lines: Lines,
    keyring: Keyring,
    day: BadDay,
    sites: Sites,
) -> HandOver:
    address = _address(context)
    way_out = None
    # Without a relay, what has no provider waits for one; without either, there is nothing to do.
    if context.smtp_url is not None or not lines:
        try:
            way_out = SmtpWayOut(route_of(context.smtp_url or "", ehlo_name=address.domain))
        except RouteError as error:
            raise SettingsError(str(error)) from None
    return HandOver(
        ledger=ledger,
        catalogue=catalogue,
        scribe=Scribe(
            Renderer(),
            context.tokens,
            context.public_url,
            Mailbox("", address),
            context.settings.bounce_domain,
            keyring,
        ),
        way_out=way_out,
        lines=lines,
        business=context.business,
        wall=context.wall,
        lag=Lag(context.broker, dict),
        evidence=context.evidence,
        day=day,
        site=sites.site,
        sites=sites,
    )


def _preview_api(
    context: Context,
    catalogue: PostgresCatalogue,
    shelf: PostgresProviders,
    lanes: ProviderLanes,
    asking: httpx.AsyncClient,
) -> preview_api.PreviewApi:
    async def route(workspace: WorkspaceId, id_: str, envelope: Envelope, mail: Mail) -> Verdict:
        """By the workspace's first provider that is in use, else by the relay."""
        found = await shelf.listed(workspace, "", PROVIDERS_LOOKED_AT)
        active = [each for each in found if each.state is RouteState.ACTIVE]
        record = min(active, key=lambda each: each.priority, default=None)
        if record is None and context.smtp_url is not None:
            now = context.business.now()
            record = ProviderRecord(
                id="default", workspace=workspace, name="default", kind=Kind.SMTP,
                secrets={"url": context.smtp_url}, options={}, created_at=now, updated_at=now,
            )  # fmt: skip
        if record is None:
            raise LookupError("there is no way out: set CHAPPE_SMTP_URL, or add a provider")
        return await lanes.carry(record, id_, envelope, mail)

    return preview_api.PreviewApi(
        admin_token=context.admin_token,
        catalogue=catalogue,
        previewer=Previewer(Renderer(), context.public_url, Mailbox("", _address(context))),
        people=HttpPeople(asking, context.admin_token),
        score=spam_score,
        route=route,
        wall=context.wall,
        new_id=random_id,
        captured=context.settings.delivery != "live",
    )


def _app(context: Context, catalogue: PostgresCatalogue, checks: dict[str, Check]) -> FastAPI:
    async def tell(event: Event) -> None:
        assert event.contact is not None
        key = contact_key(event.workspace, event.contact)
        partition = partition_of(key, context.broker.partitions)
        await context.broker.append(EVENTS, [Outgoing(partition, key, wrap(encode_event(event)))])

    app = create_app("sender", checks=checks, distribution="chappe-sender")
    reads = PostgresReads(context.pool)
    app.include_router(export.router(context.pool, require_token(context.admin_token)))
    app.include_router(
        api.router(
            api.Api(
                admin_token=context.admin_token,
                shelf=catalogue,
                reads=reads,
                compile=examine,
                clock=context.business,
                any_from=context.evidence is not None,
            )
        )
    )
    importing = suppression_import.SuppressionImport(
        store=PostgresSuppressing(context.pool), clock=context.business
    )
    app.include_router(suppression_import.router(importing, require_token(context.admin_token)))
    app.include_router(
        preferences.router(
            preferences.Preferences(
                tokens=context.tokens,
                shelf=catalogue,
                reads=reads,
                publish=tell,
                clock=context.business,
                wall=context.wall,
                new_id=random_id,
            )
        )
    )
    return app
