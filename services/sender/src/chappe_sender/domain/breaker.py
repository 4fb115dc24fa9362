"""Stop marketing where it is refused for what we are: per From domain, MX site and class.

A rate over a minimum sample, so that one bad answer among few stops nothing. After a rest a few
mails try it: if they are taken, the rest follow; if not, the next rest is twice as long.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from chappe_sender.domain.bounces import BounceClass

WINDOW_SECONDS: Final = 900.0
SAMPLE_MIN: Final = 50
SHARE_MAX: Final = 0.05
REST_SECONDS: Final = 900.0
REST_SECONDS_MAX: Final = 4 * 3_600.0
PROBES: Final = 10
PROBES_BAD_MAX: Final = 1
"""Of the probes; one more opens it again."""
PROBE_SECONDS: Final = 300.0
"""How long verdicts on probes are waited for before others are sent."""
PROBE_WAIT_SECONDS: Final = 60.0
"""How long mail waits that is no probe, before it looks again."""
KEPT_MAX: Final = 2_000
SITES_MAX: Final = 5_000

OURS: Final = frozenset(
    {BounceClass.SPAM, BounceClass.REPUTATION, BounceClass.POLICY, BounceClass.AUTHENTICATION}
)
"""What speaks of the sender and not of one address."""

DOMAIN_WIDE: Final = ("5.7.26", "5.7.515", "5.7.27", "5.7.509")
LARGE: Final = frozenset({"google.com", "outlook.com", "yahoodns.net", "icloud.com"})
"""Where such a code says that the whole domain fails."""
EVERYWHERE: Final = "*"


@dataclass(slots=True)
class _Site:
    seen: deque[tuple[float, bool]] = field(default_factory=deque[tuple[float, bool]])
    why: str = ""
    until: float | None = None
    """When the rest ends; later it is half open. None: it is closed, and mail flows."""
    rests: int = 0
    left: int = 0
    """Probes that may still go."""
    good: int = 0
    bad: int = 0
    probed: float = 0.0

    def open(self, why: str, now: float) -> None:
        rest = min(REST_SECONDS * 2**self.rests, REST_SECONDS_MAX)
        self.rests = min(self.rests + 1, 16)
        self.why, self.until = why, now + rest
        self.left = self.good = self.bad = 0
        self.probed = 0.0
        self.seen.clear()

    def close(self) -> None:
        self.until, self.rests = None, 0
        self.seen.clear()

    def is_half_open(self, now: float) -> bool:
        return self.until is not None and now >= self.until

    def waits(self, now: float) -> float:
        """Seconds; 0 lets one go."""
        if self.until is None:
            return 0.0
        if now < self.until:
            return self.until - now
        if not self.left and now - self.probed >= PROBE_SECONDS:
            self.left, self.probed = PROBES, now
        return 0.0 if self.left else PROBE_WAIT_SECONDS

    def saw_probe(self, *, bad: bool, now: float) -> bool:
        """Whether it opened again."""
        self.bad += bad
        self.good += not bad
        if self.bad > PROBES_BAD_MAX:
            self.open(self.why, now)
            return True
        if self.good >= PROBES - PROBES_BAD_MAX:
            self.close()
        return False

    def saw(self, now: float, *, bad: bool) -> int:
        """How many were refused, where that is too many; else 0."""
        self.seen.append((now, bad))
        while now - self.seen[0][0] > WINDOW_SECONDS or len(self.seen) > KEPT_MAX:
            self.seen.popleft()
        if not bad or len(self.seen) < SAMPLE_MIN:
            return 0
        refused = sum(each for _, each in self.seen)
        return refused if refused > SHARE_MAX * len(self.seen) else 0


@dataclass(slots=True)
class Breaker:
    """In one process. ``now`` is monotonic."""

    _sites: dict[tuple[str, str], _Site] = field(default_factory=dict[tuple[str, str], _Site])

    def __bool__(self) -> bool:
        """Whether anything was ever seen: nothing to ask otherwise."""
        return bool(self._sites)

    def waits(self, domain: str, site: str, now: float) -> tuple[float, str]:
        """Seconds until marketing from ``domain`` may go to ``site``, and why; 0: one goes now."""
        keys = ((domain, EVERYWHERE), (domain, site))
        known = [each for key in keys if (each := self._sites.get(key)) is not None]
        for each in known:
            if seconds := each.waits(now):
                return seconds, each.why
        for each in known:
            each.left -= each.is_half_open(now)
        return 0.0, ""

    def saw(
        self, domain: str, site: str, bounce_class: BounceClass | None, code: str, now: float
    ) -> str | None:
        """One marketing mail's verdict, at once or later; ``bounce_class`` None: taken. Returns
        what opened.
        """
        bad = bounce_class in OURS
        everywhere = self._sites.get((domain, EVERYWHERE))
        if bad and site in LARGE and code in DOMAIN_WIDE:
            return self._fails_everywhere(domain, f"{domain}: {code} at {site}", now)
        if everywhere is not None and everywhere.is_half_open(now):
            everywhere.saw_probe(bad=False, now=now)
        known = self._site((domain, site))
        if known.until is not None:
            if known.is_half_open(now) and known.saw_probe(bad=bad, now=now):
                return known.why
            return None  # what was on its way when it opened says nothing new
        if refused := known.saw(now, bad=bad):
            known.open(f"{domain} at {site}: {refused} refused", now)
            return known.why
        return None

    def _fails_everywhere(self, domain: str, why: str, now: float) -> str | None:
        known = self._site((domain, EVERYWHERE))
        if known.until is not None and not known.is_half_open(now):
            return None
        known.open(why, now)
        return why

    def _site(self, key: tuple[str, str]) -> _Site:
        known = self._sites.setdefault(key, _Site())
        if len(self._sites) > SITES_MAX:
            del self._sites[next(iter(self._sites))]
        return known
