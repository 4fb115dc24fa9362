"""The Makefile has the targets that people's fingers know, and set-up knows every member."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = (
    *("demo", "test", "setup", "check", "format", "generate", "lock"),
    *("kafka", "kafka-stop", "bench", "chaos"),
)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_sets_up_first_and_says_what_it_does(target: str) -> None:
    line = re.search(rf"^{target}:(?P<needs>.*?)## (?P<says>.+)$", MAKEFILE, re.MULTILINE)
    assert line is not None
    assert target == "setup" or line["needs"].split() == ["setup"]


def test_set_up_knows_every_member() -> None:
    text = (ROOT / "scripts" / "setup.py").read_text("utf-8")
    members = {
        str(path.parent.relative_to(ROOT))
        for pattern in ("libs/*", "services/*", "recipes")
        for path in ROOT.glob(f"{pattern}/pyproject.toml")
    }
    listed = re.findall(r'^    "([a-z/]+)",$', text, re.MULTILINE)
    assert set(listed) == members


def test_ci_is_a_script_that_bash_understands() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)


def test_a_free_broker_port_is_never_one_that_clients_are_lent() -> None:
    from chappe.testing.kafka import TEST_PORTS, free_port  # noqa: PLC0415 - only this test

    assert free_port() in TEST_PORTS
    lent = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if sys.platform == "linux" and lent.exists():
        assert TEST_PORTS.stop <= int(lent.read_text().split()[0])
