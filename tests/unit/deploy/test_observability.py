"""Prometheus and Grafana look at metrics that exist, in files that fit together."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "chappe.json").read_text("utf-8"))
DATASOURCES = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())
PROVIDERS = yaml.safe_load((GRAFANA / "provisioning/dashboards/chappe.yaml").read_text())
SCRAPES = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SHARDED = ("analytics", "orchestrator", "resolver", "sender")


def defined_metrics() -> set[str]:
    """Read the names out of the metrics files: importing them all would register them twice."""
    shards = (ROOT / "libs/common/src/chappe/shards/metrics.py").read_text("utf-8")
    suffixes = re.findall(r'f"\{name\}_(\w+)"', shards)
    names = {f"chappe_{service}_{suffix}" for service in SHARDED for suffix in suffixes}
    for file in ROOT.glob("services/*/src/*/metrics.py"):
        names |= set(re.findall(r'"(chappe_\w+)"', file.read_text("utf-8")))
    return names


def test_every_panel_asks_for_metrics_that_exist() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            asked = re.findall(r"\bchappe_\w+", target["expr"])
            assert asked
            for name in asked:
                assert name.removesuffix("_bucket") in defined_metrics(), panel["title"]


def test_every_panel_says_what_it_means_and_reads_the_provisioned_source() -> None:
    for panel in DASHBOARD["panels"]:
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == DATASOURCES["datasources"][0]["uid"]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_grafana_finds_the_dashboard_where_compose_mounts_it() -> None:
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == PROVIDERS["providers"][0]["options"]["path"]


def test_prometheus_scrapes_every_service_that_compose_starts() -> None:
    running = {
        name
        for name, service in COMPOSE["services"].items()
        if service.get("command", [])[:2] == ["chappe", "run"]
    }
    (job,) = SCRAPES["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == running
    assert found["port"] == 8000


ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))


def test_every_alert_asks_for_metrics_that_exist_and_says_what_to_do() -> None:
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        asked = re.findall(r"\bchappe_\w+", rule["expr"])
        assert asked
        assert set(asked) <= defined_metrics(), rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")


def test_prometheus_reads_the_alerts_where_compose_mounts_them() -> None:
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["prometheus"]["volumes"])
    assert SCRAPES["rule_files"] == [mounts["./deploy/prometheus/alerts.yml"]]


def test_promtool_accepts_the_alerts() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        assert os.environ.get("CI") != "true", "CI installs it: .ci/run"
        pytest.skip("promtool is not on PATH")
    file = ROOT / "deploy/prometheus/alerts.yml"
    done = subprocess.run([promtool, "check", "rules", str(file)], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
