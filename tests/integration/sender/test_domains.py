"""Sender domains: signed mail that anybody can verify, keys that rotate, checks that block."""

from typing import Any

import asyncpg
import dkim

from chappe.clock import HandClock
from tests.integration.sender.place import Place, a_sender
from tests.unit.sender.dkim.verifier import verified
from tests.unit.sender.fake_names import FakeNames

KIT: dict[str, Any] = {"name": "Shop", "from": "Shop <hi@mail.shop.example>"}


async def added(place: Place, **body: Any) -> dict[str, Any]:
    assert (await place.http.put("/api/v1/brand", json=KIT)).status_code == 200
    answer = await place.http.post("/api/v1/domains", json={"domain": "shop.example"} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def records(domain: dict[str, Any]) -> dict[str, str]:
    return {key["record_name"]: key["record"] for key in domain["keys"]}


def dkimpy(raw: bytes, published: dict[str, str]) -> bool:
    def txt(name: bytes, **_: Any) -> bytes:
        return published[name.decode().rstrip(".")].encode()

    verify: Any = getattr(dkim, "verify")  # noqa: B009 - it has no types
    return verify(raw, dnsfunc=txt)


async def test_mail_of_an_added_domain_is_signed_and_everybody_can_verify_it(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        domain = await added(place, ed25519=True)
        await place.subscribe("c_1")
        await place.ask("c_1", "m_1")
        await place.settle()
        (raw,) = place.smtp.accepted
        assert verified(raw, records(domain)) == [True, True]
        assert dkimpy(raw, records(domain))
        head = raw[: raw.index(b"h=") + 600].replace(b"\r\n\t ", b"").lower()
        for name in (b"list-unsubscribe:", b"list-unsubscribe-post", b"feedback-id", b"list-id"):
            assert name in head


async def test_private_keys_are_sealed_and_never_come_out(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock) as place:
        domain = await added(place)
        assert "PRIVATE" not in str(domain)
        sealed = await pool.fetchval("SELECT secret FROM sender.domain_key")
        assert b"PRIVATE" not in sealed
        again = await place.http.post("/api/v1/domains", json={"domain": "shop.example"})
        assert again.status_code == 422


async def test_a_new_key_signs_once_it_is_seen_published(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    names = FakeNames()
    async with a_sender(pool, clock, names=names) as place:
        first = (await added(place))["keys"][0]["selector"]
        rotated = (await place.http.post("/api/v1/domains/shop.example/rotate", json={})).json()
        states = {key["selector"]: key["state"] for key in rotated["keys"]}
        assert states.pop(first) == "active"
        (second,) = states
        await place.http.post("/api/v1/domains/shop.example/check")
        await place.subscribe("c_1")
        await place.ask("c_1", "m_1")
        await place.settle()
        names.publish(records(rotated))
        checked = (await place.http.post("/api/v1/domains/shop.example/check")).json()
        assert checked["keep_published"] == [f"{first}._domainkey.shop.example"]
        await place.ask("c_1", "m_2")
        await place.settle()
        selectors = [mail["DKIM-Signature"].partition("s=")[2] for mail in place.mails()]
        assert [selectors[0].startswith(first), selectors[1].startswith(second)] == [True, True]


async def test_only_a_mismatch_seen_twice_lets_marketing_wait_and_receipts_go(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    names = FakeNames()
    async with a_sender(pool, clock, names=names) as place:
        domain = await added(place)
        wrong = dict.fromkeys(records(domain), "v=DKIM1; k=rsa; p=AAAA")
        names.publish(wrong)
        first = (await place.http.post("/api/v1/domains/shop.example/check")).json()
        assert first["result"] == "fail"
        assert first["blocked"] is None
        second = (await place.http.post("/api/v1/domains/shop.example/check")).json()
        assert "another key" in second["blocked"]
        await place.subscribe("c_1")
        await place.ask("c_1", "m_cart")
        await place.ask("c_1", "m_receipt", template="receipt")
        await place.settle()
        assert place.sent() == ["m_receipt"]
        assert await place.state("m_cart") == ("scheduled", "domain_check")
        names.publish(records(domain))
        await place.http.post("/api/v1/domains/shop.example/check")
        clock.set(await place.next_due())
        place.service.wake()
        await place.settle()
        assert place.sent() == ["m_cart", "m_receipt"]


async def test_a_freemail_from_is_refused(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock) as place:
        answer = await place.http.put("/api/v1/brand", json={"from": "Shop <me@gmail.com>"})
        assert answer.status_code == 422
        added_ = await place.http.post("/api/v1/domains", json={"domain": "gmail.com"})
        assert added_.status_code == 422
