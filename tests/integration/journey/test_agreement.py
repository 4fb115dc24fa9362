"""A condition answers the same as a closure and in Postgres, whatever the values are.

Every node and operator meets what is fitting, null, missing and of the wrong type: the cells of
that table are walked one after the other, hypothesis fills each, and what the cases really held is
counted at the end.
"""

import asyncio
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from chappe.journey import Condition, check
from chappe.journey.conditions import OPERATORS
from chappe.journey.history import Answer, Past, Query, answered
from chappe.journey.predicates import event_filter
from chappe.journey.sense import always, never
from chappe.journey.sql import FUNCTIONS, Over, to_sql
from chappe.journey.values import walk

NOW = dt.datetime(2028, 2, 28, 23, 30, tzinfo=dt.UTC)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ENTERED = NOW - dt.timedelta(days=2)
ZONES = ("UTC", "Europe/Paris", "America/Havana", "Pacific/Kiritimati")
EXAMPLES = 5
CELLS_PER_STATEMENT = 8

_parse: TypeAdapter[Any] = TypeAdapter(Condition)
_json = msgspec.json.encode
_plain = msgspec.json.decode


@dataclass
class Case:
    """Everything known of one contact, as both sides read it."""

    event: dict[str, Any] = field(default_factory=dict[str, Any])
    contact: dict[str, Any] = field(default_factory=dict[str, Any])
    entry: dict[str, Any] = field(default_factory=dict[str, Any])
    score: float = 0
    zone_name: str = "UTC"
    segments: list[str] = field(default_factory=list[str])
    consents: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    topics: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    counters: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    mails: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    entry_counts: dict[str, int] | None = None
    history: list[tuple[str, dt.datetime, dict[str, Any]]] = field(
        default_factory=list[tuple[str, dt.datetime, dict[str, Any]]]
    )

    @property
    def now(self) -> dt.datetime:
        return NOW

    @property
    def zone(self) -> dt.tzinfo:
        return ZoneInfo(self.zone_name)

    @property
    def entered_at(self) -> dt.datetime | None:
        return ENTERED if self.entry_counts is not None else None

    def times(self, event: str, since: dt.timedelta | Literal["entry"] | None) -> int:
        counter = self.counters.get(event)
        if since == "entry":
            if self.entry_counts is None:
                return 0
            return (counter[0] if counter else 0) - self.entry_counts.get(event, 0)
        if counter is None:
            return 0
        if since is None:
            return counter[0]
        begin = (NOW - since - EPOCH).days
        return sum(count for day, count in counter[3].items() if int(day) >= begin)

    def occasion(self, event: str, which: Literal["first", "last"]) -> dt.datetime | None:
        counter = self.counters.get(event)
        return dt.datetime.fromisoformat(counter[1 if which == "first" else 2]) if counter else None

    def spent(self, event: str, currency: str, how: Literal["sum", "max"]) -> Decimal | None:
        held = self.counters[event][4].get(currency) if event in self.counters else None
        return Decimal(held[0 if how == "sum" else 1]) if held else None

    def engaged(self, how: Literal["opened", "clicked"], of_last: int) -> int:
        return sum(how in mail for mail in [mail for mail in self.mails if mail][-of_last:])

    def consent(self, channel: str) -> str:
        return self.consents.get(channel, {}).get("state", "unknown")

    def topic(self, name: str) -> str:
        return self.topics.get(name, {}).get("state", "subscribed")

    def segment(self, name: str) -> bool:
        return name in self.segments

    def past(self, query: Query) -> Answer:
        return answered(
            query,
            [Past(*one) for one in self.history],
            takes=event_filter(query.where),
            now=NOW,
            entered_at=self.entered_at,
        )


class Cell(NamedTuple):
    """A square of the table that must be met: the value's kind is relative to the operator."""

    node: str
    operator: str
    value: str


