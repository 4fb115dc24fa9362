"""The lock files agree with one another, and with what the members ask for."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WHOLE = ROOT / "requirements.lock"
IMAGES = sorted((ROOT / "deploy" / "requirements").glob("*.lock"))
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir())


def pins(lock: Path) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text("utf-8"), re.MULTILINE)
    return {normal(name): version for name, version in found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted_by(member: str) -> set[str]:
    project = tomllib.loads((ROOT / member / "pyproject.toml").read_text("utf-8"))["project"]
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in project["dependencies"])
    return {normal(name[0]) for name in names if name and not name[0].startswith("chappe")}


@pytest.mark.parametrize("lock", [WHOLE, *IMAGES], ids=lambda path: path.stem)
def test_every_pin_has_a_hash_and_no_lock_names_a_host(lock: Path) -> None:
    text = lock.read_text("utf-8")
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "==" in block.splitlines()[0]
        assert "--hash=sha256:" in block
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize("lock", IMAGES, ids=lambda path: path.stem)
def test_an_image_installs_the_versions_that_the_tests_ran_with(lock: Path) -> None:
    assert pins(lock).items() <= pins(WHOLE).items()


def test_every_service_has_an_image_lock() -> None:
    assert [path.stem for path in IMAGES] == sorted([*SERVICES, "all", "build"])


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_lock_has_all_that_its_members_ask_for(service: str) -> None:
    wanted = wanted_by("libs/common") | wanted_by("libs/cli") | wanted_by(f"services/{service}")
    assert wanted <= pins(ROOT / "deploy" / "requirements" / f"{service}.lock").keys(), "make lock"


@pytest.mark.parametrize("member", ["libs/common", "libs/onebox", "libs/cli", "recipes"])
def test_the_whole_lock_has_all_that_a_member_asks_for(member: str) -> None:
    assert wanted_by(member) <= pins(WHOLE).keys(), "make lock"
