"""What DNS says of a sender domain: pass, fail or unknown, and what contradicts us."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from chappe_sender.domain.domain_check import (
    Finding,
    Look,
    NoAnswer,
    Result,
    ReturnTest,
    Way,
    to_publish,
)
from chappe_sender.domain.sender_domain import (
    DomainKey,
    KeyState,
    new_keys,
    parse_domain,
    signing_domains,
)
from chappe_sender.domain.spf import SpfResult, evaluate
from tests.unit.sender.fake_names import FakeNames

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
RELAY = Way("default", "relay", signs=True, host="relay.example")
DIRECT = Way("direct", "direct", signs=True, addresses=("192.0.2.7",), ehlo_name="out.shop.example")
SES = Way("mail", "ses", signs=True)


def keys() -> list[DomainKey]:
    return new_keys(
        "shop.example",
        ed25519_too=True,
        state=KeyState.ACTIVE,
        new_id=lambda prefix: f"{prefix}00000000deadbeef",
        now=NOW,
    )


async def findings(names: FakeNames, way: Way, made: list[DomainKey]) -> dict[str, Finding]:
    look = Look(names, "shop.example", made)
    return {each.check: each for each in await look.way(way, await look.dkim())}


async def test_a_domain_that_published_everything_passes_by_every_way() -> None:
    made = keys()
    names = FakeNames()
    for record in to_publish("shop.example", made, [RELAY, DIRECT, SES], None):
        names.publish({record.name: record.value})
    names.records["relay.example", "A"] = ("198.51.100.9",)
    names.records["192.0.2.7", "PTR"] = ("out.shop.example.",)
    names.records["out.shop.example", "A"] = ("192.0.2.7",)
    names.records["amazonses.com", "TXT"] = ("v=spf1 ip4:203.0.113.0/24 -all",)
    names.records["shop.example", "MX"] = ("10 mx.shop.example.",)
    for way in (RELAY, DIRECT, SES):
        found = await findings(names, way, made)
        results = {check: each.result for check, each in found.items()}
        ptr = Result.PASS if way is DIRECT else Result.UNKNOWN
        assert results == {
            "SPF": Result.PASS, "DKIM": Result.PASS, "DMARC": Result.PASS, "PTR": ptr,
            "MX": Result.PASS,
        }, way  # fmt: skip


async def test_an_unpublished_domain_fails_without_contradicting_anybody() -> None:
    found = await findings(FakeNames(), RELAY, keys())
    assert found["DKIM"].result is Result.FAIL
    assert found["DMARC"].result is Result.FAIL
    assert not any(each.mismatch for each in found.values())


async def test_another_key_under_our_name_is_a_mismatch() -> None:
    made = keys()
    names = FakeNames()
    names.publish({made[0].record_name("shop.example"): made[1].record})
    found = await findings(names, RELAY, made[:1])
    assert found["DKIM"] == Finding("DKIM", Result.FAIL, found["DKIM"].detail, mismatch=True)


async def test_dns_that_does_not_answer_says_nothing() -> None:
    made = keys()
    names = FakeNames(silent={"shop.example", "_dmarc.shop.example", "192.0.2.7"})
    names.silent |= {key.record_name("shop.example") for key in made}
    found = await findings(names, DIRECT, made)
    assert {each.result for each in found.values()} == {Result.UNKNOWN}


async def test_an_enforced_policy_that_nothing_of_ours_meets_is_a_mismatch() -> None:
    names = FakeNames()
    names.publish({"_dmarc.shop.example": "v=DMARC1; p=reject"})
    names.publish({"shop.example": "v=spf1 ip4:203.0.113.1 -all"})
    found = await findings(names, DIRECT, keys())
    assert found["SPF"].mismatch
    assert found["DMARC"].mismatch


async def test_a_provider_that_signs_itself_is_not_judged_by_our_keys() -> None:
    found = await findings(FakeNames(), Way("sg", "sendgrid", signs=False), [])
    assert found["DKIM"].result is Result.UNKNOWN
    assert found["SPF"].result is Result.UNKNOWN


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", SpfResult.PASS),
        ("v=spf1 mx -all", SpfResult.PASS),
        ("v=spf1 a:out.example/28 -all", SpfResult.PASS),
        ("v=spf1 include:other.example -all", SpfResult.FAIL),
        ("v=spf1 redirect=good.example", SpfResult.PASS),
        ("v=spf1 ~all", SpfResult.SOFT_FAIL),
        ("v=spf1 ?all", SpfResult.NEUTRAL),
        ("v=spf1 exists:%{i}.x.example -all", SpfResult.UNKNOWN),
        ("v=spf1 include:loop.example -all", SpfResult.ERROR),
        ("something else", SpfResult.NONE),
    ],
)
async def test_spf_is_read_as_a_receiver_reads_it(record: str, result: SpfResult) -> None:
    names = FakeNames()
    names.publish(
        {
            "from.example": record,
            "other.example": "v=spf1 ip4:203.0.113.1 -all",
            "good.example": "v=spf1 ip4:192.0.2.7 -all",
            "loop.example": "v=spf1 include:loop.example -all",
        }
    )
    names.records["from.example", "MX"] = ("10 mx.example.",)
    names.records["mx.example", "A"] = ("192.0.2.7",)
    names.records["out.example", "A"] = ("192.0.2.1",)
    assert await evaluate(names, "from.example", "192.0.2.7") is result


def test_only_the_domain_itself_or_one_above_it_signs() -> None:
    assert list(signing_domains("mail.shop.example")) == ["mail.shop.example", "shop.example"]
    assert signing_domains("shop.example", "news.shop.example")[0] == "news.shop.example"
    assert "evil.example" not in signing_domains("shop.example", "evil.example")


@pytest.mark.parametrize("text", ["", "localhost", "a..b", "1.2.3.4", "x y.example", "-a.example"])
def test_what_is_no_domain_is_none(text: str) -> None:
    assert parse_domain(text) is None


@dataclass
class FakeDoor:
    """Answers each recipient as told; an empty answer is none."""

    answers: dict[str, str]
    asked: list[str] = field(default_factory=list[str])

    async def ask(self, host: str, recipients: Sequence[str]) -> tuple[str, ...]:
        self.asked.append(host)
        if not self.answers:
            raise NoAnswer(f"{host}:25 says nothing")
        return tuple(self.answers[each] for each in recipients)


@pytest.mark.parametrize(
    ("signed", "forged", "expected"),
    [
        ("250 2.1.5 ok", "550 5.1.1 no such address here", Result.PASS),
        ("250 2.1.5 ok", "250 2.1.5 ok", Result.UNKNOWN),
        ("550 5.7.1 relaying denied", "550 5.7.1 relaying denied", Result.FAIL),
        ("451 4.3.0 later", "550 5.1.1 no", Result.UNKNOWN),
        ("", "", Result.UNKNOWN),
    ],
)
async def test_the_bounce_domain_is_asked_whether_it_leads_to_us(
    signed: str, forged: str, expected: Result
) -> None:
    door = FakeDoor({"b-signed@b.shop.example": signed, "b-forged@b.shop.example": forged})
    door.answers = {name: said for name, said in door.answers.items() if said}
    test = ReturnTest(door, "b-signed@b.shop.example", "b-forged@b.shop.example")
    names = FakeNames()
    look = Look(names, "shop.example", (), "b.shop.example", test)
    assert await look.returned() is None
    assert door.asked == []
    names.records["b.shop.example", "MX"] = ("20 back.example.", "10 mx.b.shop.example.")
    found = await look.returned()
    assert found is not None
    assert (found.check, found.result, found.mismatch) == ("RETURN", expected, False)
    assert door.asked == ["mx.b.shop.example"]


async def test_without_a_bounce_domain_nobody_is_asked() -> None:
    test = ReturnTest(FakeDoor({}), "b-signed@b.shop.example", "b-forged@b.shop.example")
    assert await Look(FakeNames(), "shop.example", (), None, test).returned() is None