KINDS = ("fitting", "null", "missing", "wrong")
NODE_OPERATORS: Mapping[str, tuple[str, ...]] = {
    "paths": OPERATORS,
    "did": ("always", "window", "entry", "where", "long"),
    "first": ("before", "after", "within_last", "within_next"),
    "last": ("before", "after", "within_last", "within_next"),
    "sum": ("kept", "money", "number", "where", "since", "entry"),
    "max": ("kept", "money", "number", "where", "since", "entry"),
    "opened": ("of_last",),
    "clicked": ("of_last",),
    "tag": ("one", "several"),
    "score": ("at_least", "at_most", "more_than", "less_than"),
    "segment": ("member",),
    "consent": ("email", "sms", "tracking"),
    "topic": ("state",),
    "all": ("tree",),
    "any": ("tree",),
    "not": ("tree",),
}
# Of these a value cannot be null or of another type: it is there, or it is not.
HELD = {"opened", "clicked", "tag", "score", "segment", "consent", "topic", "first", "last"}
FROM_EVENTS = {"did", "sum", "max"}


def cells() -> Iterator[Cell]:
    for node, operators in NODE_OPERATORS.items():
        for name in operators:
            yield from (Cell(node, name, kind) for kind in kinds_of(node, name))


def kinds_of(node: str, name: str) -> tuple[str, ...]:
    if node in HELD or name in ("always", "window", "kept", "long") or (node, name) == (
        "did", "entry",
    ):  # fmt: skip
        return ("fitting", "missing")
    return KINDS


# -- values -----------------------------------------------------------------------------------

words = st.sampled_from(["vip", "vi", "", "Lyon", "lyon", "é", "20 EUR", "a%_'\"\\b", "zoë 🙂"])
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.1, 2.5, -0.0, 1e23, 2**53, 2**53 + 1, 10**23, 1e-7]),
)
amounts = st.sampled_from(["20", "20.00", "19.99", "-1", 20, 20.5, 0])
prices = st.fixed_dictionaries(
    {"amount": amounts, "currency": st.sampled_from(["EUR", "EUR", "USD"])}
)
broken_prices = st.sampled_from(
    [
        {"amount": "much", "currency": "EUR"}, {"amount": "1e3", "currency": "EUR"},
        {"amount": None, "currency": "EUR"}, {"amount": "20\n", "currency": "EUR"},
        {"amount": "20"}, {"amount": True, "currency": "EUR"}, {"amount": "20", "currency": 7},
    ]
)  # fmt: skip
dates = st.sampled_from(
    [
        "2028-02-28", "2028-02-29", "2027-12-31", "2000-02-29", "1990-03-01", "1990-02-28",
        "2028-02-28T23:30:00Z", "2028-02-28T23:30", "2028-02-28 23:29:59.999999+00:00",
        "2028-02-29T01:30:00+02:00", "2028-02-29T13:00:00+14:00", "1890-01-01T00:00:00-11:00",
        "2028-01-01T00:00:00.5Z", "2199-12-31",
    ]
)  # fmt: skip
days = st.one_of(dates, st.sampled_from(["--02-29", "03-01", "--02-28", "12-31", "--01-01"]))
broken_dates = st.sampled_from(
    [
        "2027-02-29", "2028-13-01", "2028-02-30T10:00Z", "1066-10-14", "yesterday", "2028-2-1",
        "2028-02-28T24:00", "2028-02-28\n", "--02-30", "20280228", "2028-02-28T10:00+15:30", "",
    ]
)  # fmt: skip
scalars = st.one_of(words, numbers, st.booleans())
lists = st.lists(scalars | st.none(), max_size=3)
anything = st.one_of(
    scalars, lists, prices, broken_prices, dates, broken_dates,
    st.dictionaries(words.filter(bool), scalars, max_size=2),
)  # fmt: skip
bounds = st.one_of(numbers, st.sampled_from(["20 EUR", "19.99 EUR", "0 USD"]))
moments = st.sampled_from(["now", "-1d", "+1d", "-90d", "2028-02-28", "2000-02-29T00:00Z", "-1m"])
spans = st.sampled_from(["1m", "1d", "30d", "3650d"])
texts = words.filter(bool)

