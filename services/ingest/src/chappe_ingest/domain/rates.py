"""How much one sender may send, so that nobody waits for somebody else's import."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rate:
    """``per_second`` for ever, and up to ``burst`` at once."""

    per_second: float
    burst: float


SOURCE: Final = Rate(per_second=20_000, burst=100_000)
"""Records of one source. Far above what a shop sends: it stops a runaway loop, not a sale."""

PUBLIC_KEY: Final = Rate(per_second=2_000, burst=10_000)
"""Calls under one key that everybody can read in a browser."""

VISITOR: Final = Rate(per_second=20, burst=200)
"""Calls under such a key from one address."""

UNCHECKED: Final = Rate(per_second=50, burst=1_000)
"""Deliveries of all sources together that nobody can verify while the database is away."""

SENDERS_MAX: Final = 50_000


class Buckets:
    """A token bucket per sender (as GCRA: one number each). ``now`` is monotonic seconds."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, sender: str, count: int, now: float) -> float:
        """0 when ``sender`` may send ``count`` now, and they are counted; else seconds to wait.

        A count beyond the whole burst is let in when the bucket is full.
        """
        rate = self._rate
        empty_for = max(0.0, self._full_at.get(sender, now) - now)
        cost, room = count / rate.per_second, rate.burst / rate.per_second
        if empty_for > 0 and empty_for + cost > room:
            return max(empty_for + min(cost, room) - room, 1 / rate.per_second)
        self._full_at[sender] = now + empty_for + cost
        self._full_at.move_to_end(sender)
        if len(self._full_at) > SENDERS_MAX:
            self._full_at.popitem(last=False)
        return 0.0
