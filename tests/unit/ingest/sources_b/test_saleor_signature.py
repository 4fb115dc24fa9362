import json

import pytest

from chappe_ingest.domain.sources import saleor
from tests.unit.ingest.shop import NOW
from tests.unit.ingest.sources_b.made import (
    b64url,
    detached_jws,
    hex_hmac,
    jwk,
    jwks,
    pem,
    rsa_signature,
)

BODY = b'{"order":{"id":"T3JkZXI6MQ=="},"price":1.10}'


def said(value: str | None, *secrets: str, body: bytes = BODY) -> tuple[bool, str]:
    headers = [] if value is None else [("saleor-signature", value)]
    verdict = saleor.verify(body, headers, secrets, NOW)
    return verdict.verified, verdict.reason or ""


def test_a_detached_signature_verifies_with_the_shop_s_keys() -> None:
    assert said(detached_jws(BODY, "a"), jwks(jwk("b", "b"), jwk("a", "a"))) == (True, "")


def test_the_raw_body_is_signed_and_not_its_meaning() -> None:
    keys = jwks(jwk("a", "a"))
    body = b'\xef\xbb\xbf{ "x" : "\\u00e9" }\r\n\xff'
    assert said(detached_jws(body, "a"), keys, body=body)[0]
    assert not said(detached_jws(body, "a"), keys, body=body + b" ")[0]


def test_a_key_without_a_name_a_single_key_and_a_pem_do_too() -> None:
    token = detached_jws(BODY, "a")
    assert said(token, jwks(jwk("a")))[0]
    assert said(token, json.dumps(jwk("a", "a")))[0]
    assert said(token, pem("a"))[0]


def test_old_and_new_keys_verify_while_they_are_changed() -> None:
    secrets = (jwks(jwk("a", "a")), jwks(jwk("b", "b")))
    assert said(detached_jws(BODY, "a"), *secrets)[0]
    assert said(detached_jws(BODY, "b"), *secrets)[0]


def test_a_key_that_is_not_the_shop_s_is_refused_with_what_to_do() -> None:
    verified, reason = said(detached_jws(BODY, "b"), jwks(jwk("a", "a")))
    assert not verified
    assert "newest JWKS" in reason
    assert "JWKS" in said(detached_jws(BODY, "a"), "a-shared-secret")[1]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"b64": True},
        {"crit": []},
        {"crit": ["b64", "x"]},
    ],
)
def test_the_header_does_not_choose_how_it_is_verified(header: dict[str, object]) -> None:
    assert not said(detached_jws(BODY, "a", **header), jwks(jwk("a", "a")))[0]


def test_a_public_key_is_never_taken_for_a_shared_secret() -> None:
    keys = jwks(jwk("a", "a"))
    assert not said(hex_hmac(BODY, keys), keys)[0]
    assert not said(hex_hmac(BODY, pem("a")), pem("a"))[0]


def test_a_webhook_that_still_has_a_secret_is_an_hmac() -> None:
    assert said(hex_hmac(BODY, "s3cret"), "s3cret")[0]
    assert said(hex_hmac(BODY, "s3cret"), "other", "s3cret")[0]
    assert not said(hex_hmac(BODY, "s3cret"), "other")[0]
    assert not said(hex_hmac(BODY, ""), "")[0]


def test_the_older_header_name_is_read_too() -> None:
    headers = [("x-saleor-signature", hex_hmac(BODY, "s"))]
    assert saleor.verify(BODY, headers, ["s"], NOW).verified


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "..",
        "a..b",
        "é..é",
        "x" * 100_000,
        "x" * 2_000 + "..",
        b64url(b"[]") + "..AAAA",
        b64url(b"{") + "..AAAA",
        b64url(b"\xff") + "..AAAA",
        b64url(b"[" * 2_000) + "..AAAA",
        "abc",
        "zz",
    ],
)
def test_a_hostile_signature_is_refused_and_never_raises(value: str | None) -> None:
    for secret in (jwks(jwk("a", "a")), "shared", pem("a")):
        verified, reason = said(value, secret)
        assert not verified
        assert reason


@pytest.mark.parametrize(
    "secret",
    [
        "{",
        "{}",
        '{"keys":1}',
        '{"keys":[1,null]}',
        '{"keys":[{"kty":"RSA"}]}',
        '{"keys":[{"kty":"RSA","n":1,"e":[]}]}',
        '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}',
        json.dumps({"keys": [jwk("a", "a") | {"e": "Ag"}]}),
        json.dumps({"keys": [jwk("a", "a") | {"alg": "RS512"}]}),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "{" * 100_000,
    ],
)
def test_a_broken_key_document_verifies_nothing_and_never_raises(secret: str) -> None:
    assert not said(detached_jws(BODY, "a"), secret)[0]


def test_an_attached_signature_is_refused() -> None:
    head = b64url(b'{"alg":"RS256"}')
    payload = b64url(BODY)
    signature = b64url(rsa_signature(f"{head}.{payload}".encode(), "a"))
    assert not said(f"{head}.{payload}.{signature}", jwks(jwk("a", "a")))[0]