ASKED: Mapping[str, st.SearchStrategy[Any]] = {
    "is": scalars,
    "not": scalars,
    "in": st.lists(scalars, min_size=1, max_size=3),
    "not_in": st.lists(scalars, min_size=1, max_size=3),
    "exists": st.booleans(),
    "at_least": bounds, "at_most": bounds, "more_than": bounds, "less_than": bounds,
    "contains": scalars,
    "starts_with": texts,
    "before": moments, "after": moments,
    "within_last": spans, "within_next": spans,
    "anniversary": st.sampled_from(["today", "1d", "7d", "364d"]),
}  # fmt: skip
DATED = {"before", "after", "within_last", "within_next"}
SIZED = {"at_least", "at_most", "more_than", "less_than"}


def fitting(name: str) -> st.SearchStrategy[Any]:
    if name in SIZED:
        return numbers | prices
    if name in DATED:
        return dates
    return {
        "anniversary": days,
        "contains": words | lists,
        "starts_with": words,
        "exists": anything,
    }.get(name, scalars | prices)


def unfitting(name: str) -> st.SearchStrategy[Any]:
    if name in SIZED:
        return words | st.booleans() | lists | broken_prices | dates
    if name in DATED or name == "anniversary":
        return broken_dates | numbers | lists | prices
    if name in ("contains", "starts_with"):
        return numbers | st.booleans() | prices
    return anything


# -- cases ------------------------------------------------------------------------------------

PATHS = ("event.x", "contact.x", "entry.x", "event.y.1", "contact.y.z", "event.y.0.z", "event.1")


def put(case: Case, path: str, value: Any) -> None:
    """Make ``value`` stand at ``path``."""
    root, *keys = path.split(".")
    for key in reversed(keys[1:]):
        value = [None] * int(key) + [value] if key.isdecimal() else {key: value}
    getattr(case, root)[keys[0]] = value


@st.composite
def compared(draw: st.DrawFn, cell: Cell, path: str | None = None) -> tuple[Any, Case]:
    path = path or draw(st.sampled_from(PATHS))
    case = Case(zone_name=draw(st.sampled_from(ZONES)))
    match cell.value:
        case "fitting":
            put(case, path, draw(fitting(cell.operator)))
        case "wrong":
            put(case, path, draw(unfitting(cell.operator)))
        case "null":
            put(case, path, None)
        case _:
            case.contact["other"] = draw(scalars)
    written = {cell.operator: draw(ASKED[cell.operator])}
    if draw(st.booleans()) and cell.operator != "exists":
        other = draw(st.sampled_from(OPERATORS))
        written[other] = draw(ASKED[other])
    return {path: written}, case


TIMES = st.one_of(
    st.fixed_dictionaries({"exactly": st.integers(0, 3)}),
    st.fixed_dictionaries({"at_least": st.integers(0, 3), "at_most": st.integers(0, 3)}),
)


@st.composite
def counter(draw: st.DrawFn) -> list[Any]:
    seen = [NOW - dt.timedelta(days=back) for back in sorted(draw(st.sets(st.integers(0, 61))))]
    today = (NOW - EPOCH).days
    buckets = {str(today - (NOW - at).days): draw(st.integers(1, 3)) for at in seen[:4]}
    first = draw(st.sampled_from(["2028-02-28T23:30:00Z", "2020-01-01T00:00:00Z"]))
    last = draw(st.sampled_from(["2028-02-28T23:30:00Z", "2028-02-29T23:30:00Z"]))
    money = {"EUR": [draw(st.sampled_from(["20.00", "0", "-3.5"])), "19.99"]}
    return [draw(st.integers(1, 4)), first, last, buckets, money if draw(st.booleans()) else {}]


@st.composite
def past_events(
    draw: st.DrawFn, name: str, values: st.SearchStrategy[Any]
) -> list[tuple[str, dt.datetime, dict[str, Any]]]:
    ages = st.sampled_from([0, 1, 2, 3, 10, 70, 71, 400])
    return [
        (
            draw(st.sampled_from([name, name, "page.viewed"])),
            NOW - dt.timedelta(days=draw(ages), minutes=draw(st.integers(0, 1440))),
            {"total": draw(values), "x": draw(scalars)},
        )
        for _ in range(draw(st.integers(1, 4)))
    ]


