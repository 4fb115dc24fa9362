"""Why a message did not arrive, from what a server said about it.

Words first where they are telling, then the status code (RFC 3463), then vaguer words, then the
three digits: a server that answers ``550 5.7.1 user unknown`` means the user.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from chappe_sender.domain.bounces.codes import BY_CODE, Numbers, numbers, status
from chappe_sender.domain.bounces.events import DEAD, BounceClass
from chappe_sender.domain.bounces.rules import HINTS, SURE, TELLING, Rule

TEXT_LETTERS_MAX: Final = 3_000
WORD_LETTERS_MAX: Final = 100
_PERMANENT: Final = 5

_ADDRESS = re.compile(r"<?[^\s<>\"'(),;:@]{1,100}@[^\s<>\"'(),;:@]{1,100}>?")
_ACCENT = re.compile("(?<=[a-z])[\u0300-\u036f]+")
_BLANKS = re.compile(r"\s+")
_FIRST_OF_MANY = re.compile(r"(?<!\d)([245]\d\d)-(\d\.\d{1,3}\.\d{1,3})?")
_LONG_WORD = re.compile(rf"(\S{{{WORD_LETTERS_MAX}}})\S+")
_FOR_NOW = re.compile(r"temporar|vorubergehend|momentan")
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "`": "'", "\u00b4": "'", "\u00df": "ss"})
_SPELT_OUT = (("empfaenger", "empfanger"), ("ungueltig", "ungultig"), ("geloescht", "geloscht"))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``permanent``: the address or its domain is dead. ``later``: the server said, try again.

    ``sure``: telling words or a status code said so, not a guess from vague ones.
    """

    bounce_class: BounceClass
    permanent: bool
    later: bool
    sure: bool = True


def classify(text: str, *, field: str = "", failed: bool = False) -> Diagnosis:
    """The class of a server's answer ``text``; ``field`` is a report's ``Status``, if any.

    ``failed`` says that somebody gave up (``Action: failed``), which counts as a 5xx where neither
    the text nor ``field`` has a code: a 4xx never makes an address dead.
    """
    clean = cleaned(text)
    said = numbers(clean)
    stated = status(field)
    digit = said.digit or (stated[0] if stated else None) or (_PERMANENT if failed else None)
    certain = _certain(clean, said, stated)
    found = certain or _guess(clean, said)
    return Diagnosis(
        found,
        permanent=found in DEAD and digit == _PERMANENT and not _FOR_NOW.search(clean),
        later=digit is not None and digit != _PERMANENT,
        sure=certain is not None,
    )


def cleaned(text: str) -> str:
    """``text`` as the rules expect it: lower case, no accents, one blank, addresses as ``<@>``."""
    short = _BLANKS.sub(" ", text[: 2 * TEXT_LETTERS_MAX].replace("\\n", " ")).strip()
    flat = short.translate(_QUOTES).lower()
    flat = _ADDRESS.sub("<@>", _LONG_WORD.sub(r"\1", flat))
    flat = unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", flat)))
    for long, letter in _SPELT_OUT:
        flat = flat.replace(long, letter)
    return _one_line(flat)[:TEXT_LETTERS_MAX]


def _one_line(text: str) -> str:
    """``550-5.1.1 no such 550 5.1.1 user`` as ``550 5.1.1 no such user``."""
    first = _FIRST_OF_MANY.search(text)
    if first is None:
        return text
    again = rf"(?<!\d){first[1]}[- ](?:{re.escape(first[2])} )?" if first[2] else rf"{first[1]}[- ]"
    head = f"{text[: first.start()]}{first[1]} {first[2] or ''}"
    return _BLANKS.sub(" ", head + re.sub(again, "", text[first.end() :]))


def _certain(clean: str, said: Numbers, stated: tuple[int, str] | None) -> BounceClass | None:
    by_field = BY_CODE.get(stated[1]) if stated else None
    return _by_words(SURE, clean) or _by_words(TELLING, clean) or said.by_status or by_field


def _guess(clean: str, said: Numbers) -> BounceClass:
    return _by_words(HINTS, clean) or said.by_reply or BounceClass.UNKNOWN


def _by_words(rules: tuple[Rule, ...], clean: str) -> BounceClass | None:
    return next((verdict for verdict, words in rules if words.search(clean)), None)
