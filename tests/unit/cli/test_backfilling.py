import datetime as dt
import json
from typing import Any, Self

import pytest

from chappe.clock import UTC
from chappe_cli import backfilling
from chappe_cli.backfilling import follow, since_of
from chappe_cli.commands import sources
from chappe_cli.failure import Failure
from chappe_cli.main import run

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("10d", "2026-11-12T09:00:00Z"),
        ("2w", "2026-11-08T09:00:00Z"),
        ("2y", "2024-11-21T21:00:00Z"),
        ("2025-01-31", "2025-01-31T00:00:00Z"),
        ("2025-01-31T12:00:00+02:00", "2025-01-31T10:00:00Z"),
    ],
)
def test_since_is_said_as_people_say_it(said: str, meant: str) -> None:
    assert since_of(said, NOW) == meant


@pytest.mark.parametrize("said", ["", "2", "yesterday", "-2y", "99999y"])
def test_any_other_since_is_refused_with_what_to_write(said: str) -> None:
    with pytest.raises(Failure, match="use 90d"):
        since_of(said, NOW)


def job(state: str, done: int, **fields: Any) -> dict[str, Any]:
    return {"state": state, "done": done, "total": 10, "note": None, "subject": "orders"} | fields


def test_as_json_each_change_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    states = iter([job("running", 5), job("running", 5), job("done", 10)])
    end = follow("shop", job("waiting", 0), lambda: next(states), as_json=True, sleep=_at_once)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["done"] for each in told] == [0, 5, 10]
    assert end["state"] == "done"


def test_a_bar_goes_to_stderr_and_survives_an_unknown_total(
    capsys: pytest.CaptureFixture[str],
) -> None:
    states = iter([job("running", 5, total=None), job("failed", 5, total=None, note="no (401)")])
    follow("shop", job("waiting", 0), lambda: next(states), as_json=False, sleep=_at_once)
    assert capsys.readouterr().out == ""


def _at_once(_: float) -> None:
    """No test waits."""


class Interrupted:
    """A server whose backfill runs, before somebody who presses Ctrl-C."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def post(self, path: str, body: Any) -> dict[str, Any]:
        assert path == "/api/v1/sources/shop/backfill"
        assert body["since"].endswith("Z")
        return job("waiting", 0)

    def get(self, _: str) -> dict[str, Any]:
        raise KeyboardInterrupt


def test_ctrl_c_leaves_it_running_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "connect", Interrupted)
    monkeypatch.setattr(backfilling, "LOOK_SECONDS", 0.0)
    assert run(["sources", "backfill", "shop", "--since", "2y", "--json"]) == 130
    told = capsys.readouterr()
    assert json.loads(told.out)["state"] == "waiting"
    assert "goes on without you" in told.err
    assert "--cancel" in told.err