@st.composite
def did(draw: st.DrawFn, cell: Cell) -> tuple[Any, Case]:
    written: dict[str, Any] = {"did": "order.placed", "times": draw(TIMES)}
    case = Case()
    if draw(st.booleans()) or cell.operator == "entry":
        case.entry_counts = {"order.placed": 1} if draw(st.booleans()) else {}
    if cell.value != "missing":
        case.counters["order.placed"] = draw(counter())
    match cell.operator:
        case "window":
            written["since"] = draw(st.sampled_from(["1d", "30d", "60d", "1h"]))
        case "entry":
            written["since"] = "entry"
        case "long":
            written["since"] = "70d"
            case.history = draw(past_events("order.placed", prices))
            if cell.value == "missing":
                case.history = []
        case "where":
            name = draw(st.sampled_from([*SIZED, "is", "not_in", "contains", "exists"]))
            written["where"] = {"event.total": {name: draw(ASKED[name])}}
            written |= draw(st.sampled_from([{}, {"since": "3d"}, {"since": "entry"}]))
            case.history = draw(past_events("order.placed", values_of(cell, name)))
            drop_missing(case, cell)
        case _:
            pass
    return written, case


def values_of(cell: Cell, name: str) -> st.SearchStrategy[Any]:
    return {"fitting": fitting(name), "wrong": unfitting(name)}.get(cell.value, st.none())


def drop_missing(case: Case, cell: Cell) -> None:
    if cell.value == "missing":
        for _, _, data in case.history:
            data.pop("total")


@st.composite
def occasion(draw: st.DrawFn, cell: Cell) -> tuple[Any, Case]:
    case = Case()
    if cell.value == "fitting":
        case.counters["order.placed"] = draw(counter())
    at = {cell.operator: draw(ASKED[cell.operator])}
    return {cell.node: "order.placed", "at": at}, case


@st.composite
def total(draw: st.DrawFn, cell: Cell) -> tuple[Any, Case]:
    unit = "" if cell.operator == "number" else " EUR"
    bound = draw(st.sampled_from(["0", "19.99", "20.00", "40"]))
    written: dict[str, Any] = {
        cell.node: "event.total" if unit else "event.total.amount",
        "of": "order.placed",
        draw(st.sampled_from(sorted(SIZED))): f"{bound}{unit}" if unit else float(bound),
    }
    case = Case()
    if cell.operator == "kept":
        if cell.value == "fitting":
            case.counters["order.placed"] = draw(counter())
        return written, case
    if draw(st.booleans()) or cell.operator == "entry":
        case.entry_counts = {}
    if cell.operator == "entry":
        written["since"] = "entry"
    elif cell.operator == "since":
        written["since"] = draw(st.sampled_from(["2d", "70d"]))
    elif cell.operator in ("where", "money"):
        written["where"] = {"event.x": {"not_in": ["vip", 1]}}
    values = {"fitting": prices, "wrong": broken_prices | scalars | lists}
    case.history = draw(past_events("order.placed", values.get(cell.value, st.none())))
    drop_missing(case, cell)
    return written, case


@st.composite
def engaged(draw: st.DrawFn, cell: Cell) -> tuple[Any, Case]:
    case = Case()
    if cell.value == "fitting":
        fates = st.sampled_from(
            [
                {},
                {"accepted": "t"},
                {"accepted": "t", "opened": "t"},
                {"opened": "t", "clicked": "t"},
            ]
        )
        case.mails = draw(st.lists(fates, min_size=1, max_size=6))
    return {cell.node: draw(TIMES | st.integers(0, 3)), "of_last": draw(st.integers(1, 5))}, case


@st.composite
def held(draw: st.DrawFn, cell: Cell) -> tuple[Any, Case]:
    case, there = Case(), cell.value == "fitting"
    match cell.node:
        case "tag":
            case.contact["tags"] = draw(st.lists(words, min_size=1, max_size=3)) if there else []
            one = draw(texts)
            return {"tag": one if cell.operator == "one" else [one, draw(texts)]}, case
        case "score":
            case.score = draw(st.sampled_from([0.5, 2, -1, 2.25])) if there else 0
            return {"score": {cell.operator: draw(st.sampled_from([0, 2, 2.25, -1]))}}, case
        case "segment":
            case.segments = draw(st.lists(st.sampled_from(["vip", "new"]), min_size=there))
            case.segments = case.segments if there else []
            return {"segment": "vip"}, case
        case "consent":
            states = st.sampled_from(["subscribed", "unsubscribed", "pending"])
            if there:
                case.consents[cell.operator] = {"state": draw(states)}
            word = draw(states | st.just("unknown"))
            return {"consent": {cell.operator: word}}, case
        case _:
            states = st.sampled_from(["subscribed", "unsubscribed"])
            if there:
                case.topics["offers"] = {"state": draw(states)}
            return {"topic": {"offers": draw(states)}}, case


