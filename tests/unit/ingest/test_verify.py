import base64

import pytest

from chappe_ingest.domain import verify
from tests.unit.ingest.shop import SECRET, signature

BODY = b'{"id":1}'


def sent(*values: str, name: str = "x-shopify-hmac-sha256") -> list[tuple[str, str]]:
    return [(name, value) for value in values]


def test_a_known_vector_verifies() -> None:
    # echo -n '{"id":1}' | openssl dgst -sha256 -hmac key -binary | base64
    assert signature(BODY, "key") == "yVxqfCx8dh6YTGjPZLS8qT8HJCkAqv27Mo07t1qw3LA="
    headers = sent("yVxqfCx8dh6YTGjPZLS8qT8HJCkAqv27Mo07t1qw3LA=")
    assert verify.shopify(BODY, headers, ["key"]).verified


@pytest.mark.parametrize("name", ["x-shopify-hmac-sha256", "shopify-hmac-sha256"])
def test_the_header_is_found_with_and_without_its_prefix(name: str) -> None:
    assert verify.shopify(BODY, sent(signature(BODY), name=name), [SECRET]).verified


@pytest.mark.parametrize("secrets", [["old", SECRET], [SECRET, "old"], [SECRET]])
def test_either_of_two_live_secrets_may_have_signed(secrets: list[str]) -> None:
    assert verify.shopify(BODY, sent(signature(BODY)), secrets).verified


@pytest.mark.parametrize(
    "body", [b"\xef\xbb\xbf{}", b'{ "a" : 1 }\r\n', b'{"a":"\\u00e9"}', b"\xff\xfe\x00", b""]
)
def test_the_bytes_are_verified_and_not_their_meaning(body: bytes) -> None:
    assert verify.shopify(body, sent(signature(body)), [SECRET]).verified
    assert not verify.shopify(body + b" ", sent(signature(body)), [SECRET]).verified


@pytest.mark.parametrize(
    "value",
    ["", " ", "é", "====", "=" * 5000, "A" * 100_000, "zz!!", "v1,a,b", "\u0100", "AAAA"],
)
def test_a_hostile_signature_is_refused_and_never_raises(value: str) -> None:
    verdict = verify.shopify(BODY, sent(value), [SECRET])
    assert not verdict.verified
    assert verdict.reason


def test_a_missing_signature_is_refused_with_the_reason() -> None:
    assert "missing" in (verify.shopify(BODY, [], [SECRET]).reason or "")


def test_a_wrong_secret_is_refused_with_the_reason() -> None:
    verdict = verify.shopify(BODY, sent(signature(BODY, "other")), [SECRET])
    assert "check the secret" in (verdict.reason or "")


def test_an_empty_secret_never_matches() -> None:
    assert not verify.shopify(BODY, sent(signature(BODY, "")), [""]).verified


def test_one_good_signature_among_many_is_enough_but_not_behind_too_many() -> None:
    good = signature(BODY)
    assert verify.shopify(BODY, sent("bad", good), [SECRET]).verified
    assert not verify.shopify(BODY, sent(*["bad"] * 20, good), [SECRET]).verified


@pytest.mark.parametrize("pair", ["wk_1:", "wk_1", "wk_1:ignored"])
def test_a_write_key_comes_as_basic_user_with_or_without_its_colon(pair: str) -> None:
    given = "Basic " + base64.b64encode(pair.encode()).decode()
    assert "wk_1" in verify.write_keys([("authorization", given)])


def test_a_write_key_comes_as_bearer_or_in_the_body() -> None:
    assert verify.write_keys([("authorization", "Bearer wk_1")]) == ("wk_1",)
    assert verify.write_keys([], "wk_1") == ("wk_1",)


@pytest.mark.parametrize("value", ["", "Basic", "Basic é", "Basic " + "=" * 9000, "Bearer ", "x y"])
def test_a_hostile_authorization_offers_no_key_of_ours(value: str) -> None:
    assert "wk_1" not in verify.write_keys([("authorization", value)])
