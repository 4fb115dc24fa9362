"""The fault run's second part: senders alone, under load, killed at points drawn from the seed."""

import random
from pathlib import Path
from typing import Any

from tests.e2e.apart.counting import Tally
from tests.e2e.apart.once import by_provider, by_smtp
from tests.e2e.apart.sending import Strike

SECONDS_PER_KILL = 4
ROWS = 2
POINTS = (
    "after_claim",
    "after_about_to_commit",
    "after_final_dot",
    "after_outcome_commit",
    "after_state_commit",
    "after_append",
)
PASSES_MAX = {"after_final_dot": 400, "after_state_commit": 10, "after_append": 10}
PROVIDERS = ("postmark", "sendgrid", "resend")


async def by_relay(
    database: str, directory: Path, seconds: float, dice: random.Random, **more: str
) -> dict[str, Any]:
    """Against a mail server that hangs up at every stage."""
    rows = [[_strike(dice) for _ in range(_kills(seconds))] for _ in range(ROWS)]
    found, hung_up = await by_smtp(database, directory, rows, dice, **more)
    return _report(found) | {"hung_up": hung_up}


async def by_each_provider(
    kind: str, database: str, directory: Path, seconds: float, dice: random.Random, **more: str
) -> dict[str, Any]:
    """Against one that takes mail and lies about it."""
    points = ("unanswered", "unanswered", None, *(each for each in POINTS if "dot" not in each))
    rows = [[dice.choice(points) for _ in range(_kills(seconds))] for _ in range(ROWS)]
    async with by_provider(kind, database, directory, rows, dice, **more) as run:
        return _report(run.found) | {"faults": run.faults}


def _kills(seconds: float) -> int:
    return max(2, int(seconds / SECONDS_PER_KILL))


def _strike(dice: random.Random) -> Strike:
    point = dice.choice((None, *POINTS))
    if point is None:
        return Strike()
    return Strike(point, dice.randint(1, PASSES_MAX.get(point, 60)))


def _report(found: Tally) -> dict[str, Any]:
    return found.counts() | {"wrong": found.wrong()}
