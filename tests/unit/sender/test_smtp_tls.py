"""TLS: taken when offered, insisted on when required, and never with a stranger then."""

import dataclasses
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chappe_sender.adapters.smtp import Connection, Route, Security, Timeouts, route_of
from chappe_sender.adapters.smtp.route import RouteError
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.outcome import NotSent, Stage
from tests.unit.sender.scripted_smtp import Script, ScriptedServer, scripted

QUICK = Timeouts(connect=2, greeting=2, mail=2, rcpt=2, data=2, block=2, verdict=2)
MAIL = Envelope("shop@shop.example", "zoe@example.com", b"hello\r\n")


@pytest.fixture(scope="module")
def server_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side, with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    pem = Path(tmp_path_factory.mktemp("tls")) / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def route(server: ScriptedServer, security: Security) -> Route:
    return Route("127.0.0.1", server.port, security=security, timeouts=QUICK)


async def test_tls_is_taken_where_it_is_offered_and_the_server_asked_again(
    server_tls: ssl.SSLContext,
) -> None:
    script = Script(features=("STARTTLS",), tls=server_tls)
    async with scripted(script) as server:
        connection = await Connection.open(route(server, Security.OPPORTUNISTIC))
        assert connection.features.pipelining
        await connection.begin(MAIL)
        await connection.finish(MAIL)
        await connection.quit()
    assert server.accepted == [b"hello\r\n"]
    assert [line for line in server.commands if line.startswith("EHLO")] == ["EHLO localhost"] * 2


@pytest.fixture
def broken_tls() -> ssl.SSLContext:
    """A server's side without a certificate: no handshake ends well."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


async def test_opportunistic_tls_that_fails_is_done_without(broken_tls: ssl.SSLContext) -> None:
    async with scripted(Script(features=("STARTTLS",), tls=broken_tls)) as server:
        connection = await Connection.open(route(server, Security.OPPORTUNISTIC))
        await connection.begin(MAIL)
        await connection.finish(MAIL)
        await connection.quit()
    assert server.accepted == [b"hello\r\n"]
    assert server.connections == 2


@pytest.mark.parametrize("security", [Security.REQUIRE, Security.ENCRYPT])
async def test_tls_that_is_asked_for_and_fails_means_no_mail(
    broken_tls: ssl.SSLContext, security: Security
) -> None:
    async with scripted(Script(features=("STARTTLS",), tls=broken_tls)) as server:
        with pytest.raises(NotSent) as caught:
            await Connection.open(route(server, security))
    assert (caught.value.stage, server.connections) == (Stage.TLS, 1)


async def test_where_tls_fails_no_password_is_sent(broken_tls: ssl.SSLContext) -> None:
    script = Script(features=("STARTTLS", "AUTH PLAIN"), tls=broken_tls)
    async with scripted(script) as server:
        where = dataclasses.replace(
            route(server, Security.OPPORTUNISTIC), username="tom", password="hunter22"
        )
        with pytest.raises(NotSent) as caught:
            await Connection.open(where)
    assert caught.value.stage is Stage.AUTH
    assert not any(command.startswith("AUTH") for command in server.commands)


@pytest.mark.parametrize("security", [Security.REQUIRE, Security.IMPLICIT])
async def test_required_tls_is_not_spoken_with_a_stranger(
    server_tls: ssl.SSLContext, security: Security
) -> None:
    implicit = server_tls if security is Security.IMPLICIT else None
    script = Script(features=("STARTTLS",), tls=server_tls)
    async with scripted(script, implicit_tls=implicit) as server:
        with pytest.raises(NotSent) as caught:
            await Connection.open(route(server, security))
    assert caught.value.stage in {Stage.TLS, Stage.CONNECT}
    assert "certificate" in caught.value.detail.lower()
    assert server.accepted == []


@pytest.mark.parametrize(
    ("url", "port", "security"),
    [
        ("smtp://mail.example", 25, Security.OPPORTUNISTIC),
        ("smtp://mail.example:587?starttls=require", 587, Security.REQUIRE),
        ("smtp://mail.example?starttls=never", 25, Security.NONE),
        ("smtps://mail.example", 465, Security.IMPLICIT),
    ],
)
def test_the_url_says_how_the_way_out_is_protected(url: str, port: int, security: Security) -> None:
    made = route_of(url)
    assert (made.host, made.port, made.security) == ("mail.example", port, security)


def test_the_url_says_how_many_connections_there_may_be() -> None:
    assert route_of("smtp://x").connections == 16
    assert route_of("smtp://x?connections=32").connections == 32


def test_the_url_carries_a_login_that_is_never_shown() -> None:
    made = route_of("smtp://tom%40x:p%3Ass@mail.example")
    assert (made.username, made.password) == ("tom@x", "p:ss")
    assert "p:ss" not in repr(made)


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "http://x", "smtp://", "smtp://x:y", "smtp://x/y", "smtp://x?a=b",
     "smtp://x?starttls=maybe", "smtp://x?connections=0", "smtp://x?connections=101",
     "smtp://x?connections=many"],
)  # fmt: skip
def test_a_url_that_cannot_be_used_says_why(url: str) -> None:
    with pytest.raises(RouteError, match="CHAPPE_SMTP_URL"):
        route_of(url)
