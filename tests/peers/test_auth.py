"""Logging in at real servers: Postfix with Cyrus SASL, and one that takes tokens."""

import ssl
from pathlib import Path

import pytest

from chappe_sender.adapters.smtp import Security, route_of
from chappe_sender.application.trial import told
from chappe_sender.domain.outcome import NotSent, Refused, Stage
from tests.peers.authority import HOST, Authority
from tests.peers.mails import route, sample, send
from tests.peers.postfix import PASSWORD, USER, Postfix
from tests.peers.token_server import EXPIRED, GOOD, TokenServer, token_server

pytestmark = pytest.mark.peers

LOGIN = {"username": USER, "password": PASSWORD}


@pytest.fixture
def server_tls(certificates: Authority, tmp_path: Path) -> ssl.SSLContext:
    pem = tmp_path / "server.pem"
    pem.write_bytes(certificates.server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.parametrize("auth", [None, "plain", "login", "cram-md5"])
async def test_postfix_lets_us_in_under_tls(
    mx: Postfix, trusted: Authority, auth: str | None
) -> None:
    mails = [sample() for _ in range(2)]
    before = len(mx.log)
    await send(route(mx.ports["submission"], Security.REQUIRE, auth=auth, **LOGIN), *mails)
    for mail in mails:
        assert mx.delivered(mail.name) == mail.envelope.content
    said = mx.log[before:]
    assert f"sasl_method={(auth or 'plain').upper()}, sasl_username={USER}" in said
    assert PASSWORD not in said


async def test_the_url_of_an_operator_logs_in_as_well(mx: Postfix, trusted: Authority) -> None:
    mail = sample()
    port = mx.ports["submission"]
    where = route_of(
        f"smtp://tom%40shop.example:correct%20horse%20%26%20b%C3%A4tter%C3%BF%205"
        f"@{HOST}:{port}?starttls=require"
    )
    await send(where, mail)
    assert mx.delivered(mail.name) == mail.envelope.content


@pytest.mark.parametrize("auth", ["plain", "login", "cram-md5"])
async def test_a_wrong_password_is_refused_and_in_no_message(
    mx: Postfix, trusted: Authority, auth: str
) -> None:
    where = route(
        mx.ports["submission"], Security.REQUIRE, auth=auth, username=USER, password="hunter22"
    )
    with pytest.raises(Refused) as caught:
        await send(where, sample())
    assert (caught.value.stage, caught.value.reply.enhanced) == (Stage.AUTH, "5.7.8")
    shown = f"{caught.value!r} {told(caught.value, 'hello@shop.example')} {where!r}"
    assert "hunter22" not in shown
    assert "aHVudGVyMjI" not in shown


async def test_without_a_login_postfix_relays_nothing(mx: Postfix, trusted: Authority) -> None:
    with pytest.raises(Refused) as caught:
        await send(route(mx.ports["submission"], Security.REQUIRE), sample())
    assert caught.value.stage in {Stage.MAIL, Stage.RCPT}


# -- in clear -------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["plain", "login"])
async def test_no_password_goes_in_clear_by_itself(mx: Postfix, auth: str) -> None:
    before = len(mx.log)
    where = route(mx.ports["in_clear"], Security.OPPORTUNISTIC, auth=auth, **LOGIN)
    with pytest.raises(NotSent) as caught:
        await send(where, sample())
    assert caught.value.stage is Stage.AUTH
    assert "starttls=never" in caught.value.detail
    assert "auth=" not in mx.log[before:]


async def test_without_tls_it_is_cram_md5_that_is_chosen(mx: Postfix) -> None:
    mail = sample()
    before = len(mx.log)
    await send(route(mx.ports["in_clear"], Security.OPPORTUNISTIC, **LOGIN), mail)
    assert mx.delivered(mail.name) == mail.envelope.content
    assert "sasl_method=CRAM-MD5" in mx.log[before:]


@pytest.mark.parametrize("auth", ["plain", "login"])
async def test_a_password_goes_in_clear_where_the_operator_says_so(mx: Postfix, auth: str) -> None:
    mail = sample()
    await send(route(mx.ports["in_clear"], Security.NONE, auth=auth, **LOGIN), mail)
    assert mx.delivered(mail.name) == mail.envelope.content


# -- tokens ---------------------------------------------------------------------------------------


async def with_token(server: TokenServer, token: str, security: Security) -> None:
    where = route(server.port, security, username=USER, password=token, auth="xoauth2")
    await send(where, sample())


async def test_a_token_opens_the_door(server_tls: ssl.SSLContext, trusted: Authority) -> None:
    async with token_server(server_tls) as server:
        await with_token(server, GOOD, Security.REQUIRE)
    assert (server.heard, len(server.mails)) == ([GOOD], 1)


@pytest.mark.parametrize(("token", "status"), [(EXPIRED, "401"), ("ya29.wrong", "400")])
async def test_a_refused_token_is_told_with_its_reason_and_without_itself(
    server_tls: ssl.SSLContext, trusted: Authority, token: str, status: str
) -> None:
    """The challenge that says why must be answered, or the server waits for ever."""
    async with token_server(server_tls) as server:
        with pytest.raises(Refused) as caught:
            await with_token(server, token, Security.REQUIRE)
    assert server.answered == [b""]
    error = caught.value
    assert (error.stage, error.reply.code, error.reply.enhanced) == (Stage.AUTH, 535, "5.7.8")
    assert f"(status {status})" in str(error)
    assert token not in f"{error!r} {told(error, 'hello@shop.example')}"
    assert server.mails == []


async def test_no_token_goes_in_clear_by_itself() -> None:
    async with token_server(None, in_clear=True) as server:
        with pytest.raises(NotSent) as caught:
            await with_token(server, GOOD, Security.OPPORTUNISTIC)
    assert "starttls=never" in caught.value.detail
    assert server.heard == []
