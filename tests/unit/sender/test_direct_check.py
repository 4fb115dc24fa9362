"""Whether mail can leave directly, before anybody waits for it."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from chappe_sender.application.direct_check import DirectCheck, DirectFault
from chappe_sender.domain.domain_check import NoAnswer
from tests.unit.sender.fake_names import FakeNames

OURS = "8.8.4.4"
HOSTS = ("mx.one.example", "mx.two.example")


@dataclass
class FakeDoor:
    """Greets at the hosts that are named, for any source but those that are shut."""

    open: tuple[str, ...] = HOSTS
    shut: tuple[str, ...] = ()
    knocks: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, str | None]])

    async def greeting(self, host: str, source: str | None = None) -> str:
        self.knocks.append((host, source))
        if host not in self.open or source in self.shut:
            raise NoAnswer(f"{host}:25 says nothing within 8 s")
        return "220 hello"


def direct(**options: str) -> list[dict[str, Any]]:
    given = {"ehlo_name": "Out.shop.example", **options}
    return [{"kind": "smtp", "name": "relay"}, {"kind": "direct", "name": "own", "options": given}]


def names() -> FakeNames:
    return FakeNames({("out.shop.example", "A"): (OURS,), (OURS, "PTR"): ("out.shop.example.",)})


def both() -> FakeNames:
    """Two addresses with the same name."""
    dns = names()
    dns.records["out.shop.example", "A"] = (OURS, "8.8.8.8")
    dns.records["8.8.8.8", "PTR"] = ("out.shop.example.",)
    return dns


async def said(
    providers: list[dict[str, Any]], door: FakeDoor | None = None, dns: FakeNames | None = None
) -> str:
    return await DirectCheck(dns or names(), door or FakeDoor(), HOSTS)(providers)


async def test_without_a_direct_provider_nobody_is_asked() -> None:
    door = FakeDoor()
    assert await said(direct()[:1], door) == "not used"
    assert door.knocks == []


async def test_an_open_port_and_a_name_there_and_back_are_good() -> None:
    door = FakeDoor(open=HOSTS[1:])
    found = await said(direct(source_ips=OURS), door)
    assert found == "own: port 25 is open; out.shop.example, there and back"
    assert {source for _, source in door.knocks} == {OURS}


async def test_a_closed_port_says_what_to_do() -> None:
    with pytest.raises(DirectFault, match="ask yours to open it, or send by a relay"):
        await said(direct(), FakeDoor(open=()))
    with pytest.raises(DirectFault, match=r"from 8\.8\.8\.8"):
        await said(direct(source_ips=f"{OURS} 8.8.8.8"), FakeDoor(shut=("8.8.8.8",)), both())


async def test_a_name_that_is_not_the_ptr_says_whom_to_ask() -> None:
    dns = names()
    dns.records[OURS, "PTR"] = ("static-7.host.example.",)
    with pytest.raises(DirectFault, match=r"called static-7\.host\.example, not out"):
        await said(direct(), dns=dns)
    dns.records[OURS, "PTR"] = ()
    with pytest.raises(DirectFault, match="called nothing"):
        await said(direct(), dns=dns)


async def test_a_name_must_lead_back_to_the_address() -> None:
    dns = names()
    dns.records["out.shop.example", "A"] = ("8.8.8.8",)
    with pytest.raises(DirectFault, match=r"does not lead to 8\.8\.4\.4"):
        await said(direct(source_ips=OURS), dns=dns)
    with pytest.raises(DirectFault, match="has no address"):
        await said(direct(), dns=FakeNames())


async def test_behind_a_translated_address_the_name_is_looked_at_from_outside() -> None:
    found = await said(direct(source_ips="10.0.0.7"))
    assert found.endswith(
        f"out.shop.example is the name of {OURS}; is that the address we send from?"
    )


async def test_dns_that_is_silent_is_no_fault() -> None:
    found = await said(direct(), dns=FakeNames(silent={"out.shop.example"}))
    assert "is not known" in found
