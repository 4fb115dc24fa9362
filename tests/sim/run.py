"""Live through many seeds, or through one and say what happened:

.venv/bin/python tests/sim/run.py --seeds 20000
.venv/bin/python tests/sim/run.py --seed 17
.venv/bin/python tests/sim/run.py --mutant fence_off      (until a seed fails, as one should)
"""

import argparse
import contextlib
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import structlog

ROOT = Path(__file__).parents[2]
SEEDS_DEFAULT = 4_000
CHUNK = 20
"""Seeds that a process lives through before it looks for more."""
RATE_FROM = 1_000
"""Fewer say nothing about how fast it is, and the same seeds print the same."""
FAILURES_MAX = 20
"""So many failed seeds say enough."""


def main() -> int:
    from tests.sim.mutants import MUTANTS  # noqa: PLC0415 - after the path

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS_DEFAULT, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its logs")
    parser.add_argument("--seconds", type=float, help="stop then, however many have been lived")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break a rule first")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="side by side; all processors"
    )
    said = parser.parse_args()
    if said.seed is None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        seeds = range(said.first, said.first + said.seeds)
    else:
        seeds = range(said.seed, said.seed + 1)
    started = time.monotonic()
    points: set[int] = set()
    crashes = commits = bad = done = 0
    with contextlib.closing(_outcomes(seeds, said.mutant, said.processes)) as outcomes:
        for outcome in outcomes:
            done += 1
            points |= outcome.crash_points
            crashes += outcome.crashes
            commits += outcome.commits
            if not outcome.violations:
                if said.seconds is not None and time.monotonic() - started > said.seconds:
                    break
                continue
            bad += 1
            for violation in outcome.violations:
                print(f"seed {outcome.seed}: {violation}")
            again = f"--seed {outcome.seed}" + (f" --mutant {said.mutant}" if said.mutant else "")
            print(f"again: .venv/bin/python tests/sim/run.py {again}")
            if said.mutant or bad >= FAILURES_MAX:
                break
    print(
        f"{done} seeds, {commits} commits, {crashes} crashes at {len(points)} distinct points; "
        f"{bad} seeds failed"
    )
    if done >= RATE_FROM:
        print(f"{done / (time.monotonic() - started):.0f} seeds a second")
    return 1 if bad else 0


def _outcomes(seeds: range, mutant: str | None, processes: int) -> Generator[Any]:
    """What each seed came to, in the seeds' order."""
    chunks = [
        (range(first, min(first + CHUNK, seeds.stop)), mutant)
        for first in range(seeds.start, seeds.stop, CHUNK)
    ]
    if processes <= 1 or len(chunks) <= 1:
        for chunk in chunks:
            for outcome in live(chunk):
                yield outcome
                if mutant and outcome.violations:
                    return
        return
    with multiprocessing.get_context("fork").Pool(min(processes, len(chunks))) as pool:
        for outcomes in pool.imap(live, chunks):
            yield from outcomes


def live(chunk: tuple[range, str | None]) -> list[Any]:
    """Live through some seeds, perhaps with a rule broken."""
    from tests.sim.mutants import mutated  # noqa: PLC0415 - after the path
    from tests.sim.world import simulate  # noqa: PLC0415

    seeds, mutant = chunk
    found: list[Any] = []
    with mutated(mutant):
        for seed in seeds:
            found.append(simulate(seed))
            if mutant and found[-1].violations:
                break
    return found


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set is part of a history: the same seed must be the same one.
        os.execve(
            sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
