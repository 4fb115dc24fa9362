"""A start that cannot be: one sentence that says what to do, and 2 or 3."""

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.box import FREE_PORTS, NOTHING, Box, chappe


def _refused(*words: str, code: int = 2, env: Mapping[str, str] = NOTHING) -> str:
    refused = chappe(*words, env=env)
    assert refused.returncode == code, refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    said = [line for line in refused.stderr.splitlines() if line.startswith("chappe")]
    assert len(said) == 1, refused.stderr
    return said[0]


@pytest.mark.parametrize("option", ["--port", "--inbox-port", "--smtp-port"])
def test_a_taken_port_says_which_option_to_change(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        words = [*FREE_PORTS]
        words[words.index(option) + 1] = str(port)
        said = _refused("up", "--data", str(tmp_path / "data"), *words)
    assert f"port {port} is taken" in said
    assert option in said


def test_a_directory_in_use_names_the_process(box: Box) -> None:
    said = _refused("up", "--data", str(box.data), *FREE_PORTS)
    assert f"in use by another `chappe up` (process {box.process.pid})" in said
    assert "--data" in said
    assert box.api("GET", "/readyz").status_code == 200  # and that one lives on


def test_a_directory_of_a_newer_version_says_so(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("99\n")
    said = _refused("up", "--data", str(tmp_path), *FREE_PORTS)
    assert "written by a newer Chappe (layout 99" in said


def test_a_misspelt_setting_is_refused_with_the_right_name(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    said = _refused("up", "--data", data, *FREE_PORTS, env={"CHAPPE_KAFKA_BOTSTRAP": "x:9"})
    assert "did you mean CHAPPE_KAFKA_BOOTSTRAP?" in said
    assert not (tmp_path / "data").exists()


def test_a_broker_that_is_not_there_is_never_replaced_by_the_embedded_log(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    env = {"CHAPPE_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    assert "127.0.0.1:1" in _refused("up", "--data", data, *FREE_PORTS, code=3, env=env)


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    env = {"CHAPPE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    said = _refused("up", "--data", data, *FREE_PORTS, code=3, env=env)
    assert "check CHAPPE_DATABASE_URL" in said


def test_the_demo_writes_to_no_real_mail_server(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    env = {"CHAPPE_SMTP_URL": "smtp://mail.example.com:25"}
    said = _refused("up", "--data", data, "--demo", *FREE_PORTS, env=env)
    assert "leads to mail.example.com" in said


def test_a_service_alone_needs_a_database() -> None:
    assert "CHAPPE_DATABASE_URL is not set" in _refused("run", "ingest", "--port", "0")
    assert "there is no service nonsense" in _refused("run", "nonsense", "--port", "0")
