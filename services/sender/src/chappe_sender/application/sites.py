"""How fast mail may go to each MX site by a relay or a provider, and when a site is left in peace.

The exchangers answer somebody else there, so what they say comes in a relay's answer or, later, in
a returned mail or a webhook. Marketing then waits, or is slowed down; receipts follow their own
retries. A rate of the table binds all processes together, and receipts take from it first.
"""

import datetime as dt
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from chappe.clock import monotonic
from chappe_sender import metrics
from chappe_sender.application.quota import Leased, Quotas, rate_of
from chappe_sender.domain.shaping import ReplyRule, Rule, Shaping

SITES_MAX: Final = 10_000
MATCHES_MAX: Final = 1_000
WAIT_SECONDS_MAX: Final = 3_600.0

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a message waits, in the journal's words, and for how long."""

    wait: dt.timedelta
    reason: str
    detail: str


@dataclass(slots=True)
class _Site:
    rule: Rule
    rate: Leased | None
    until: float = 0.0
    why: str = ""
    slow: Leased | None = None
    slow_until: float = 0.0
    slow_why: str = ""
    booked: dict[bool, float] = field(default_factory=dict[bool, float])
    """Until when what was put off already fills the rate, by whether it is marketing."""
    matches: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict[str, deque[float]])


@dataclass(slots=True)
class Sites:
    """``site`` gives the MX site of an address, as far as it is known without asking."""

    shaping: Shaping
    site: Callable[[str], str]
    quotas: Quotas
    seconds: Callable[[], float] = monotonic
    _sites: OrderedDict[str, _Site] = field(default_factory=OrderedDict[str, _Site])

    @property
    def _idle(self) -> bool:
        """Whether there is nothing to ask: no rates, and nothing ever said."""
        rates = self.shaping.default.relay_rate is not None or any(
            rule.relay_rate is not None for rule in self.shaping.rules
        )
        return not self._sites and not rates

    async def waits(self, address: str, *, marketing: bool) -> Rest | None:
        """None: it goes now."""
        if self._idle:
            return None
        name = self.site(address)
        known = self._known(name)
        now = self.seconds()
        if marketing and known.until > now:
            return _rest(known.until - now, "site_rests", f"{name}: {known.why}")
        slowed = known.slow if marketing and known.slow_until > now else None
        for rate, reason, why in (
            (slowed, "site_slowed", known.slow_why),
            (known.rate, "site_rate", "its rate"),
        ):
            if rate is not None and (wait := await rate.take()):
                later = self._book(known, rate, now, marketing=marketing)
                return _rest(max(wait, later), reason, f"{name}: {why}")
        return None

    def heard(self, address: str, said: str) -> None:
        """An answer to our mail that was no success, at once or later."""
        self.heard_of(self.site(address), said)

    def heard_of(self, name: str, said: str) -> None:
        rule = self.shaping.rule_of(name)
        found = self.shaping.reply_rule(said, rule)
        if found is None:
            return
        known, now = self._known(name), self.seconds()
        if not _is_enough(known, found, now):
            return
        metrics.SITE_REMEDIES.labels(rule.name).inc()
        seconds, slow = found.remedy.seconds, found.remedy.per_second
        logger.warning("A site asks for less", site=name, seconds=seconds, said=said[:200])
        if slow is None:
            known.until, known.why = max(known.until, now + seconds), said[:200]
            return
        known.slow_until, known.slow_why = max(known.slow_until, now + seconds), said[:200]
        known.slow = rate_of(self.quotas, f"slow/{name}", slow, self.seconds)

    def _book(self, known: _Site, rate: Leased, now: float, *, marketing: bool) -> float:
        """Until the rate has room behind what was put off before, so that each message is looked at
        about twice, however many wait.
        """
        at = max(known.booked.get(marketing, 0.0), now) + rate.seconds / rate.cap
        known.booked[marketing] = min(at, now + WAIT_SECONDS_MAX)
        return known.booked[marketing] - now

    def _known(self, name: str) -> _Site:
        known = self._sites.get(name)
        if known is None:
            rule = self.shaping.rule_of(name)
            rate = None
            if rule.relay_rate is not None:
                rate = rate_of(self.quotas, f"relay/{name}", rule.relay_rate, self.seconds)
            known = self._sites[name] = _Site(rule, rate)
            if len(self._sites) > SITES_MAX:
                self._sites.popitem(last=False)
        return known


def _is_enough(known: _Site, found: ReplyRule, now: float) -> bool:
    """Whether it was said often enough by now."""
    seen = known.matches.setdefault(found.match.pattern, deque(maxlen=MATCHES_MAX))
    while seen and now - seen[0] > found.remedy.seconds:
        seen.popleft()
    seen.append(now)
    return len(seen) >= min(found.after, MATCHES_MAX)


def _rest(seconds: float, reason: str, detail: str) -> Rest:
    return Rest(dt.timedelta(seconds=min(seconds, WAIT_SECONDS_MAX)), reason, detail)
