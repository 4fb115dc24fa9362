"""Exactly once, by exhaustion; and each rule is needed, by breaking it."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chappe.shards import rules
from chappe.shards.rules import Fence, RelayState


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("model", Path(__file__).with_name("model.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    return module


model = _load()


def test_no_interleaving_of_two_owners_loses_or_doubles_anything() -> None:
    worlds, wrong = model.explore()
    assert wrong is None
    assert worlds > 5_000


MUTANTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "the fence is off": ("may_commit", lambda row, held: True),
    "the epoch does not move with a claim": ("claimed", lambda row: row),
    "commit_seq does not move": (
        "next_fence",
        lambda held, after: Fence(held.epoch, held.commit_seq, after),
    ),
    "the relay does not wait for acks": (
        "next_chunk",
        lambda state, committed, limit: RelayState(
            max([state.published, *state.in_flight]),
            tuple(s for s in committed if s > max([state.published, *state.in_flight]))[:limit],
        ),
    ),
    "published moves though the append failed": (
        "chunk_failed",
        lambda state: RelayState(max(state.in_flight), ()),
    ),
    "a failed chunk is resent without its first row": (
        "chunk_failed",
        lambda state: RelayState(min(state.in_flight), ()),
    ),
    "a new owner resumes after pub_seq plus one": (
        "resume_relay",
        lambda pub: RelayState(pub + 1),
    ),
    "the reader takes whatever comes": ("is_new", lambda seen, seq: True),
    "the reader takes only what is older": (
        "is_new",
        lambda seen, seq: seen is None or seq < seen,
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_breaking_a_rule_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, broken = MUTANTS[mutant]
    monkeypatch.setattr(rules, name, broken)
    _, wrong = model.explore()
    assert wrong is not None
