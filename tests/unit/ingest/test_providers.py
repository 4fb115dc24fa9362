"""Providers' webhooks: kept for whoever has an endpoint, and nothing durable for anybody else."""

import msgspec
import pytest

from chappe.broker import BrokerUnavailable
from chappe.events import RAW_DELIVERY, RawDelivery
from chappe.shards import unwrap
from chappe_ingest.entrypoints import providers
from tests.unit.ingest.door import PARTITIONS, Door

BODY = b'[{"event":"delivered"}]'


def path(door: Door, kind: str = "sendgrid", endpoint: str = "fe_1") -> str:
    return f"/providers/{kind}/{door.tokens.seal(providers.ENDPOINT, [endpoint, kind])}"


def kept(door: Door) -> list[RawDelivery]:
    return [
        msgspec.json.decode(unwrap(record.value)[1], type=RawDelivery)
        for partition in range(PARTITIONS)
        for record in door.broker.log(RAW_DELIVERY, partition).slice(0, 1_000)
    ]


async def test_a_webhook_is_kept_as_it_came_with_the_headers_that_prove_it() -> None:
    door = Door()
    headers = [
        ("X-Twilio-Email-Event-Webhook-Signature", "MEUC"),
        ("X-Twilio-Email-Event-Webhook-Timestamp", "1"),
        ("Cookie", "a=b"),
        ("Authorization", "Bearer x"),
    ]
    answer = await door.knock("POST", path(door), headers=headers, body=[BODY])
    assert answer.status == 200
    (raw,) = kept(door)
    assert (raw.provider, raw.endpoint, raw.body) == ("sendgrid", "fe_1", BODY)
    assert raw.headers == {
        "x-twilio-email-event-webhook-signature": "MEUC",
        "x-twilio-email-event-webhook-timestamp": "1",
    }


async def test_a_credential_of_ours_is_kept_only_under_a_seal() -> None:
    door = Door()
    headers = [("Authorization", "Basic c2VjcmV0OnNlY3JldA==")]
    await door.knock("POST", path(door, "postmark"), headers=headers, body=[b"{}"])
    (raw,) = kept(door)
    assert set(raw.headers) == {providers.SEALED}
    assert b"c2VjcmV0" not in msgspec.json.encode(raw)


async def test_a_stranger_costs_nothing_durable() -> None:
    door = Door()
    other = path(door, "mailgun").rpartition("/")[2]
    for address in ("/providers/sendgrid/fe_1", f"/providers/sendgrid/{other}", "/providers/x/y"):
        answer = await door.knock("POST", address, body=[BODY])
        assert answer.status == 404
    assert kept(door) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_provider_that_looks_whether_we_are_there_finds_us(method: str) -> None:
    door = Door()
    assert (await door.knock(method, path(door, "mailjet"))).status == 200
    assert kept(door) == []


async def test_an_empty_body_is_a_test_and_is_not_kept() -> None:
    door = Door()
    assert (await door.knock("POST", path(door, "sparkpost"))).status == 200
    assert kept(door) == []


@pytest.mark.parametrize(("kind", "status"), [("brevo", 429), ("ses", 503), ("mailgun", 503)])
async def test_while_the_log_is_away_each_is_told_what_makes_it_come_again(
    kind: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door()

    async def away(*_: object) -> None:
        raise BrokerUnavailable("away")

    monkeypatch.setattr(door.broker, "append", away)
    answer = await door.knock("POST", path(door, kind), body=[BODY])
    assert answer.status == status


async def test_too_much_is_refused_before_it_is_held() -> None:
    door = Door()
    headers = [("Content-Length", str(providers.BODY_MAX_BYTES + 1))]
    answer = await door.knock("POST", path(door), headers=headers, body=[BODY])
    assert answer.status == 413
