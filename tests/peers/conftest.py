"""The real programs, started once per run. They are mandatory in CI and skipped where absent."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.peers.authority import Authority, authority
from tests.peers.postfix import Postfix, postfix
from tests.peers.programs import free_port, unavailable
from tests.peers.sink import Sink, sink


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Run where the programs are; in CI they must be."""
    if item.get_closest_marker("peers") is None:
        return
    reason = unavailable()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(f"The tests against real peers are mandatory in CI, and cannot run: {reason}")
    if reason is not None:
        pytest.skip(reason)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the product runs on, whose sockets and TLS are not asyncio's."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificates() -> Authority:
    return authority()


@pytest.fixture
def trusted(certificates: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Our side trusts the tests' authority, the way that an operator makes it trust his own."""
    bundle = tmp_path / "authority.pem"
    bundle.write_bytes(certificates.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    return certificates


@pytest.fixture(scope="session")
def next_hop() -> Iterator[Sink]:
    """Where Postfix hands on mail for ``next.example``."""
    with sink(free_port(), dump=True) as server:
        yield server


@pytest.fixture(scope="session")
def mx(certificates: Authority, next_hop: Sink) -> Iterator[Postfix]:
    with postfix(certificates, next_hop.port) as server:
        yield server
