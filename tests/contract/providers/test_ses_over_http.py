"""Mail by SES as a lane carries it: real HTTP, answered by moto."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import email
import email.policy

import boto3
import pytest
from moto.ses.models import ses_backends

from chappe_sender.domain.outcome import Declined, NotSent, Scope, Taken
from tests.contract.providers.work import Desk, carried, letter
from tests.fakes.aws import ACCOUNT, REGION, Aws, amazon
from tests.fakes.providers import Fake

pytestmark = pytest.mark.contract


async def carried_by(aws: Aws, *ids: str) -> Desk:
    return await carried(Fake("ses", url=aws.url), *ids, answer_seconds=10.0)


def verified(name: str) -> None:
    boto3.client("sesv2", region_name=REGION).create_email_identity(EmailIdentity=name)


async def test_the_whole_message_arrives_as_it_was_written() -> None:
    async with amazon() as aws:
        verified("hello@shop.example")
        desk = await carried_by(aws, "m_1", "m_2", "m_3")
        kept = ses_backends[ACCOUNT][REGION].sent_messages
    assert aws.unsigned == 0
    ids = [verdict.provider_id for verdict in desk.verdicts.values() if isinstance(verdict, Taken)]
    assert len(set(ids)) == 3
    assert {message.id for message in kept} == set(ids)
    ours = {letter(id_).envelope.content.decode() for id_ in ("m_1", "m_2", "m_3")}
    assert {message.raw_data for message in kept} == ours
    mail = email.message_from_string(kept[0].raw_data, policy=email.policy.default)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_an_address_that_is_not_verified_is_a_refusal_of_the_message() -> None:
    async with amazon() as aws:
        desk = await carried_by(aws, "m_1")
    (verdict,) = desk.verdicts.values()
    assert isinstance(verdict, Declined)
    assert verdict.scope is Scope.MESSAGE
    assert "MessageRejected" in verdict.detail


async def test_an_amazon_that_is_away_has_surely_not_taken_it() -> None:
    async with amazon() as aws:
        gone = aws.url
    desk = await carried(Fake("ses", url=gone), "m_1")
    (verdict,) = desk.verdicts.values()
    assert isinstance(verdict, NotSent)
