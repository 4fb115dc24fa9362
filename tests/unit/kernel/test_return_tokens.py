"""Addresses that mail comes back to: short, folded by anybody, forged by nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.ids import derived
from chappe.tokens import RETURN_OCTETS_MAX, Tokens

TOKENS = Tokens(b"a-secret-key-for-tests-only-0001")
LOCAL_PART_MAX = 64
MESSAGE = derived("m_", "enrollment", "step", "1")


@pytest.mark.parametrize("message", [MESSAGE, "m_1", "x" * (RETURN_OCTETS_MAX - 1)])
def test_an_address_names_its_message_whatever_the_case(message: str) -> None:
    local = TOKENS.sign_return("b", message)
    assert local is not None
    assert len(local) <= LOCAL_PART_MAX
    assert TOKENS.open_return(local) == ("b", message)
    assert TOKENS.open_return(local.upper()) == ("b", message)


def test_an_id_that_does_not_fit_has_no_address() -> None:
    assert TOKENS.sign_return("b", "x" * RETURN_OCTETS_MAX) is None


def test_another_kind_key_or_letter_is_none_of_ours() -> None:
    local = TOKENS.sign_return("b", MESSAGE) or ""
    assert TOKENS.open_return("u" + local[1:]) is None
    assert Tokens(b"another-secret-key-for-tests-001").open_return(local) is None
    swapped = local[:5] + ("a" if local[5] != "a" else "b") + local[6:]
    assert TOKENS.open_return(swapped) is None


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    assert TOKENS.open_return(text) is None
