"""The shaping rules that come with Chappe, and those of an operator on top."""

import tomllib
from functools import cache
from importlib.resources import files

from chappe_sender.domain.shaping import Shaping, shaping_of

FILE = "shaping.toml"


@cache
def built_in() -> Shaping:
    """What comes with Chappe."""
    return shaping_of(tomllib.loads(_text()))


def shaping_with(own: str | None) -> Shaping:
    """``own`` is TOML. Raises ``ValueError`` that says what is wrong with it."""
    if own is None:
        return built_in()
    try:
        return shaping_of(tomllib.loads(_text()), tomllib.loads(own))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(str(error)) from None


def _text() -> str:
    return files("chappe_sender").joinpath(FILE).read_text("utf-8")
