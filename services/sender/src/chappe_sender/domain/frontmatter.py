"""The head of a template file, between two lines of dashes: subject, preheader, class and more."""

import re
from dataclasses import dataclass
from typing import Any, cast

import yaml

from chappe_sender.domain.template import Problem

KEYS = ("subject", "preheader", "class", "topic", "coupon")
HEAD_LETTERS_MAX = 8_192
_FENCE = "---"
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Source:
    """One file, taken apart. ``first_line`` is the line of the file on which the body begins."""

    file: str
    head: dict[str, str]
    head_lines: dict[str, int]
    body: str
    first_line: int

    def where(self, line: int | None = None, key: str | None = None) -> str:
        """``file:line``; a line of the body, or the line of a key of the head."""
        if key is not None:
            return f"{self.file}:{self.head_lines.get(key, 1)}"
        return self.file if line is None else f"{self.file}:{self.first_line + line - 1}"


def parse_source(file: str, text: str) -> tuple[Source, list[Problem]]:
    """Split head and body. A file without a head is all body; control characters are dropped."""
    text = _CONTROLS.sub("", text)
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].strip() != _FENCE:
        return Source(file, {}, {}, text, 1), []
    end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() == _FENCE), None)
    if end is None:
        problem = Problem(f"{file}:1", "the head opened with --- is never closed by another ---")
        return Source(file, {}, {}, "", len(lines)), [problem]
    head, problems = _head(file, lines[1:end])
    key_lines = {
        key: number
        for number, line in enumerate(lines[1:end], 2)
        for key in KEYS
        if line.startswith(f"{key}:")
    }
    return Source(file, head, key_lines, "".join(lines[end + 1 :]), end + 2), problems


def _head(file: str, lines: list[str]) -> tuple[dict[str, str], list[Problem]]:
    text = "".join(lines)
    if len(text) > HEAD_LETTERS_MAX:
        return {}, [Problem(f"{file}:1", f"the head is longer than {HEAD_LETTERS_MAX} letters")]
    try:
        said: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return {}, [_yaml_problem(file, error)]
    if said is None:
        return {}, []
    if not isinstance(said, dict):
        return {}, [Problem(f"{file}:2", "the head must be lines of `key: value`")]
    head: dict[str, str] = {}
    problems: list[Problem] = []
    for key, value in cast("dict[Any, Any]", said).items():
        if key not in KEYS:
            known = ", ".join(KEYS)
            problems.append(Problem(f"{file}:2", f"unknown key {key!r} (known: {known})"))
        elif not isinstance(value, str):
            problems.append(Problem(f"{file}:2", f'{key} must be text: put it in "double quotes"'))
        else:
            head[key] = value
    return head, problems


def _yaml_problem(file: str, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line = 2 + mark.line if mark is not None else 2
    what = getattr(error, "problem", None) or "cannot be read"
    return Problem(
        f"{file}:{line}", f'the head is not YAML ({what}): put values with {{{{ }}}} in "quotes"'
    )
