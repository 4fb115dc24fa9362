"""How much an MX site takes, and how its answers change that. A table, and arithmetic."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, cast

REPLY_LETTERS_MAX: Final = 2_000
"""Of an answer that is matched; more says nothing more."""
SECONDS_MAX: Final = 86_400.0
NUMBER_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rule:
    """For sites whose exchanger's name ends like one of ``mx``; ``domains`` are known to be there.

    ``connections`` at a time, ``messages`` on each, ``rate`` a second and ``tls`` (never in plain
    text) bind those who speak to the exchangers themselves; ``relay_rate`` a second binds every
    other way, None: as fast as it takes them.
    """

    name: str
    mx: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    connections: int = 10
    messages: int = 100
    rate: float = 100.0
    relay_rate: float | None = None
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do after an answer: rest for ``seconds``, or go no faster than ``per_second``."""

    seconds: float
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class ReplyRule:
    """``sites`` are names of rules; none: every site. It counts once it matched ``after`` times
    within the time that it then lasts.
    """

    match: re.Pattern[str]
    remedy: Remedy
    sites: tuple[str, ...] = ()
    after: int = 1


@dataclass(frozen=True, slots=True)
class Shaping:
    """Every rule, the first that fits counts."""

    default: Rule
    rules: tuple[Rule, ...]
    replies: tuple[ReplyRule, ...]

    def rule_of(self, exchange: str) -> Rule:
        """By the exchanger's name, or a site's."""
        name = exchange.lower().rstrip(".")
        for rule in self.rules:
            if any(name == each or name.endswith(f".{each}") for each in rule.mx):
                return rule
        return self.default

    def site_of_domain(self, domain: str) -> str | None:
        """The MX site of a domain that the table names."""
        for rule in self.rules:
            if domain in rule.domains and rule.mx:
                return rule.mx[0]
        return None

    def reply_rule(self, text: str, rule: Rule) -> ReplyRule | None:
        """For an answer that is about us and not about one message."""
        said = text[:REPLY_LETTERS_MAX]
        for each in self.replies:
            if (not each.sites or rule.name in each.sites) and each.match.search(said):
                return each if each.remedy.seconds > 0 else None
        return None

    def remedy_of(self, text: str, rule: Rule) -> Remedy | None:
        """The same, where once is enough."""
        found = self.reply_rule(text, rule)
        return found.remedy if found is not None and found.after <= 1 else None


# ---------------------------------------------------------------------- from a table


def shaping_of(*tables: Mapping[str, Any]) -> Shaping:
    """From parsed TOML; later tables go before earlier ones.

    A ``site`` of a known name changes what it mentions, a ``reply`` with a known ``match`` takes
    its place (``seconds = 0`` switches it off). Raises ``ValueError`` that says where.
    """
    default = Rule("default")
    rules: dict[str, Rule] = {}
    replies: dict[str, ReplyRule] = {}
    for table in tables:
        unknown = set(table) - {"default", "site", "reply"}
        if unknown:
            raise ValueError(f"{min(unknown)} is no part of a shaping table")
        default = _rule(default, {"name": "default", **table.get("default", {})})
        own: dict[str, Rule] = {}
        for given in _listed(table, "site"):
            name = str(given.get("name", ""))
            if not name:
                raise ValueError("a site needs a name")
            own[name] = _rule(rules.get(name) or replace(default, name=name), given)
        rules = own | {name: rule for name, rule in rules.items() if name not in own}
        said = {str(given.get("match", "")): _reply(given) for given in _listed(table, "reply")}
        replies = said | {match: rule for match, rule in replies.items() if match not in said}
    for each in replies.values():
        if strangers := set(each.sites) - rules.keys():
            raise ValueError(f"reply {each.match.pattern!r}: no site is called {min(strangers)}")
    return Shaping(default, tuple(rules.values()), tuple(replies.values()))


def _listed(table: Mapping[str, Any], name: str) -> Iterable[Mapping[str, Any]]:
    found: Any = table.get(name, [])
    if not isinstance(found, list):
        raise ValueError(f"{name} is written [[{name}]]")  # noqa: TRY004 - what is wrong is the table
    return cast("list[Mapping[str, Any]]", found)


def _rule(base: Rule, given: Mapping[str, Any]) -> Rule:
    name = str(given["name"])
    unknown = set(given) - {each.name for each in fields(Rule)}
    if unknown:
        raise ValueError(f"site {name}: there is no {min(unknown)}")
    lists = {
        key: _names(f"site {name}: {key}", given[key]) for key in ("mx", "domains") if key in given
    }
    made = replace(base, **{**given, **lists})
    numbers = {"connections": made.connections, "messages": made.messages, "rate": made.rate}
    if made.relay_rate is not None:
        numbers["relay_rate"] = made.relay_rate
    for key, value in numbers.items():
        _number(f"site {name}: {key}", value, 0.001 if "rate" in key else 1, NUMBER_MAX)
    return made


def _names(what: str, value: Any) -> tuple[str, ...]:
    names: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [None]
    if any(not isinstance(each, str) or each != each.lower() for each in names):
        raise ValueError(f"{what} are names in lower case")
    return tuple(names)


def _reply(given: Mapping[str, Any]) -> ReplyRule:
    match = str(given.get("match", ""))
    unknown = set(given) - {"match", "sites", "after", "seconds", "per_minute"}
    if unknown:
        raise ValueError(f"reply {match!r}: there is no {min(unknown)}")
    try:
        pattern = re.compile(match, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"reply {match!r}: {error}") from None
    if not match:
        raise ValueError("a reply needs a match")
    seconds = _number(f"reply {match!r}: seconds", given.get("seconds"), 0, SECONDS_MAX)
    per_minute = given.get("per_minute")
    slow = None
    if per_minute is not None:
        slow = _number(f"reply {match!r}: per_minute", per_minute, 0.01, NUMBER_MAX) / 60
    after = int(_number(f"reply {match!r}: after", given.get("after", 1), 1, NUMBER_MAX))
    sites: Sequence[Any] = given.get("sites", [])
    return ReplyRule(pattern, Remedy(seconds, slow), tuple(map(str, sites)), after)


def _number(what: str, value: Any, least: float, most: float) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not least <= value <= most:
        raise ValueError(f"{what} is a number from {least:g} to {most:g}")
    return float(value)


# ---------------------------------------------------------------------- arithmetic


@dataclass(slots=True)
class Window:
    """How many connections there may be: one more after ten went well, half after one did not.

    Never above ``limit``, never below one. ``start``: with how many it begins.
    """

    limit: int
    start: int = 2
    allowed: float = field(init=False)

    def __post_init__(self) -> None:
        self.allowed = float(min(self.limit, self.start))

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
