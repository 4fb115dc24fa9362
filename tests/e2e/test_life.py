"""A box's life: started, stopped, killed, started again."""

import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.box import (
    COMMAND,
    FREE_PORTS,
    Box,
    alive,
    chappe,
    environment,
    pids,
    until,
    works_in,
)


def test_ctrl_c_leaves_nothing_running(new_box: Callable[..., Box]) -> None:
    box = new_box()
    family = box.family()
    assert len(family) > 2  # Postgres is one of us
    assert box.stop() == 0
    assert alive(family) == set()
    assert not (box.data / "endpoints.json").exists()


def test_ctrl_c_after_a_kill_stops_the_postgres_that_was_left(new_box: Callable[..., Box]) -> None:
    box = new_box()
    family = box.family()
    box.kill()
    assert alive(family)  # a kill -9 leaves Postgres, which saves a recovery
    box.start()
    family |= box.family()
    assert box.stop() == 0
    assert alive(family) == set()


def test_ctrl_c_while_it_starts_leaves_nothing_either(tmp_path: Path) -> None:
    for seconds in (0.4, 0.9, 1.4):
        data = tmp_path / f"data-{seconds}"
        with (tmp_path / "log").open("ab") as log:
            starting = subprocess.Popen(
                [str(COMMAND), "up", "--data", str(data), *FREE_PORTS],
                env=environment(),
                stdout=log,
                stderr=log,
            )
        time.sleep(seconds)  # somewhere in the middle: any moment must do
        starting.send_signal(signal.SIGTERM)
        starting.wait(30)
        left = [pid for pid in pids() if works_in(pid, data)]
        assert left == []


def test_a_kill_at_any_moment_of_the_first_start_is_survived(new_box: Callable[..., Box]) -> None:
    box = new_box(demo=False)
    box.stop()
    for name in ("postgres", "inbox"):
        shutil.rmtree(box.data / name)
    for seconds in (0.3, 0.6, 0.9):
        starting = subprocess.Popen(
            [str(COMMAND), "up", "--data", str(box.data), *FREE_PORTS],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        starting.kill()
        starting.wait()
    box.start()


def test_a_box_whose_postgres_dies_ends_with_one_and_starts_again(
    new_box: Callable[..., Box],
) -> None:
    box = new_box()
    box.press("sign_up", "zoe@example.com")
    until(lambda: box.mails("zoe@example.com"))
    family = box.family()
    postmaster = int((box.data / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    assert box.process.wait(30) == 1
    assert "Postgres ended by itself" in box.log.read_text()
    until(lambda: not alive(family))
    box.start()
    assert len(box.mails("zoe@example.com")) == 1


def test_state_survives_a_stop_and_a_kill(new_box: Callable[..., Box]) -> None:
    box = new_box()
    added = box.api("POST", "/api/v1/sources", {"kind": "segment", "name": "kept"}).json()
    box.press("sign_up", "zoe@example.com")
    until(lambda: box.mails("zoe@example.com"))
    moved = box.api("POST", "/api/v1/demo/clock", {"advance": "PT2H"}).json()
    assert moved["settled"], moved

    box.stop()
    box.start()
    _still_there(box, added["id"])
    box.kill()
    box.start()
    _still_there(box, added["id"])

    box.api("POST", "/api/v1/demo/clock", {"advance": "P2D"})
    assert len(box.mails("zoe@example.com")) == 2


def _still_there(box: Box, source: str) -> None:
    listed = box.api("GET", "/api/v1/sources").json()["items"]
    assert source in {each["id"] for each in listed}
    assert len(box.mails("zoe@example.com")) == 1
    contact = box.api("GET", "/api/v1/contacts/email:zoe@example.com")
    assert contact.status_code == 200
    assert box.api("GET", "/api/v1/demo/clock").json()["ahead_seconds"] == 7200
    journeys = box.api("GET", "/api/v1/journeys").json()["items"]
    assert {each["journey"]: each["version"] for each in journeys} == {
        "welcome": 1,
        "abandoned-cart": 1,
    }


def test_the_endpoints_are_for_the_owner_alone(new_box: Callable[..., Box]) -> None:
    box = new_box(demo=False)
    file = box.data / "endpoints.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()).keys() == {"url", "inbox", "smtp", "token", "pid"}
    assert stat.S_IMODE(box.data.stat().st_mode) & 0o066 == 0


def test_a_moved_clock_is_not_opened_without_the_demo(new_box: Callable[..., Box]) -> None:
    box = new_box()
    box.api("POST", "/api/v1/demo/clock", {"advance": "PT1H"})
    box.stop()
    refused = chappe("up", "--data", str(box.data), *FREE_PORTS)
    assert refused.returncode == 2
    assert "open it with --demo" in refused.stderr


def test_without_the_demo_there_is_no_page_and_no_movable_clock(
    new_box: Callable[..., Box],
) -> None:
    box = new_box(demo=False)
    assert box.api("GET", "/").status_code == 404
    assert box.api("POST", "/api/v1/demo/clock", {"advance": "PT1H"}).status_code == 404
