"""Our SES adapter against others' work: botocore signs the same, moto takes the mail."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

import datetime as dt

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from moto import mock_aws
from moto.core.models import botocore_stubber

from chappe.clock import UTC
from chappe.http import OutboundAnswer
from chappe_sender.adapters.providers import Adapter, Draft, account_of, adapter_of, judge
from chappe_sender.adapters.providers.aws import signed_headers
from chappe_sender.domain.outcome import Declined, HandOverError, Scope, Taken
from chappe_sender.domain.providers import Kind
from tests.contract.providers.work import letter, record

REGION = "eu-west-1"
BODY = b'{"Content": {"Raw": {"Data": "UXVvdGVk"}}}'
URL = "https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails"


@pytest.mark.parametrize("body", [b"", BODY, bytes(range(256))])
def test_a_request_is_signed_as_botocore_signs_it(body: bytes) -> None:
    now = dt.datetime.now(UTC)
    ours = signed_headers(
        url=URL,
        body=body,
        headers={"Content-Type": "application/json"},
        access_key="AKIDEXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region=REGION,
        service="ses",
        now=now,
    )
    theirs = AWSRequest("POST", URL, headers={"Content-Type": "application/json"}, data=body)
    theirs.headers["X-Amz-Content-Sha256"] = ours["X-Amz-Content-Sha256"]
    keys = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    signer = SigV4Auth(keys, "ses", REGION)
    theirs.context["timestamp"] = ours["X-Amz-Date"]
    theirs.headers["X-Amz-Date"] = ours["X-Amz-Date"]
    canonical = signer.canonical_request(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, canonical), theirs)
    assert f"Signature={signature}" in ours["Authorization"]


def posted(adapter: Adapter, drafts: list[Draft]) -> list[Taken | HandOverError]:
    """What moto makes of our request, which it is handed as botocore would hand it its own."""
    request = adapter.request(drafts, None, dt.datetime.now(UTC))
    prepared = AWSPreparedRequest(
        "POST", request.url, HTTPHeaders.from_dict(dict(request.headers)), request.body, False
    )
    answer = botocore_stubber("before-send", prepared)
    assert answer is not None, "moto does not know the address"
    headers = {name.lower(): str(value) for name, value in answer.headers.items()}
    return judge(adapter, OutboundAnswer(answer.status_code, headers, answer.content), drafts)


def test_moto_takes_the_mail_of_a_known_identity_and_refuses_another() -> None:
    made = record("ses")
    adapter = adapter_of(account_of(Kind.SES, made.secrets, made.options))
    one = letter("m_1")
    drafts = [Draft("m_1", one.envelope, one.mail, one.header_id)]
    with mock_aws():
        (refused,) = posted(adapter, drafts)
        aws = boto3.client("sesv2", region_name=REGION)
        aws.create_email_identity(EmailIdentity="hello@shop.example")
        (taken,) = posted(adapter, drafts)
    assert isinstance(refused, Declined)
    assert refused.scope is Scope.MESSAGE
    assert isinstance(taken, Taken)
    assert taken.provider_id
