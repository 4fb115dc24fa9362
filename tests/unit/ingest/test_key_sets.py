"""A vendor's keys come from where an operator said, and again when an unknown one signs."""

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chappe.clock import HandClock
from chappe.http import Problem, create_app
from chappe.ids import DEFAULT_WORKSPACE, SourceId, WorkspaceId
from chappe_ingest.application.key_sets import KeySets, KeysUnavailable
from chappe_ingest.application.quarantine import Quarantine
from chappe_ingest.application.source_table import SourceTable
from chappe_ingest.application.tally import Seen
from chappe_ingest.domain.key_sets import addresses_of, document_of
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.source import OLD_SECRET_LIVES, Secret, Source, SourceState
from chappe_ingest.domain.sources.saleor_signature import public_keys
from chappe_ingest.entrypoints.front import Front
from chappe_ingest.entrypoints.sources_api import Erasings, NewSecret, SourcesDesk, Standings
from chappe_ingest.entrypoints.webhooks import Webhooks
from tests.unit.ingest.door import Door
from tests.unit.ingest.shop import NOW
from tests.unit.ingest.sources_b.made import detached_jws, jwk, jwks

JWKS = "https://shop.example/.well-known/jwks.json"
LINKS = Links(frozenset({"shop.example"}), ("saleor.cloud",))
KEYS = [rsa.generate_private_key(65537, 2048).public_key() for _ in range(2)]


