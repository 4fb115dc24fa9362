"""Stop marketing where it is refused for what we are: per From domain, MX site and class.

A rate over a minimum sample, so that one bad answer among few stops nothing.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from chappe_sender.domain.bounces import BounceClass

WINDOW_SECONDS: Final = 900.0
SAMPLE_MIN: Final = 50
SHARE_MAX: Final = 0.05
REST_SECONDS: Final = 900.0
KEPT_MAX: Final = 2_000
SITES_MAX: Final = 5_000

OURS: Final = frozenset(
    {BounceClass.SPAM, BounceClass.REPUTATION, BounceClass.POLICY, BounceClass.AUTHENTICATION}
)
"""What speaks of the sender and not of one address."""

DOMAIN_WIDE: Final = ("5.7.26", "5.7.515", "5.7.27", "5.7.509")
LARGE: Final = frozenset({"google.com", "outlook.com", "yahoodns.net", "icloud.com"})
"""Where such a code says that the whole domain fails."""


@dataclass(slots=True)
class _Site:
    seen: deque[tuple[float, bool]] = field(default_factory=deque)
    until: float = 0.0


@dataclass(slots=True)
class Breaker:
    """In one process. ``now`` is monotonic."""

    _sites: dict[tuple[str, str], _Site] = field(default_factory=dict)
    _domains: dict[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything was ever seen: nothing to ask otherwise."""
        return bool(self._sites or self._domains)

    def waits(self, domain: str, site: str, now: float) -> float:
        """Seconds until marketing from ``domain`` may go to ``site`` again; 0: now."""
        known = self._sites.get((domain, site))
        until = max(known.until if known is not None else 0.0, self._domains.get(domain, 0.0))
        return max(0.0, until - now)

    def saw(
        self, domain: str, site: str, bounce_class: BounceClass | None, code: str, now: float
    ) -> str | None:
        """One marketing mail's verdict; ``bounce_class`` None: taken. Returns what opened."""
        bad = bounce_class in OURS
        if bad and site in LARGE and code in DOMAIN_WIDE:
            self._domains[domain] = now + REST_SECONDS
            return f"{domain}: {code} at {site}"
        known = self._sites.setdefault((domain, site), _Site())
        if len(self._sites) > SITES_MAX:
            del self._sites[next(iter(self._sites))]
        known.seen.append((now, bad))
        while known.seen and (
            now - known.seen[0][0] > WINDOW_SECONDS or len(known.seen) > KEPT_MAX
        ):
            known.seen.popleft()
        refused = sum(each for _, each in known.seen)
        if bad and len(known.seen) >= SAMPLE_MIN and refused > SHARE_MAX * len(known.seen):
            known.until = now + REST_SECONDS
            known.seen.clear()
            return f"{domain} at {site}: {refused} refused"
        return None
