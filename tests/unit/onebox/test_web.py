import asyncpg
import pytest

from chappe.broker import BrokerMismatch, BrokerUnavailable
from chappe.postgres import DatabaseUnavailable
from chappe_onebox.box.failures import CannotStart
from chappe_onebox.box.refusals import refusal
from chappe_onebox.box.web import is_loopback, listen, port_of, url_of


def test_a_taken_port_says_which_and_what_to_do() -> None:
    with listen("127.0.0.1", 0, "--port") as held:
        port = port_of(held)
        with pytest.raises(CannotStart, match=rf"port {port} is taken: .* with --port \(0 takes"):
            listen("127.0.0.1", port, "--port")


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(CannotStart, match=r"cannot listen on 192\.0\.2\.1:0 .*see --host"):
        listen("192.0.2.1", 0, "--port")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_urls_are_for_people_on_this_machine(host: str, url: str) -> None:
    assert url_of(host, 80) == url


def test_loopback_is_this_machine_alone() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "192.0.2.1", "mail.example", ""))


def test_what_cannot_be_reached_is_three_and_what_does_not_fit_is_two() -> None:
    def code(error: BaseException) -> int | None:
        found = refusal(error)
        return None if found is None else found.code

    assert code(DatabaseUnavailable("away")) == 3
    assert code(BrokerUnavailable("away")) == 3
    assert code(BrokerMismatch("foreign")) == 2
    assert code(asyncpg.DiskFullError("full")) == 2
    assert code(BaseExceptionGroup("all", [CannotStart("no")])) == 2
    assert code(ZeroDivisionError()) is None
    assert code(BaseExceptionGroup("all", [CannotStart("no"), ZeroDivisionError()])) is None
