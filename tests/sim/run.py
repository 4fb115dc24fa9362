"""Live through many seeds, or through one and say what happened:

.venv/bin/python tests/sim/run.py --seeds 20000
.venv/bin/python tests/sim/run.py --seed 17
.venv/bin/python tests/sim/run.py --mutant fence_off      (until a seed fails, as one should)
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import structlog

ROOT = Path(__file__).parents[2]
SEEDS_DEFAULT = 2_000


def main() -> int:
    from tests.sim.mutants import MUTANTS, mutated  # noqa: PLC0415 - after the path
    from tests.sim.world import simulate  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS_DEFAULT, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its logs")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break a rule first")
    said = parser.parse_args()
    if said.seed is None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    points: set[int] = set()
    crashes = commits = bad = done = 0
    seeds = [said.seed] if said.seed is not None else range(said.first, said.first + said.seeds)
    with mutated(said.mutant):
        for seed in seeds:
            outcome = simulate(seed)
            done += 1
            points |= outcome.crash_points
            crashes += outcome.crashes
            commits += outcome.commits
            for violation in outcome.violations:
                print(f"seed {seed}: {violation}")
            if outcome.violations:
                bad += 1
                again = f"--seed {seed}" + (f" --mutant {said.mutant}" if said.mutant else "")
                print(f"again: .venv/bin/python tests/sim/run.py {again}")
            if bad and said.mutant:
                break
    print(
        f"{done} seeds, {commits} commits, {crashes} crashes at {len(points)} distinct points; "
        f"{bad} seeds failed"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set is part of a history: the same seed must be the same one.
        os.execve(
            sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
