"""Exactly once, by exhaustion; and each rule is needed, by breaking it."""

import importlib.util
import sys
from collections.abc import Callable, Iterable
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


def commit_whatever(_row: Fence, _held: Fence) -> bool:
    return True


def claim_without_epoch(row: Fence) -> Fence:
    return row


def commit_without_seq(held: Fence, next_offsets: str) -> Fence:
    return Fence(held.epoch, held.commit_seq, next_offsets)


def send_without_waiting(state: RelayState, committed: Iterable[int], limit: int) -> RelayState:
    sent = max([state.published, *state.in_flight])
    return RelayState(sent, tuple(seq for seq in committed if seq > sent)[:limit])


def publish_before_ack(state: RelayState) -> RelayState:
    return RelayState(max(state.in_flight))


def resend_without_the_first(state: RelayState) -> RelayState:
    return RelayState(min(state.in_flight))


def resume_one_late(pub_seq: int) -> RelayState:
    return RelayState(pub_seq + 1)


def take_everything(_seen: int | None, _seq: int) -> bool:
    return True


def take_only_what_is_older(seen: int | None, seq: int) -> bool:
    return seen is None or seq < seen


MUTANTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "the fence is off": ("may_commit", commit_whatever),
    "the epoch does not move with a claim": ("claimed", claim_without_epoch),
    "commit_seq does not move": ("next_fence", commit_without_seq),
    "the relay does not wait for acks": ("next_chunk", send_without_waiting),
    "published moves though the append failed": ("chunk_failed", publish_before_ack),
    "a failed chunk is resent without its first row": ("chunk_failed", resend_without_the_first),
    "a new owner resumes after pub_seq plus one": ("resume_relay", resume_one_late),
    "the reader takes whatever comes": ("is_new", take_everything),
    "the reader takes only what is older": ("is_new", take_only_what_is_older),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_breaking_a_rule_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, broken = MUTANTS[mutant]
    monkeypatch.setattr(rules, name, broken)
    _, wrong = model.explore()
    assert wrong is not None
