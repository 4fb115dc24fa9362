"""The compose file says what an operator expects of it, read where no engine runs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("analytics", "ingest", "orchestrator", "resolver", "sender")
BIN = Path(sys.executable).parent

each_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_of_ours = pytest.mark.parametrize("name", OURS)


def test_it_is_a_valid_compose_file() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_passes_hadolint() -> None:
    command = [BIN / "hadolint", ROOT / "deploy" / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@each_service
def test_an_image_is_pinned_to_a_full_version(name: str) -> None:
    _image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert re.match(r"v?\d+\.\d+", tag), SERVICES[name]["image"]


@each_service
def test_a_container_is_not_root_and_cannot_become_it(name: str) -> None:
    service = SERVICES[name]
    assert int(service["user"].split(":")[0]) > 0
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["cap_drop"] == ["ALL"]


@each_service
def test_a_container_cannot_write_to_its_image(name: str) -> None:
    assert SERVICES[name]["read_only"] is (name != "kafka")


@each_service
def test_a_container_says_when_it_is_well(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check == {"disable": True} if name == "migrate" else check["test"][0] == "CMD"


@each_of_ours
def test_a_service_starts_as_the_command_starts_it(name: str) -> None:
    command = ["chappe", "run", name, "--host", "0.0.0.0", "--port", "8000"]
    assert SERVICES[name]["command"] == command
    assert ":8000/readyz" in " ".join(SERVICES[name]["healthcheck"]["test"])


@each_of_ours
def test_a_service_waits_for_what_it_stands_on(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
        "postgres": {"condition": "service_healthy"},
    }


def test_the_edge_keeps_its_spool_on_a_volume() -> None:
    volume, _, target = SERVICES["ingest"]["volumes"][0].partition(":")
    assert volume in COMPOSE["volumes"]
    assert target == SERVICES["ingest"]["environment"]["CHAPPE_DATA"]


@each_service
def test_what_is_published_listens_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+", port)


@each_service
def test_what_is_mounted_or_built_exists(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / source).exists()
    if build := service.get("build"):
        assert (ROOT / build["dockerfile"]).is_file()
        assert (ROOT / "deploy" / "requirements" / f"{build['args']['SERVICE']}.lock").is_file()


def test_the_example_environment_has_every_variable_and_no_other() -> None:
    text = FILE.read_text("utf-8")
    used = set(re.findall(r"\$\{([A-Z_]+)", text))
    example = (ROOT / ".env.example").read_text("utf-8")
    assert set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)) == used


def test_the_defaults_are_those_of_the_example() -> None:
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text("utf-8").splitlines()
        if re.match(r"[A-Z_]+=", line)
    )
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", FILE.read_text("utf-8")))
    assert {name: example[name] for name in defaults} == defaults


def test_a_secret_has_no_default() -> None:
    text = FILE.read_text("utf-8")
    for name in re.findall(r"\$\{([A-Z_]+):-", text):
        assert not re.search(r"PASSWORD|TOKEN|SECRET", name)


def test_observability_stays_out_of_the_way_until_asked_for() -> None:
    behind = {name for name, service in SERVICES.items() if "profiles" in service}
    assert behind == {"grafana", "prometheus"}


def test_returned_mail_is_taken_where_the_proxy_hands_it_on() -> None:
    taken = SERVICES["ingest"]["environment"]
    assert taken["CHAPPE_BOUNCE_SMTP_HOST"] == "0.0.0.0"
    assert f":{taken['CHAPPE_BOUNCE_SMTP_PORT']}" in SERVICES["proxy"]["ports"][1]
    for name in OURS:
        assert SERVICES[name]["environment"]["CHAPPE_BOUNCE_DOMAIN"] is None
    assert "CHAPPE_BOUNCE_SMTP_PORT" not in SERVICES["sender"]["environment"]


def test_every_setting_is_one_that_chappe_knows() -> None:
    from chappe.settings import check_names  # noqa: PLC0415 - only this test needs the kernel

    check_names(dict.fromkeys(SERVICES["ingest"]["environment"], "x"))
