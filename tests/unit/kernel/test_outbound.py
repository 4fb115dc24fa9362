"""We ask the public Internet, and nobody makes us ask our own network."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chappe.http.outbound import Outbound, OutboundRefused, OutboundUnreachable
from chappe.http.outbound_addresses import is_public

NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:a00:1::1",
    "2002:7f00:1::",
    "2001:0:4136:e378::1",
    "2001:db8::1",
    "100::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"]


def answers(*addresses: str) -> "Resolver":
    return Resolver([list(addresses)])


class Resolver:
    """Says the given answers one after the other, the last one for ever."""

    def __init__(self, rounds: list[list[str]]) -> None:
        self.rounds = rounds
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        assert port > 0
        self.asked.append(host)
        return self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]


@asynccontextmanager
async def server(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncGenerator["Served"]:
    """A server on loopback that says the same to everybody, and then closes."""
    served = Served()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        try:
            served.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    served.port = listening.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        listening.close()


class Served:
    port = 0
    connections = 0

    def __init__(self) -> None:
        self.heads: list[bytes] = []


@asynccontextmanager
async def client(
    *,
    allow_loopback: bool = True,
    resolve: Resolver | None = None,
    tls: ssl.SSLContext | None = None,
    timeout_seconds: float = 5,
) -> AsyncGenerator[Outbound]:
    made = Outbound(
        allow_loopback=allow_loopback,
        resolve=resolve or answers("127.0.0.1"),
        tls=tls,
        timeout_seconds=timeout_seconds,
    )
    try:
        yield made
    finally:
        await made.aclose()


OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nX-Shop: Ada\r\n\r\nok"


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_of_ours_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text.split("%", maxsplit=1)[0]))


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
async def test_a_name_that_points_into_our_network_is_not_asked(text: str) -> None:
    async with client(allow_loopback=False, resolve=answers(text)) as outbound:
        with pytest.raises(OutboundRefused, match="not a public address"):
            await outbound.request("GET", "https://shop.example/")


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async with client(allow_loopback=False, resolve=answers("8.8.8.8", "10.0.0.1")) as outbound:
        with pytest.raises(OutboundRefused, match=r"10\.0\.0\.1"):
            await outbound.request("GET", "https://shop.example/")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
async def test_a_private_address_written_out_is_refused(host: str) -> None:
    async with client(allow_loopback=False) as outbound:
        with pytest.raises(OutboundRefused, match="not a public address"):
            await outbound.request("GET", f"https://{host}/latest/meta-data")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://shop.example/", "only https"),
        ("ftp://shop.example/", "only https"),
        ("file:///etc/passwd", "only https"),
        ("shop.example/orders", "only https"),
        ("https:///orders", "no host"),
        ("https://ada:secret@shop.example/", "user or a password"),
        ("https://@shop.example/", "user or a password"),
        ("https://shop.example/\r\nX: y", "not an address"),
        ("https://shop.example/" + "a" * 9_000, "longer than"),
    ],
)
async def test_an_address_that_breaks_a_rule_is_refused_in_words(url: str, why: str) -> None:
    async with client(allow_loopback=False) as outbound:
        with pytest.raises(OutboundRefused, match=why) as refused:
            await outbound.request("GET", url)
        assert "secret" not in str(refused.value)


async def test_a_port_other_than_443_is_not_asked_on_the_internet() -> None:
    async with client(resolve=answers("8.8.8.8")) as outbound:
        with pytest.raises(OutboundRefused, match="port 8443"):
            await outbound.request("GET", "https://shop.example:8443/")


async def test_loopback_allowed_does_not_allow_plain_http_elsewhere() -> None:
    async with client(resolve=answers("8.8.8.8")) as outbound:
        with pytest.raises(OutboundRefused, match="https only"):
            await outbound.request("GET", "http://shop.example/")


async def test_a_header_that_is_ours_to_set_is_refused() -> None:
    async with client() as outbound:
        with pytest.raises(OutboundRefused, match="Host"):
            await outbound.request("GET", "http://shop.test:9/", headers={"Host": "other"})


async def test_a_header_with_a_line_break_is_refused() -> None:
    async with server(OK) as shop, client() as outbound:
        with pytest.raises(OutboundRefused, match="not valid HTTP"):
            await outbound.request(
                "GET", f"http://shop.test:{shop.port}/", headers={"X-A": "b\r\nX-C: d"}
            )


async def test_an_answer_comes_back_with_its_headers() -> None:
    async with server(OK) as shop, client() as outbound:
        answer = await outbound.request(
            "GET", f"http://shop.test:{shop.port}/orders?id=1", headers={"X-Auth-Token": "t"}
        )
        assert (answer.status, answer.body, answer.truncated) == (200, b"ok", False)
        assert answer.headers["x-shop"] == "Ada"
        head = shop.heads[0].decode().lower()
        assert head.startswith("get /orders?id=1 http/1.1\r\n")
        assert f"host: shop.test:{shop.port}\r\n" in head
        assert "x-auth-token: t\r\n" in head


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    async with server(moved) as shop, client() as outbound:
        answer = await outbound.request("GET", f"http://shop.test:{shop.port}/")
        assert answer.status == 302
        assert shop.connections == 1


async def test_a_body_is_read_no_further_than_its_limit() -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000
    async with server(endless) as shop, client() as outbound:
        answer = await outbound.request("GET", f"http://shop.test:{shop.port}/", limit_bytes=1_000)
        assert len(answer.body) == 1_000
        assert answer.truncated


async def test_a_body_of_exactly_the_limit_is_whole() -> None:
    async with server(OK) as shop, client() as outbound:
        answer = await outbound.request("GET", f"http://shop.test:{shop.port}/", limit_bytes=2)
        assert (answer.body, answer.truncated) == (b"ok", False)


async def test_endless_headers_are_no_answer() -> None:
    flood = b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"y" * 90_000 + b"\r\n\r\n"
    async with server(flood) as shop, client() as outbound:
        with pytest.raises(OutboundUnreachable, match="bytes of headers"):
            await outbound.request("GET", f"http://shop.test:{shop.port}/")


async def test_a_compressed_body_nobody_asked_for_is_no_answer() -> None:
    squeezed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"
    async with server(squeezed) as shop, client() as outbound:
        with pytest.raises(OutboundUnreachable, match="gzip"):
            await outbound.request("GET", f"http://shop.test:{shop.port}/")


async def test_a_server_that_says_nothing_is_left_at_the_deadline() -> None:
    silence = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silence.wait()
        writer.close()

    listening = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with client(timeout_seconds=0.2) as outbound:
        with pytest.raises(OutboundUnreachable, match=r"did not answer within 0\.2 s") as late:
            await outbound.request("GET", f"http://shop.test:{port}/")
        assert late.value.sent
    silence.set()
    listening.close()


async def test_a_closed_port_is_known_to_have_received_nothing() -> None:
    async with server(OK) as shop:
        port = shop.port
    async with client() as outbound:
        with pytest.raises(OutboundUnreachable) as away:
            await outbound.request("POST", f"http://shop.test:{port}/", content=b"{}")
        assert not away.value.sent


async def test_a_server_that_hangs_up_may_have_received_it() -> None:
    async with server(b"") as shop, client() as outbound:
        with pytest.raises(OutboundUnreachable) as away:
            await outbound.request("POST", f"http://shop.test:{shop.port}/", content=b"{}")
        assert away.value.sent


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    async with client(resolve=answers()) as outbound:
        with pytest.raises(OutboundUnreachable, match="no address") as away:
            await outbound.request("GET", "https://shop.example/")
        assert not away.value.sent


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate for one name: what the server shows, and the client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins.replace(year=2099))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "both.pem"
    pem.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.load_cert_chain(pem)
    trusts = ssl.create_default_context()
    trusts.load_verify_locations(pem)
    return shows, trusts


async def test_the_certificate_is_checked_against_the_name_and_the_name_is_asked_once(
    tmp_path: Path,
) -> None:
    """The second answer would be another machine: rebinding finds nobody asking."""
    shows, trusts = certificate(tmp_path, "shop.test")
    resolve = Resolver([["127.0.0.1"], ["10.0.0.1"]])
    async with server(OK, shows) as shop, client(resolve=resolve, tls=trusts) as outbound:
        answer = await outbound.request("GET", f"https://shop.test:{shop.port}/")
        assert answer.status == 200
        assert resolve.asked == ["shop.test"]
        with pytest.raises(OutboundRefused, match=r"10\.0\.0\.1"):
            await outbound.request("GET", f"https://shop.test:{shop.port}/")


async def test_a_certificate_for_another_name_is_no_answer(tmp_path: Path) -> None:
    shows, trusts = certificate(tmp_path, "shop.test")
    async with server(OK, shows) as shop, client(tls=trusts) as outbound:
        with pytest.raises(OutboundUnreachable, match=r"other\.test") as away:
            await outbound.request("GET", f"https://other.test:{shop.port}/")
        assert not away.value.sent
