"""Links that nobody can forge, and secrets that nobody can swap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.tokens import Tokens, Vault, secret_key_of

KEY = b"a key of at least thirty-two byte"
TOKENS = Tokens(KEY)
PAYLOAD: list[str | int | None] = ["default", "c_1", "m_1", 3, "https://shop.example/p?a=1&b=é"]


def test_a_token_opens_to_what_was_sealed() -> None:
    assert TOKENS.open("click", TOKENS.seal("click", PAYLOAD)) == PAYLOAD


def test_the_same_payload_seals_to_the_same_token_so_a_retry_sends_the_same_bytes() -> None:
    assert TOKENS.seal("open", PAYLOAD) == TOKENS.seal("open", PAYLOAD)


def test_a_click_is_no_unsubscribe() -> None:
    assert TOKENS.open("unsubscribe", TOKENS.seal("click", PAYLOAD)) is None


def test_another_key_opens_nothing() -> None:
    assert Tokens(KEY + b"!").open("click", TOKENS.seal("click", PAYLOAD)) is None


@given(st.text(max_size=200))
def test_whatever_a_stranger_sends_is_refused_without_an_error(token: str) -> None:
    assert TOKENS.open("click", token) is None


@given(st.integers(0, 60), st.integers(1, 63))
def test_one_changed_letter_breaks_it(at: int, by: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = TOKENS.seal("click", PAYLOAD)
    changed = alphabet[(alphabet.index(token[at]) + by) % 64]
    assert TOKENS.open("click", token[:at] + changed + token[at + 1 :]) is None


def test_a_secret_moved_to_another_row_does_not_open() -> None:
    vault = Vault(KEY)
    sealed = vault.encrypt("source/a", "shpss_1")
    assert vault.decrypt("source/a", sealed) == "shpss_1"
    with pytest.raises(ValueError, match="CHAPPE_SECRET_KEY"):
        vault.decrypt("source/b", sealed)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        secret_key_of("secret")
