"""Thousands of histories, each drawn from a number; and every rule broken is noticed by some."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.mutants import MUTANTS

RUN = Path(__file__).with_name("run.py")
SEEDS = 200
"""So many with every `make test`; `make sim` lives through more."""
SEEDS_OF_A_MUTANT_MAX = 200
PATIENCE_SECONDS = 600


def live(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert not done.stderr, done.stderr[-2_000:]
    return done.returncode, done.stdout


def test_no_history_loses_or_doubles_anything() -> None:
    code, said = live("--seeds", str(SEEDS))
    assert code == 0, said
    found = re.search(r"(\d+) crashes at (\d+) distinct points", said)
    assert found is not None
    print(said)
    assert int(found[1]) > SEEDS
    assert int(found[2]) >= 40, said


def test_the_same_seed_is_the_same_history() -> None:
    five = ("--seeds", "5", "--first", "90", "--processes", "1")
    assert live(*five) == live(*five)


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_broken_rule_is_noticed_and_the_seed_says_how_to_see_it_again(mutant: str) -> None:
    many = str(SEEDS_OF_A_MUTANT_MAX)
    code, said = live("--seeds", many, "--mutant", mutant, "--processes", "1")
    assert code == 1, said
    again = re.search(r"^again: .venv/bin/python tests/sim/run.py --seed (\d+)", said, re.MULTILINE)
    assert again is not None, said
    code, seen = live("--seeds", "1", "--first", again[1], "--mutant", mutant)
    assert code == 1, seen
