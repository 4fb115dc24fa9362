import json
from typing import Any

import pytest

from chappe_cli.failure import Failure
from chappe_cli.leaving import agreed, follow


def task(state: str, erased: int) -> dict[str, Any]:
    return {"id": "e_1", "state": state, "erased": erased, "kept": 0}


def _at_once(_: float) -> None:
    """No test waits."""


def test_as_json_each_change_of_an_erasure_is_one_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    states = iter([[task("running", 0)], [task("running", 0)], [task("done", 7)]])
    end = follow("e_1", lambda: next(states), as_json=True, sleep=_at_once)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["erased"] for each in told] == [0, 7]
    assert end["state"] == "done"


def test_a_person_s_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    follow("e_1", lambda: [task("done", 7)], as_json=False, sleep=_at_once)
    assert capsys.readouterr().out == ""


def test_a_request_that_is_not_there_is_refused_in_words() -> None:
    with pytest.raises(Failure, match="no request e_2"):
        follow("e_2", lambda: [task("done", 7)], as_json=True, sleep=_at_once)


def test_a_program_must_say_yes_before_everybody_is_erased() -> None:
    with pytest.raises(Failure, match="--yes"):
        agreed("shop", yes=False, as_json=True)
    agreed("shop", yes=True, as_json=True)
