"""How much an MX site takes, and how its answers change that. A table, and arithmetic.

Numbers after KumoMTA's public shaping rules (Apache-2.0) and the sites' own postmaster pages.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """For sites whose exchanger ends like one of ``suffixes``; ``tls``: never in plain text."""

    name: str
    suffixes: tuple[str, ...] = ()
    connections: int = 10
    messages: int = 100
    per_second: float = 100.0
    tls: bool = False


DEFAULT: Final = Rule("default")
RULES: Final[Sequence[Rule]] = (
    Rule("google", ("google.com", "googlemail.com"), connections=5, messages=50, tls=True),
    Rule("yahoo", ("yahoodns.net",), messages=20),
    Rule("yahoo-jp", ("yahoo.co.jp",), connections=2, messages=20, per_second=10.0),
    Rule("microsoft", ("outlook.com", "mx.microsoft"), connections=5, messages=50),
    Rule("apple", ("icloud.com",), messages=5),
    Rule("comcast", ("comcast.net",), connections=25, messages=1_000, tls=True),
    Rule("orange", ("orange.fr",), connections=2, tls=True),
    Rule("gmx", ("gmx.net", "web.de", "gmx.com"), connections=4, messages=20, tls=True),
    Rule("mimecast", ("mimecast.com",)),
)


def rule_of(exchange: str) -> Rule:
    """By the exchanger's name."""
    name = exchange.lower().rstrip(".")
    for rule in RULES:
        if any(name == each or name.endswith(f".{each}") for each in rule.suffixes):
            return rule
    return DEFAULT


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do after an answer: rest for ``seconds``, or go no faster than ``per_second``."""

    seconds: float
    per_second: float | None = None


REMEDIES: Final[Sequence[tuple[re.Pattern[str], Remedy]]] = tuple(
    (re.compile(pattern, re.IGNORECASE), remedy)
    for pattern, remedy in (
        (r"\[TSS04\]", Remedy(7_200.0)),
        (r"\[TS03\]", Remedy(1_800.0, 1 / 6)),
        (r"\[TSS0[59]\]|\[TSS1\d\]", Remedy(3_600.0)),
        (r"due to the (very low|low|bad) reputation|IP reputation", Remedy(5_400.0, 1 / 60)),
        (r"unusual rate of unsolicited mail", Remedy(1_800.0, 1 / 6)),
        (r"receiving mail at a rate that", Remedy(600.0, 1 / 6)),
        (r"too many (concurrent )?(connections|sessions)", Remedy(60.0)),
        (r"OFR_999|OFR_1\d\d|ofr00[45]|LPN007", Remedy(600.0, 1.0)),
        (r"rate.?limit|throttl|too many messages|try again later.*rate", Remedy(300.0, 1.0)),
        (r"\b(S77719|AS\(?77|RP-00[123])", Remedy(1_800.0, 1 / 6)),
    )
)


def remedy_of(text: str) -> Remedy | None:
    """For an answer that is about us and not about one message."""
    return next((remedy for pattern, remedy in REMEDIES if pattern.search(text)), None)


@dataclass(slots=True)
class Window:
    """How many connections a site is given: one more after ten went well, half after one did not.

    Never above the rule, never below one.
    """

    limit: int
    allowed: float = field(init=False)

    def __post_init__(self) -> None:
        self.allowed = float(min(self.limit, 2))

    @property
    def connections(self) -> int:
        return max(1, int(self.allowed))

    def went_well(self) -> None:
        self.allowed = min(float(self.limit), self.allowed + 0.1)

    def pushed_back(self) -> None:
        self.allowed = max(1.0, self.allowed / 2)


@dataclass(slots=True)
class Bucket:
    """``per_second`` tokens a second, at most one second's worth (or one) at hand. Monotonic."""

    per_second: float
    at: float
    level: float = 1.0

    def wait(self, now: float) -> float:
        """Seconds until one may be taken."""
        most = max(1.0, self.per_second)
        self.level = min(most, self.level + (now - self.at) * self.per_second)
        self.at = now
        return 0.0 if self.level >= 1 else (1 - self.level) / self.per_second

    def take(self) -> None:
        self.level -= 1
