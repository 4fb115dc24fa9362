"""Straight to the exchangers: found in DNS, spoken to carefully, no faster than they take it."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chappe_sender.adapters.smtp import Connection, Route, Security, Timeouts
from chappe_sender.adapters.smtp.direct import DirectWayOut
from chappe_sender.adapters.smtp.exchanges import Exchanges, NoMailThere, policy_of
from chappe_sender.application.ports import Work
from chappe_sender.application.quota import Slice
from chappe_sender.domain.domain_check import NoAnswer
from chappe_sender.domain.outcome import Declined, Refused, Reply, Stage
from tests.unit.sender.fake_names import FakeNames
from tests.unit.sender.scripted_smtp import Script, ScriptedServer, scripted
from tests.unit.sender.test_smtp_lanes import Desk, letter
from tests.unit.sender.test_smtp_tls import server_tls as _server_tls

server_tls = _server_tls
QUICK = Timeouts(connect=2, greeting=1, mail=1, rcpt=1, data=1, block=1, verdict=1, quit=0.2)
NOW = 1_000_000.0


class Plenty:
    """A quota that never ends, or gives ``cap`` in all."""

    def __init__(self, cap: int | None = None) -> None:
        self.left = cap

    async def lease(self, key: str, seconds: int, cap: int, most: int) -> Slice:
        if self.left is None or key.startswith("rate/"):
            return Slice(0, most, float(seconds))
        given = min(most, self.left)
        self.left -= given
        return Slice(0, given, float(seconds))

    async def give_back(self, key: str, period: int, unused: int) -> None:
        if self.left is not None and not key.startswith("rate/"):
            self.left += unused


async def no_policy(url: str) -> str | None:
    raise AssertionError(f"nobody asked for {url}")


def exchanges(names: FakeNames, port: int = 25, **more: Any) -> Exchanges:
    route = Route("", port, ehlo_name="out.shop.example", timeouts=QUICK)
    given: dict[str, Any] = {"loopback": True, "fetch": no_policy} | more
    return Exchanges(names=names, route=route, seconds=lambda: NOW, **given)


def zone(exchange: str = "mx.receiver.test") -> FakeNames:
    names = FakeNames()
    names.records["example.com", "MX"] = (f"10 {exchange}.",)
    names.records[exchange, "A"] = ("127.0.0.1",)
    return names


class Nobody:
    """Listens nowhere."""

    port = 1


async def carried(
    server: ScriptedServer | Nobody, names: FakeNames, *named: str, **options: Any
) -> dict[str, Any]:
    clock: Callable[[], float] = asyncio.get_running_loop().time
    desk = Desk([letter(name) for name in named])
    quotas = options.pop("quotas", Plenty())
    way = DirectWayOut(exchanges(names, server.port), quotas, name="p", seconds=clock, **options)
    running = asyncio.create_task(way.run(cast("Work", desk)))
    try:
        async with asyncio.timeout(10):
            await desk.done.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return dict(desk.verdicts)


async def test_mail_goes_to_the_exchanger_under_our_own_name() -> None:
    async with scripted(Script()) as server:
        verdicts = await carried(server, zone(), "a", "b", "c")
    assert all(isinstance(verdict, Reply) for verdict in verdicts.values())
    assert len(server.accepted) == 3
    assert server.commands[0] == "EHLO out.shop.example"


async def test_exchangers_are_tried_in_their_order_and_private_ones_never() -> None:
    names = zone()
    names.records["example.com", "MX"] = ("20 b.test.", "10 a.test.", "5 inside.test.")
    names.records["a.test", "A"] = ("8.8.8.8", "8.8.4.4")
    names.records["b.test", "A"] = ("9.9.9.9",)
    names.records["inside.test", "A"] = ("10.0.0.1",)
    found = await exchanges(names, loopback=False).of("example.com")
    assert [route.connect_to for route in found.routes] == ["8.8.8.8", "8.8.4.4", "9.9.9.9"]


async def test_a_null_mx_and_a_missing_domain_are_final_and_silence_is_not() -> None:
    names = FakeNames(silent={"slow.test"})
    names.records["null.test", "MX"] = ("0 .",)
    with pytest.raises(NoMailThere) as never:
        await exchanges(names).of("null.test")
    assert never.value.reply.enhanced == "5.1.10"
    with pytest.raises(NoMailThere):
        await exchanges(names).of("nowhere.test")
    with pytest.raises(NoAnswer):
        await exchanges(names).of("slow.test")


async def test_without_mx_the_domain_itself_takes_the_mail() -> None:
    names = FakeNames()
    names.records["example.com", "A"] = ("8.8.8.8",)
    found = await exchanges(names).of("example.com")
    assert [route.host for route in found.routes] == ["example.com"]


async def test_an_enforced_sts_policy_leaves_out_strangers_and_insists_on_tls() -> None:
    names = zone()
    names.records["example.com", "MX"] = ("5 evil.test.", "10 mx.receiver.test.")
    names.records["evil.test", "A"] = ("127.0.0.1",)
    names.publish({"_mta-sts.example.com": "v=STSv1; id=1"})

    async def fetch(url: str) -> str | None:
        assert url == "https://mta-sts.example.com/.well-known/mta-sts.txt"
        return "version: STSv1\nmode: enforce\nmx: *.receiver.test\nmax_age: 86400\n"

    found = await exchanges(names, fetch=fetch).of("example.com")
    assert [(r.host, r.security) for r in found.routes] == [("mx.receiver.test", Security.REQUIRE)]


def test_what_is_no_sts_policy_is_none() -> None:
    assert policy_of("mode: enforce\nmax_age: 1") is None
    assert policy_of("version: STSv1\nmode: enforce\nmx: a.test") is None


async def test_dane_pins_the_certificate_only_where_the_resolver_vouches(
    server_tls: ssl.SSLContext,
) -> None:
    async with scripted(Script(features=("STARTTLS",), tls=server_tls)) as server:
        names = zone()
        names.records["_25._tcp.mx.receiver.test", "TLSA"] = ("3 0 1 " + "00" * 32,)
        names.signed = True
        refused = await carried(server, names, "a")
        assert isinstance(refused["a"], Declined)
        assert "certificate" in refused["a"].detail
        names.signed = False
        taken = await carried(server, names, "b")
        assert isinstance(taken["b"], Reply)


async def test_the_certificate_that_dns_names_is_trusted(server_tls: ssl.SSLContext) -> None:
    async with scripted(Script(features=("STARTTLS",), tls=server_tls)) as server:
        open_ = await Connection.open(
            Route("127.0.0.1", server.port, security=Security.ENCRYPT, timeouts=QUICK)
        )
        certificate = open_._wire.certificate
        open_.abort()
        assert certificate is not None
        public = x509.load_der_x509_certificate(certificate).public_key()
        key = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        digest = hashlib.sha256(key).hexdigest()
    names = zone()
    async with scripted(Script(features=("STARTTLS",), tls=server_tls)) as server:
        names.records["_25._tcp.mx.receiver.test", "TLSA"] = (f"3 1 1 {digest}",)
        names.signed = True
        taken = await carried(server, names, "a")
        assert isinstance(taken["a"], Reply)


async def test_a_site_that_pushes_back_rests_and_nothing_is_lost() -> None:
    slow = Script(answers={"MAIL": "421 4.7.0 [TSS04] Messages temporarily deferred"})
    async with scripted(slow) as server:
        verdicts = await carried(server, zone("mx.yahoodns.net"), "a", "b", "c", "d")
    assert all(isinstance(verdict, Declined) for verdict in verdicts.values())
    assert max(v.retry_after for v in verdicts.values()) >= 3_000


async def test_an_unreachable_site_postpones_its_own_mail_only() -> None:
    verdicts = await carried(Nobody(), zone(), "a")
    assert isinstance(verdicts["a"], Declined)
    assert verdicts["a"].retry_after is not None


async def test_a_domain_that_takes_no_mail_is_a_refusal_of_the_recipient() -> None:
    names = FakeNames()
    names.records["example.com", "MX"] = ("0 .",)
    async with scripted(Script()) as server:
        verdicts = await carried(server, names, "a")
    assert isinstance(verdicts["a"], Refused)
    assert verdicts["a"].stage is Stage.RCPT
    assert verdicts["a"].permanent


async def test_a_new_address_sends_a_site_no_more_than_its_daily_cap() -> None:
    async with scripted(Script()) as server:
        verdicts = await carried(server, zone(), "a", "b", "c", quotas=Plenty(2), per_day=2)
    taken = [name for name, verdict in verdicts.items() if isinstance(verdict, Reply)]
    assert len(taken) == 2