@st.composite
def tree(draw: st.DrawFn, cell: Cell) -> tuple[Any, Case]:
    """Combinations of comparisons of one value, nested."""
    operator = draw(st.sampled_from(OPERATORS))
    leaf, case = draw(compared(Cell("paths", operator, cell.value), "contact.x"))
    others = [
        {"contact.x": {name: draw(ASKED[name])}}
        for name in draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=2))
    ]
    inner: list[Any] = [leaf, {"not": others[0]}, {"any": others[1:] or [leaf]}]
    if cell.node == "not":
        return {"not": {draw(st.sampled_from(["all", "any"])): inner}}, case
    return {cell.node: inner}, case


BUILDERS: Mapping[str, Any] = {
    "paths": compared, "did": did, "first": occasion, "last": occasion, "sum": total, "max": total,
    "opened": engaged, "clicked": engaged, "all": tree, "any": tree, "not": tree,
}  # fmt: skip


# -- both sides -------------------------------------------------------------------------------

SETUP = """
    CREATE SCHEMA t;
    CREATE TABLE t.known (number int PRIMARY KEY, doc jsonb NOT NULL);
    CREATE TABLE t.history (number int, name text, at timestamptz, data jsonb);
"""
OVER = Over(schema="t", history="t.history h", belongs="h.number = k.number")
KNOWN = """
    (SELECT number, doc->'contact' AS contact, doc->'event' AS event, doc->'entry' AS entry,
            (doc->>'score')::numeric AS score, doc->>'zone' AS zone,
            coalesce(doc->'contact'->'tags', '[]') AS tags, doc->'segments' AS segments,
            doc->'consent' AS consent, doc->'topics' AS topics, doc->'counters' AS counters,
            doc->'mails' AS mails, nullif(doc->'entry_counts', 'null') AS entry_counts,
            (doc->>'entered_at')::timestamptz AS entered_at
       FROM t.known) k
"""


def row(case: Case) -> str:
    doc: dict[str, Any] = {
        "contact": case.contact, "event": case.event, "entry": case.entry, "score": case.score,
        "zone": case.zone_name, "segments": case.segments, "consent": case.consents,
        "topics": case.topics, "counters": case.counters, "mails": case.mails,
        "entry_counts": case.entry_counts, "entered_at": case.entered_at,
    }  # fmt: skip
    return _json(doc).decode()


async def in_postgres(connection: asyncpg.Connection, pairs: list[tuple[Any, Case]]) -> list[bool]:
    """One statement for all of them."""
    async with connection.transaction():
        return await _asked(connection, pairs)


async def _asked(connection: asyncpg.Connection, pairs: list[tuple[Any, Case]]) -> list[bool]:
    await connection.execute("TRUNCATE t.known, t.history")
    await connection.executemany(
        "INSERT INTO t.known VALUES ($1, $2)", [(n, row(case)) for n, (_, case) in enumerate(pairs)]
    )
    await connection.executemany(
        "INSERT INTO t.history VALUES ($1, $2, $3, $4)",
        [
            (n, name, at, _json(data).decode())
            for n, (_, case) in enumerate(pairs)
            for name, at, data in case.history
        ],
    )
    asked: list[str] = []
    args: list[Any] = []
    for number, (condition, _) in enumerate(pairs):
        sql = to_sql(condition, OVER, now=NOW, first=len(args) + 1)
        args += sql.args
        asked.append(f"SELECT number, {sql.text} AS holds FROM {KNOWN} WHERE number = {number}")
    rows = await connection.fetch("\nUNION ALL ".join(asked) + " ORDER BY number", *args)
    return [one["holds"] for one in rows]


