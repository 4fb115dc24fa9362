"""Kill -9 of senders under load, against a mail server that hangs up at every stage."""

import json
import random
from pathlib import Path

from tests.e2e.apart.once import by_smtp
from tests.e2e.apart.sending import Strike

SEED = 20

# Two processes at a time, each killed and followed by the next.
STRIKES = [
    [
        Strike("after_claim", 6),
        Strike("after_final_dot", 200),
        Strike(),
        Strike("after_append", 6),
        Strike(),
    ],
    [
        Strike("after_about_to_commit", 50),
        Strike(),
        Strike("after_outcome_commit", 50),
        Strike("after_state_commit", 8),
        Strike(),
    ],
]


async def test_no_mail_is_doubled_and_none_is_lost_in_silence(
    database: str, tmp_path: Path
) -> None:
    found, hung_up = await by_smtp(database, tmp_path, STRIKES, random.Random(SEED))
    print(json.dumps(found.counts() | {"hung_up": hung_up}))
    assert found.wrong() == []
    assert sum(hung_up.values()) > 0