def pem(key: rsa.RSAPublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


@dataclass
class Vendor:
    """Its documents, and how often they were asked for."""

    documents: dict[str, str] = field(default_factory=dict[str, str])
    asked: list[str] = field(default_factory=list[str])
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.ready.set()

    async def __call__(self, address: str) -> str:
        self.asked.append(address)
        await self.ready.wait()
        if address not in self.documents:
            raise KeysUnavailable(f"{address} answers 404")
        return self.documents[address]


class Store:
    """One source, in memory."""

    def __init__(self, secret: str) -> None:
        self.api_tokens: list[str | None] = []
        self.source = Source(
            id=SourceId("src_1"),
            workspace=DEFAULT_WORKSPACE,
            kind="saleor",
            name="shop",
            namespace="shop",
            domains=("shop.example",),
            state=SourceState.ACTIVE,
            secrets=(Secret(secret),),
            created_at=NOW,
        )

    async def all(self) -> Sequence[Source]:
        return [self.source]

    async def set_secret(
        self,
        source: Source,
        secret: str,
        *,
        now: dt.datetime,
        lives: dt.timedelta = OLD_SECRET_LIVES,
    ) -> None:
        old = Secret(source.current_secret or "", now + lives)
        self.source = replace(self.source, secrets=(Secret(secret), old))

    async def add(self, source: Source) -> None:
        raise NotImplementedError

    async def set_api_token(self, source: SourceId, token: str | None) -> None:
        self.api_tokens.append(token)

    async def set_domains(self, source: SourceId, domains: Sequence[str]) -> None:
        raise NotImplementedError

    async def set_state(self, workspace: WorkspaceId, source: SourceId, state: SourceState) -> bool:
        raise NotImplementedError

    async def seen(self, sources: Sequence[SourceId]) -> dict[str, Seen]:
        raise NotImplementedError


@dataclass
class World:
    vendor: Vendor
    store: Store
    table: SourceTable
    keys: KeySets


def world(secret: str = "") -> World:
    vendor, store, wall = Vendor({JWKS: pem(KEYS[0])}), Store(secret), HandClock(NOW)
    table = SourceTable(store, wall)
    return World(vendor, store, table, KeySets(vendor, store, table, wall))


def test_a_fetched_secret_says_where_it_is_from_and_holds_the_keys() -> None:
    secret = f"{JWKS}\n{pem(KEYS[0])}"
    assert addresses_of(secret) == (JWKS,)
    assert document_of(secret) == pem(KEYS[0]).strip()
    assert len(public_keys(secret)) == 1
    assert addresses_of(pem(KEYS[0])) == ()


async def test_an_address_in_the_place_of_a_secret_is_fetched() -> None:
    place = world()
    secret = await place.keys.secret("saleor", LINKS, JWKS)
    assert addresses_of(secret) == (JWKS,)
    assert len(public_keys(secret)) == 1


async def test_what_is_pasted_stays_as_it_is() -> None:
    place = world()
    assert await place.keys.secret("saleor", LINKS, "a shared secret") == "a shared secret"
    assert place.vendor.asked == []


@pytest.mark.parametrize(
    ("kind", "address", "why"),
    [
        ("saleor", "https://evil.example/jwks.json", "own domains"),
        ("saleor", "https://shop.example.evil.example/jwks.json", "own domains"),
        ("adobe", JWKS, "static.adobeioevents.com"),
        ("shopify", JWKS, "paste it"),
    ],
)
async def test_keys_come_from_the_vendor_s_hosts_alone(kind: str, address: str, why: str) -> None:
    place = world()
    with pytest.raises(KeysUnavailable, match=why):
        await place.keys.secret(kind, LINKS, address)
    assert place.vendor.asked == []


@pytest.mark.parametrize("document", ["<html>", "{}", json.dumps({"keys": [{"kty": "oct"}]})])
async def test_a_document_without_keys_is_refused(document: str) -> None:
    place = world()
    place.vendor.documents[JWKS] = document
    with pytest.raises(KeysUnavailable, match="no RSA public key"):
        await place.keys.secret("saleor", LINKS, JWKS)


async def test_both_keys_of_adobe_s_may_have_an_address() -> None:
    place = world()
    pair = [f"https://static.adobeioevents.com/prod/keys/{n}.pem" for n in (1, 2)]
    place.vendor.documents |= {each: pem(key) for each, key in zip(pair, KEYS, strict=True)}
    secret = await place.keys.secret("adobe", LINKS, " ".join(pair))
    assert len(public_keys(secret)) == 2


async def test_a_new_key_is_fetched_when_it_signs_and_the_old_one_lives_on() -> None:
    place = world(f"{JWKS}\n{pem(KEYS[0])}")
    place.vendor.documents[JWKS] = pem(KEYS[1])
    assert await place.keys.renew(place.store.source)
    source = place.table.again(SourceId("src_1"))
    assert source is not None
    assert [len(public_keys(each)) for each in source.live_secrets(NOW)] == [1, 1]
    assert document_of(source.current_secret or "") == pem(KEYS[1]).strip()


async def test_forged_deliveries_have_the_keys_fetched_once_a_minute_at_most() -> None:
    place = world(f"{JWKS}\n{pem(KEYS[0])}")
    for _ in range(5):
        assert not await place.keys.renew(place.store.source)
    assert place.vendor.asked == [JWKS]


async def test_deliveries_that_come_during_a_renewal_share_it() -> None:
    place = world(f"{JWKS}\n{pem(KEYS[0])}")
    place.vendor.documents[JWKS] = pem(KEYS[1])
    place.vendor.ready.clear()
    waiting = [asyncio.create_task(place.keys.renew(place.store.source)) for _ in range(3)]
    while not place.vendor.asked:
        await asyncio.sleep(0)
    place.vendor.ready.set()
    assert await asyncio.gather(*waiting) == [True, True, True]
    assert place.vendor.asked == [JWKS]


async def test_a_vendor_that_is_away_changes_nothing() -> None:
    place = world(f"{JWKS}\n{pem(KEYS[0])}")
    place.vendor.documents.clear()
    assert not await place.keys.renew(place.store.source)
    assert document_of(place.store.source.current_secret or "") == pem(KEYS[0]).strip()


async def test_a_pasted_secret_is_never_renewed() -> None:
    place = world(pem(KEYS[0]))
    assert not await place.keys.renew(place.store.source)
    assert place.vendor.asked == []


def desk(place: World) -> SourcesDesk:
    return SourcesDesk(
        store=place.store,
        table=place.table,
        quarantine=cast("Quarantine", Nobody()),
        keys=place.keys,
        business=HandClock(NOW),
        wall=HandClock(NOW),
        new_id=str,
        public_url="https://c.example",
        standings=cast("Standings", Nobody()),
        erasings=cast("Erasings", Nobody()),
    )


class Nobody:
    """A quarantine that holds nothing."""

    async def release(self, source: Source) -> int:
        assert source.secrets
        return 0


async def test_an_operator_may_give_the_address_of_the_keys_as_the_secret() -> None:
    place = world("old")
    wanted = NewSecret.model_validate({"secret": JWKS})
    await desk(place).set_secret(DEFAULT_WORKSPACE, "shop", wanted)
    assert len(public_keys(place.store.source.current_secret or "")) == 1


async def test_an_address_that_is_not_the_shop_s_is_refused_in_words() -> None:
    place = world("old")
    wanted = NewSecret.model_validate({"secret": "https://evil.example/jwks.json"})
    with pytest.raises(Problem, match="own domains"):
        await desk(place).set_secret(DEFAULT_WORKSPACE, "shop", wanted)
    assert place.store.source.current_secret == "old"


async def test_an_api_token_of_the_wrong_shape_is_refused_in_words() -> None:
    place = world("old")
    place.store.source = replace(place.store.source, kind="bigcommerce")
    with pytest.raises(Problem, match="STORE_HASH:ACCESS_TOKEN"):
        await desk(place).set_api_token(DEFAULT_WORKSPACE, "shop", "justatoken")
    await desk(place).set_api_token(DEFAULT_WORKSPACE, "shop", "hash1:token1")
    await desk(place).set_api_token(DEFAULT_WORKSPACE, "shop", None)
    assert place.store.api_tokens == ["hash1:token1", None]


async def test_a_delivery_signed_with_a_new_key_is_taken_and_a_forged_one_is_not() -> None:
    """At the door, and without the sender noticing: Saleor never comes again after a 401."""
    place = world(f"{JWKS}\n{jwks(jwk('a', 'a'))}")
    place.vendor.documents[JWKS] = jwks(jwk("b", "b"))
    door = Door()
    webhooks = Webhooks(
        sources=place.table,
        inlet=door.inlet,
        tally=door.tally,
        quarantine=door.quarantine,
        keys=place.keys,
        wall=door.wall,
        business=door.business,
    )
    door.app = Front({"in": webhooks}, create_app("t", checks={}, distribution="chappe-ingest"))
    body = b'{"order":{"id":"T3JkZXI6MQ=="}}'

    async def told(key: str) -> int:
        said = {"Saleor-Event": "order_created", "Saleor-Signature": detached_jws(body, key)}
        return (await door.post("/in/src_1", body, said)).status

    assert [await told(key) for key in "abaab"] == [200] * 5
    assert await told("c") == 401
    assert place.vendor.asked == [JWKS]
