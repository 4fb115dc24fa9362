"""Whatever the journal says, a person can read: every word that can stand there has a sentence."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chappe_analytics.domain.sentences import DECISIONS, REASONS

SERVICES = Path(__file__).parents[3] / "services"
WORD = re.compile(r"[a-z]+(_[a-z]+)*")

REASON_AT = {
    "Refusal": 0,
    "Ending": 3,
    "leave": 2,
    "end": 1,
    "take_back": 1,
    "_finish": 2,
    "_again": 1,
    "_give_back": 1,
    "put_back": 1,
    "decision": 3,
    "cancel": 4,
    "_tell": 3,
}
"""Where a call says the reason, when it does not say ``reason=``."""

WHAT_AT = {"decide": 0, "decision": 1, "Ending": 1}
REFUSING = ("_refusal", "_event_refusal", "_too_many", "_known_key", "_cadence", "_ended_by")
OTHERS_WORDS = ("providers", "feedback", "bounces")
"""Folders that read what strangers say; our own words for that are the bounce classes."""

SAID_ELSEWHERE = {"done", "failed"}
"""How a webhook's row ends: no decision."""

WAITS_ENDED = {"time", "timeout", "event", "already", "condition", "passed"}
"""Have sentences of their own."""


def trees() -> Iterator[ast.AST]:
    for service in ("orchestrator", "sender"):
        for path in sorted((SERVICES / service / "src").rglob("*.py")):
            if not set(path.parts) & set(OTHERS_WORDS):
                yield ast.parse(path.read_text())


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def words_in(node: ast.AST | None) -> Iterator[str]:
    """The texts that an expression may be: a constant, or either side of a choice."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.IfExp(body=body, orelse=other):
            yield from words_in(body)
            yield from words_in(other)
        case ast.BoolOp(values=values):
            for value in values:
                yield from words_in(value)
        case ast.Tuple(elts=[first, *_]):
            yield from words_in(first)
        case _:
            return


def reasons_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=args, keywords=keywords):
                at = REASON_AT.get(name_of(node), len(args))
                yield from words_in(args[at] if at < len(args) else None)
                if name_of(node) in {"decide", "Asked", *REASON_AT}:
                    for keyword in keywords:
                        if keyword.arg == "reason":
                            yield from words_in(keyword.value)
            case ast.FunctionDef(name=name) if name in REFUSING:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return):
                        yield from words_in(inner.value)
            case ast.Constant(value=str() as text) if "AS refusal" in text:
                yield from re.findall(r"THEN '([a-z_]+)'", text.partition("AS refusal")[0])
            case _:
                pass


def assigned_in(tree: ast.AST) -> Iterator[str]:
    """``base, reason = WAIT, "deferred"`` and ``reason = "merged"``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == "reason":
                yield from words_in(node.value)
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for name, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(name, ast.Name) and name.id == "reason":
                        yield from words_in(value)


def bounce_classes() -> Iterator[str]:
    path = SERVICES / "sender/src/chappe_sender/domain/bounces/events.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and node.name == "BounceClass":
            for line in node.body:
                if isinstance(line, ast.Assign):
                    yield from words_in(line.value)


def said() -> set[str]:
    found = {*bounce_classes(), "captured", "holdout"}
    for tree in trees():
        found |= {*reasons_in(tree), *assigned_in(tree)}
    return {word for word in found if WORD.fullmatch(word)} - SAID_ELSEWHERE - WAITS_ENDED


def decided() -> set[str]:
    found: set[str] = set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (at := WHAT_AT.get(name_of(node))) is not None:
                found |= {*words_in(node.args[at] if at < len(node.args) else None)}
    return {word for word in found if WORD.fullmatch(word)}


def test_the_collector_finds_the_words_of_both_services() -> None:
    reasons = said()
    assert {"captured", "no_consent", "deferred", "frequency_cap", "merged", "spam"} <= reasons
    assert {"entered", "handed_over", "postponed"} <= decided()


def test_every_reason_has_a_clause() -> None:
    assert sorted(said() - REASONS.keys()) == []


def test_every_decision_has_a_sentence() -> None:
    assert sorted(decided() - DECISIONS.keys()) == []


@pytest.mark.parametrize("clause", sorted(REASONS.values()))
def test_a_clause_goes_on_after_a_colon(clause: str) -> None:
    assert clause[0].islower()
    assert not clause.endswith(".")
