"""Read a search as Mailpit writes them: ``to:zoe@example.com subject:"your cart" -from:shop word``.

Terms are joined by *and*; ``-`` or ``!`` before one turns it around. Words without a key look
through sender, recipients, subject and Message-ID, not the text. ``to:`` with a whole address is
exact, envelope included: a test that waits for ann@example.com must not be given joann's.
"""

import re
from dataclasses import dataclass
from typing import Final

from chappe_onebox.inbox.headers import bare_message_id

QUERY_CHARS_MAX: Final = 1_000
TERMS_MAX: Final = 20

_TERM: Final = re.compile(
    r'(?P<not>[-!]?)(?:(?P<key>to|from|subject|message-id):)?(?:"(?P<quoted>[^"]*)"?|(?P<word>\S+))',
    re.IGNORECASE,
)
_WHOLE_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")

_TO_EXACTLY: Final = "id in (select mail_id from recipient where address = ?)"
_CONDITIONS: Final = {
    "to": "instr(folded_recipients, ?)",
    "from": "instr(folded_senders, ?)",
    "subject": "instr(folded_subject, ?)",
    "message-id": "message_id = ?",
}
_ANYWHERE: Final = (
    "(instr(folded_subject, ?) or instr(folded_senders, ?) or instr(folded_recipients, ?)"
    " or instr(lower(message_id), ?))"
)


class BadQueryError(ValueError):
    """The search cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Filter:
    """An SQL condition over ``mail`` and its values."""

    where: str
    values: tuple[str, ...]


EVERYTHING: Final = Filter("1", ())


def parse_query(query: str) -> Filter:
    """Turn a search into a condition.

    Raises:
        BadQueryError: it is empty, too long, or has too many terms.
    """
    if len(query) > QUERY_CHARS_MAX:
        raise BadQueryError(f"a search has at most {QUERY_CHARS_MAX} characters")
    terms = [_condition(match) for match in _TERM.finditer(query.replace("\0", ""))]
    if not terms:
        raise BadQueryError("say what to search for, as in query=to:zoe@example.com")
    if len(terms) > TERMS_MAX:
        raise BadQueryError(f"a search has at most {TERMS_MAX} terms")
    return Filter(
        " and ".join(term.where for term in terms),
        tuple(value for term in terms for value in term.values),
    )


def _condition(match: re.Match[str]) -> Filter:
    key = (match["key"] or "").lower()
    value = match["word"] if match["quoted"] is None else match["quoted"]
    value = value.encode("utf-8", "replace").decode()
    where, values = _matching(key, value)
    return Filter(f"not ({where})" if match["not"] else where, values)


def _matching(key: str, value: str) -> tuple[str, tuple[str, ...]]:
    if key == "to" and _WHOLE_ADDRESS.fullmatch(value):
        return _TO_EXACTLY, (value.lower(),)
    if key == "message-id":
        return _CONDITIONS[key], (bare_message_id(value),)
    folded = value.casefold()
    if key:
        return _CONDITIONS[key], (folded,)
    return _ANYWHERE, (folded,) * 4