def really(cell: Cell, case: Case, written: Any) -> str:
    """What the case holds where the condition looks, by looking: the table's proof."""
    if cell.node == "paths":
        (path,) = written
        if case.contact.get("other") is not None:
            return "missing"
        root, *keys = path.split(".")
        value: Any = getattr(case, root)
        for key in keys:
            value = walk(value, [key])
        return "null" if value is None else cell.value
    if cell.node in FROM_EVENTS and case.history and cell.value in ("null", "missing"):
        held_there = [data.get("total", "gone") for _, _, data in case.history]
        return "null" if held_there[0] is None else "missing"
    return cell.value


def test_a_closure_and_postgres_answer_the_same_in_every_square(postgres_url: str) -> None:
    met: set[Cell] = set()
    answers: dict[tuple[str, str], set[bool]] = {}
    table = list(cells())
    with asyncio.Runner() as runner:
        connection = runner.run(_opened(postgres_url))
        try:
            for start in range(0, len(table), CELLS_PER_STATEMENT):
                squares = table[start : start + CELLS_PER_STATEMENT]
                _meet(squares, runner, connection, met, answers)
        finally:
            runner.run(_closed(connection))
    assert met == set(table)
    one_sided = {where for where, said in answers.items() if said != {True, False}}
    assert not one_sided, "an operator that always says the same was not tried in earnest"


def _meet(
    squares: list[Cell],
    runner: asyncio.Runner,
    connection: asyncpg.Connection,
    met: set[Cell],
    answers: dict[tuple[str, str], set[bool]],
) -> None:
    strategy = st.tuples(
        *(st.lists(BUILDERS.get(c.node, held)(c), min_size=6, max_size=6) for c in squares)
    )

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
            HealthCheck.large_base_example, HealthCheck.filter_too_much],
    )  # fmt: skip
    @given(strategy)
    def agree(drawn: tuple[list[tuple[Any, Case]], ...]) -> None:
        flat = [(cell, *pair) for cell, pairs in zip(squares, drawn, strict=True) for pair in pairs]
        pairs = [(_parse.validate_python(written), case) for _, written, case in flat]
        there = runner.run(in_postgres(connection, pairs))
        for (cell, written, case), (condition, _), answer in zip(flat, pairs, there, strict=True):
            # As JSON brings them: what a stream or a document can hold.
            here = check(condition).holds(_as_stored(case))
            assert here is answer, (written, row(case), case.history)
            refuted = never(condition) if here else always(condition)
            # Here an event may lie ahead; what is heard never does.
            assert refuted is None or "future" in refuted, (written, refuted)
            met.add(cell._replace(value=really(cell, case, written)))
            answers.setdefault((cell.node, cell.operator), set()).add(here)

    agree()


def _as_stored(case: Case) -> Case:
    stored = _plain(_json(case))
    stored["history"] = [
        (name, dt.datetime.fromisoformat(at), data) for name, at, data in stored["history"]
    ]
    return Case(**stored)


async def _opened(url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA IF EXISTS t CASCADE")
    await connection.execute(SETUP + FUNCTIONS.replace("{schema}", "t"))
    return connection


async def _closed(connection: asyncpg.Connection) -> None:
    await connection.execute("DROP SCHEMA t CASCADE")
    await connection.close()


async def test_what_a_condition_says_is_an_argument_and_never_a_statement(
    postgres_url: str,
) -> None:
    hostile = "'; DROP SCHEMA t; --"
    condition = _parse.validate_python(
        {"all": [{"contact.x": hostile}, {"tag": hostile}, {"contact.x": {"contains": "$1"}}]}
    )
    sql = to_sql(condition, OVER, now=NOW)
    assert hostile not in sql.text
    assert hostile in sql.args
    connection = await _opened(postgres_url)
    try:
        assert await in_postgres(connection, [(condition, Case(contact={"x": hostile}))]) == [False]
    finally:
        await _closed(connection)


@pytest.mark.parametrize("word", ["contact", "event"])
def test_a_number_of_any_length_is_compared_by_value(word: str) -> None:
    large = 10**400
    condition = _parse.validate_python({f"{word}.x": {"more_than": 5}})
    assert check(condition).holds(Case(contact={"x": large}, event={"x": large}))
