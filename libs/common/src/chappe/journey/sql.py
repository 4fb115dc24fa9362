"""Turn a condition into a Postgres expression that answers what the closure answers.

It runs over one row per contact, in these columns (a profile document holds them so already):

==============  ===============================================================================
``contact``     jsonb: the attributes with ``email``, ``tags`` and ``score``
``event``       jsonb: the event in hand, ``{}`` without one
``entry``       jsonb: what conditions call ``entry.``, ``{}`` without an enrollment
``score``       numeric, as it has decayed; 0 without one
``zone``        text: an IANA zone that this Postgres knows
``tags``        jsonb array of texts
``segments``    jsonb array of names
``consent``     jsonb: ``{channel: {"state": …}}``
``topics``      jsonb: ``{topic: {"state": …}}``; a missing one is subscribed
``counters``    jsonb: ``{name: [total, first, last, {day since 1970: n}, {currency: [sum, max]}]}``
``mails``       jsonb array, oldest first: ``{"accepted"?, "opened"?, "clicked"?}``
``entered_at``  timestamptz, ``entry_counts`` jsonb ``{name: total at entry}``: NULL without one
==============  ===============================================================================

and over the events themselves in the columns ``name``, ``at`` and ``data``. Every value of a
condition is an argument of the statement. The ``condition_…`` functions are installed by
``FUNCTIONS``; nothing needs an extension. JSON holds no NUL and no lone surrogate, so neither may
an attribute that both sides are asked about.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chappe.journey.conditions import (
    All,
    AnyOf,
    Clicked,
    Comparison,
    Condition,
    ConsentIs,
    Did,
    First,
    InSegment,
    Last,
    Max,
    Not,
    Occasion,
    Opened,
    PathsAre,
    ScoreIs,
    Sum,
    Tagged,
    Times,
    TopicIs,
    bounds_of,
)
from chappe.journey.history import DAY, Query, query_of, start_of_day
from chappe.journey.predicates import asks_history, reading
from chappe.journey.values import INSTANT_PATTERN, money, number

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION {{schema}}.condition_number(value jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric END
$$;

CREATE OR REPLACE FUNCTION {{schema}}.condition_amount(value jsonb, currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'object' AND value -> 'currency' = to_jsonb(currency)
                THEN CASE jsonb_typeof(value -> 'amount')
                     WHEN 'number' THEN (value -> 'amount')::numeric
                     WHEN 'string' THEN
                          CASE WHEN value ->> 'amount' ~ '^-?[0-9]{{1,20}}(?:[.][0-9]{{1,10}})?$'
                               THEN (value ->> 'amount')::numeric END
                     END
           END
$$;

CREATE OR REPLACE FUNCTION {{schema}}.condition_month(day date) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT extract(day FROM date_trunc('month', day::timestamp) + interval '1 month - 1 day')::int
$$;

CREATE OR REPLACE FUNCTION {{schema}}.condition_instant(value jsonb) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'string' AND value #>> '{{}}'
                     ~ '^{INSTANT_PATTERN}$'
                THEN (SELECT CASE
                        WHEN substr(t, 9, 2)::int > {{schema}}.condition_month(
                             make_date(substr(t, 1, 4)::int, substr(t, 6, 2)::int, 1)) THEN NULL
                        WHEN length(t) = 10 THEN (t || 'T00:00Z')::timestamptz
                        WHEN t ~ '(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})$' THEN t::timestamptz
                        ELSE (t || 'Z')::timestamptz END
                        FROM (SELECT value #>> '{{}}' AS t) said)
           END
$$;

CREATE OR REPLACE FUNCTION {{schema}}.condition_day_of_year(value jsonb, zone text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
           WHEN {{schema}}.condition_instant(value) IS NOT NULL THEN
                CASE WHEN length(value #>> '{{}}') > 10
                      AND value #>> '{{}}' ~ '(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})$'
                     THEN to_char({{schema}}.condition_instant(value) AT TIME ZONE zone, 'MM-DD')
                     ELSE substr(value #>> '{{}}', 6, 5) END
           WHEN jsonb_typeof(value) = 'string'
            AND value #>> '{{}}' ~ '^(?:--)?(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$' THEN
                CASE WHEN right(value #>> '{{}}', 2)::int <= {{schema}}.condition_month(
                          make_date(2000, left(right(value #>> '{{}}', 5), 2)::int, 1))
                     THEN right(value #>> '{{}}', 5) END
           END
$$;

CREATE OR REPLACE FUNCTION {{schema}}.condition_returns(
    value jsonb, today date, zone text, within int) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (
           SELECT 1
             FROM (SELECT {{schema}}.condition_day_of_year(value, zone) AS t) said,
                  LATERAL (SELECT make_date(year, left(t, 2)::int, 1) AS month
                             FROM (VALUES (extract(year FROM today)::int),
                                          (extract(year FROM today)::int + 1)) y(year)) m
            WHERE month - 1 + least(right(t, 2)::int, {{schema}}.condition_month(month))
                  BETWEEN today AND today + within)
$$;
"""  # noqa: S608 - our own words
"""What an expression calls; ``{schema}`` stands for the schema they live in."""


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression and its arguments in their order; a condition is never NULL."""

    text: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Over:
    """Where the columns are: ``known`` is the alias of the row.

    ``history`` is the table of events (as in FROM, with the alias ``h``) and ``belongs`` says which
    of them are the row's: ``h.contact = k.contact``.
    """

    schema: str
    known: str = "k"
    history: str = "event_history h"
    belongs: str = "true"


def to_sql(condition: Condition, over: Over, *, now: dt.datetime, first: int = 1) -> Sql:
    """The condition as an expression; its arguments are numbered from ``first``."""
    writer = _Writer(over, now, first)
    return Sql(writer.of(condition), tuple(writer.args))


def answer_sql(query: Query, over: Over, *, now: dt.datetime, first: int = 1) -> Sql:
    """A question about the past as an expression: a count, a sum or the largest value."""
    writer = _Writer(over, now, first)
    return Sql(writer.asked(query), tuple(writer.args))


class _Writer:
    def __init__(self, over: Over, now: dt.datetime, first: int) -> None:
        self.args: list[Any] = []
        self._over = over
        self._first = first
        self._at = now
        self._now: str | None = None

    def of(self, condition: Condition) -> str:
        match condition:
            case All(all_=parts):
                return _and(self.of(part) for part in parts)
            case AnyOf(any_=parts):
                return f"({' OR '.join(self.of(part) for part in parts)})"
            case Not(not_=part):
                return f"(NOT {self.of(part)})"
            case PathsAre(root=paths):
                return _and(self._at_path(path, one) for path, one in paths.items())
            case Did():
                return self._did(condition)
            case First() | Last():
                return self._occasion(condition)
            case Sum() | Max():
                return self._total(condition)
            case Opened() | Clicked():
                return self._engaged(condition)
            case _:
                return self._held(condition)

    # -- what is held ---------------------------------------------------------------------------

    def _held(self, node: Tagged | ScoreIs | InSegment | ConsentIs | TopicIs) -> str:
        match node:
            case Tagged(tag=tags):
                return self._yes(f"{self._column('tags')} ?| {self._arg(list(tags), 'text[]')}")
            case ScoreIs(score=bounds):
                given = [n for n in _SIGNS if n in bounds.model_fields_set]
                score = self._column("score")
                return _and(
                    self._yes(f"{score} {_SIGNS[n]} {self._number(getattr(bounds, n))}")
                    for n in given
                )
            case InSegment(segment=name):
                return self._yes(f"{self._column('segments')} ? {self._text(name)}")
            case ConsentIs(consent=channels):
                return _and(
                    self._state("consent", channel, state, "unknown")
                    for channel, state in channels.items()
                )
            case TopicIs(topic=topics):
                return _and(
                    self._state("topics", topic, state, "subscribed")
                    for topic, state in topics.items()
                )

    def _state(self, column: str, name: str, state: str, otherwise: str) -> str:
        held = f"{self._column(column)} -> {self._text(name)} ->> 'state'"
        return f"(coalesce({held}, '{otherwise}') = {self._text(state)})"

    # -- what was done --------------------------------------------------------------------------

    def _did(self, node: Did) -> str:
        if asks_history(node):
            return _often(self.asked(query_of(node)), node.times, self)
        counter = f"{self._column('counters')} -> {self._text(node.did)}"
        total = f"coalesce(({counter} ->> 0)::bigint, 0)"
        if node.since is None:
            return _often(total, node.times, self)
        if node.since == "entry":
            counts = self._column("entry_counts")
            before = f"coalesce(({counts} ->> {self._text(node.did)})::bigint, 0)"
            count = f"(CASE WHEN {counts} IS NULL THEN 0 ELSE {total} - {before} END)"
            return _often(count, node.times, self)
        day = self._arg((self._at - node.since - _EPOCH) // DAY, "int")
        days = f"jsonb_each_text({counter} -> 3) d"
        count = f"(SELECT coalesce(sum(d.value::bigint), 0) FROM {days} WHERE d.key::int >= {day})"  # noqa: S608 - arguments
        return _often(count, node.times, self)

    def _occasion(self, node: First | Last) -> str:
        is_first = isinstance(node, First)
        name = node.first if isinstance(node, First) else node.last
        at = f"({self._column('counters')} -> {self._text(name)} ->> {1 if is_first else 2})"
        return _and(self._yes(test) for test in self._moments(f"{at}::timestamptz", node.at))

    def _total(self, node: Sum | Max) -> str:
        query, kept = reading(node)
        if kept:
            held = f"{self._column('counters')} -> {self._text(query.event)} -> 4"
            which = 0 if query.kind == "sum" else 1
            size = f"({held} -> {self._text(query.currency or '')} ->> {which})::numeric"
            size = f"coalesce({size}, 0)" if query.kind == "sum" else size
        else:
            size = self.asked(query)
        return _and(
            self._yes(f"{size} {_SIGNS[name]} {self._number(getattr(node, name))}")
            for name, _ in bounds_of(node)
        )

    def asked(self, query: Query) -> str:
        """An expression over the events of the row."""
        over, path = self._over, self._path("h.data", query.path or "event")
        if query.kind in ("count", "when"):
            what = "count(*)"
        elif query.currency is None:
            what = f"{query.kind}({self._call('number', path)})"
        else:
            what = f"{query.kind}({self._call('amount', path, self._text(query.currency))})"
        if query.kind == "sum":
            what = f"coalesce({what}, 0)"
        conditions = [over.belongs, f"h.name = {self._text(query.event)}"]
        if query.since == "entry":
            conditions.append(f"h.at >= {self._column('entered_at')}")
        elif query.since is not None:
            begin = start_of_day(self._at - query.since)
            conditions.append(f"h.at >= {self._arg(begin, 'timestamptz')}")
        conditions += [self._compared(self._path("h.data", p), one) for p, one in query.where]
        found = f"FROM {over.history} WHERE {' AND '.join(conditions)}"
        if query.kind == "when":
            newest = f" ORDER BY h.at DESC LIMIT {self.count(query.nth)}" if query.nth else ""
            return f"(SELECT extract(epoch FROM min(at)) FROM (SELECT h.at {found}{newest}) n)"  # noqa: S608 - arguments
        return f"(SELECT {what} {found})"

    def _engaged(self, node: Opened | Clicked) -> str:
        how = "opened" if isinstance(node, Opened) else "clicked"
        times = node.opened if isinstance(node, Opened) else node.clicked
        mails = f"jsonb_array_elements({self._column('mails')}) WITH ORDINALITY m(mail, number)"
        count = f"""(SELECT count(*) FILTER (WHERE mail ? '{how}') FROM (
            SELECT mail FROM {mails} WHERE mail ?| '{{accepted,opened,clicked}}'
             ORDER BY number DESC LIMIT {self._arg(node.of_last, "int")}) last)"""  # noqa: S608 - arguments
        return _often(count, times, self)

    # -- comparisons ----------------------------------------------------------------------------

    def _at_path(self, path: str, comparison: Comparison) -> str:
        return self._compared(
            self._path(self._column(path.split(".", maxsplit=1)[0]), path), comparison
        )

    def _path(self, root: str, path: str) -> str:
        """Steps below ``root``; digits are an index where they meet a list."""
        for key in path.split(".")[1:]:
            root += f" #> ARRAY[{self._text(key)}]" if key.isdecimal() else f" -> {self._text(key)}"
        return root

    def _compared(self, path: str, comparison: Comparison) -> str:
        value = f"nullif({path}, 'null'::jsonb)"
        if not comparison.exists:
            alone = comparison.model_fields_set == {"exists"}
            return f"({value} IS NULL AND {'true' if alone else 'false'})"
        tests = [self._yes(test) for test in self._tests(f"({path})", comparison)]
        return _and([f"{value} IS NOT NULL", *tests])

    def _tests(self, value: str, comparison: Comparison) -> list[str]:
        given = comparison.model_fields_set
        found: list[str] = []
        if "is_" in given:
            found.append(self._same(value, comparison.is_))
        if "not_" in given:
            found.append(f"NOT {self._yes(self._same(value, comparison.not_))}")
        if "in_" in given:
            found.append(self._among(value, comparison.in_))
        if "not_in" in given:
            found.append(f"NOT {self._among(value, comparison.not_in)}")
        if "contains" in given:
            found.append(self._contains(value, comparison.contains))
        if comparison.starts_with is not None:
            text = f"{value} #>> '{{}}'"
            starts = f"starts_with({text}, {self._text(comparison.starts_with)})"
            found.append(f"jsonb_typeof({value}) = 'string' AND {starts}")
        found += [self._sized(value, n, getattr(comparison, n)) for n in _SIGNS if n in given]
        found += self._moments(self._call("instant", value), comparison)
        if comparison.anniversary is not None:
            zone = self._column("zone")
            today = f"({self._clock()} AT TIME ZONE {zone})::date"
            within = self._arg(comparison.anniversary, "int")
            found.append(self._call("returns", value, today, zone, within))
        return found

    def _same(self, value: str, wanted: Any) -> str:
        if isinstance(wanted, bool):
            return f"{value} = '{'true' if wanted else 'false'}'::jsonb"
        if not isinstance(wanted, str):
            return f"{value} = to_jsonb({self._number(wanted)})"
        same = f"{value} = to_jsonb({self._text(wanted)})"
        if (priced := money(wanted)) is None:
            return same
        size = self._call("amount", value, self._text(priced[1]))
        return f"({same} OR {self._yes(f'{size} = {self._number(wanted)}')})"

    def _among(self, value: str, wanted: Iterable[Any]) -> str:
        return f"({' OR '.join(self._yes(self._same(value, one)) for one in wanted)})"

    def _contains(self, value: str, wanted: Any) -> str:
        inside = "false"
        if isinstance(wanted, str):
            inside = f"strpos({value} #>> '{{}}', {self._text(wanted)}) > 0"
        items = f"jsonb_array_elements({value}) item"
        listed = f"EXISTS (SELECT 1 FROM {items} WHERE {self._same('item', wanted)})"  # noqa: S608 - arguments
        return (
            f"CASE jsonb_typeof({value}) WHEN 'string' THEN {inside}"
            f" WHEN 'array' THEN {listed} ELSE false END"
        )

    def _sized(self, value: str, name: str, bound: Any) -> str:
        priced = money(bound)
        if priced is None:
            size = self._call("number", value)
        else:
            size = self._call("amount", value, self._text(priced[1]))
        return f"{size} {_SIGNS[name]} {self._number(bound)}"

    def _moments(self, at: str, dates: Occasion | Comparison) -> list[str]:
        found: list[str] = []
        for name, sign in (("before", "<"), ("after", ">")):
            moment = getattr(dates, name)
            if moment is not None:
                fixed = moment if isinstance(moment, dt.datetime) else self._at + moment
                found.append(f"{at} {sign} {self._arg(fixed, 'timestamptz')}")
        if (last := dates.within_last) is not None:
            since = self._arg(self._at - last, "timestamptz")
            found.append(f"{at} BETWEEN {since} AND {self._clock()}")
        if (ahead := dates.within_next) is not None:
            until = self._arg(self._at + ahead, "timestamptz")
            found.append(f"{at} BETWEEN {self._clock()} AND {until}")
        return found

    # -- pieces ---------------------------------------------------------------------------------

    def _column(self, name: str) -> str:
        return f"{self._over.known}.{name}"

    def _call(self, name: str, *args: str) -> str:
        return f"{self._over.schema}.condition_{name}({', '.join(args)})"

    def _yes(self, test: str) -> str:
        return f"coalesce({test}, false)"

    def _clock(self) -> str:
        if self._now is None:
            self._now = self._arg(self._at, "timestamptz")
        return self._now

    def _text(self, value: str) -> str:
        return self._arg(value, "text")

    def _number(self, value: Any) -> str:
        priced = money(value)
        return self._arg(priced[0] if priced else number(value) or Decimal(0), "numeric")

    def _arg(self, value: Any, kind: str) -> str:
        self.args.append(value)
        return f"${self._first + len(self.args) - 1}::{kind}"

    def count(self, value: int) -> str:
        """A bound of a count."""
        return self._arg(value, "bigint")


_SIGNS: Mapping[str, str] = {"at_least": ">=", "at_most": "<=", "more_than": ">", "less_than": "<"}


def _and(parts: Iterable[str]) -> str:
    return f"({' AND '.join(parts)})"


def _often(count: str, times: Times, writer: _Writer) -> str:
    bounds = (("=", times.exactly), (">=", times.at_least), ("<=", times.at_most))
    return _and(f"{count} {sign} {writer.count(n)}" for sign, n in bounds if n is not None)
