"""Read a journey file, and say everything that is wrong with it at once, each with its place.

Plain scalars are read as in YAML 1.2: ``no`` and ``12:30`` are texts. Anchors are refused.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from chappe.journey.definition import Journey
from chappe.journey.ids import with_ids
from chappe.journey.problems import Problem, problems_in
from chappe.journey.segments import Segment
from chappe.journey.texts import problems_in_texts
from chappe.journey.values import Strict
from chappe.journey.wording import explained

M = TypeVar("M", bound=Strict)

FILE_BYTES_MAX = 128 * 1024
NESTING_MAX = 100
PROBLEMS_MAX = 100
WORDS_MAX = 400
"""Letters of one complaint; of a longer one the middle is left out."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """A problem with its place in the file; line and column count from 1."""

    file: str
    line: int
    column: int
    path: str
    what: str

    @property
    def where(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.path}" if self.path else place

    @property
    def sentence(self) -> str:
        """``file:line:col: path: what``."""
        return f"{self.where}: {self.what}"


class JourneyInvalidError(Exception):
    """The journey, or the segment, cannot be accepted.

    ``complaints`` says why, in the order of the file.
    """

    def __init__(self, complaints: tuple[Complaint, ...]) -> None:
        super().__init__("\n".join(one.sentence for one in complaints))
        self.complaints = complaints


def read_journey(
    text: str,
    *,
    file: str = "journey.yaml",
    templates: Collection[str] | None = None,
    topics: Collection[str] | None = None,
    problem_with: Callable[[str], str | None] | None = None,
) -> Journey:
    """The journey in a YAML or JSON text, with every step id written out.

    ``templates`` are the names that a send step may use, ``topics`` those that any step may;
    ``problem_with`` says what is wrong with a text that may hold Liquid. None leaves either
    unchecked. Raises ``JourneyInvalidError``.
    """

    def problems(journey: Journey) -> list[Problem]:
        found = problems_in(journey, templates, topics)
        if problem_with is not None:
            found += problems_in_texts(journey, problem_with)
        return found

    return with_ids(_read(text, file, Journey, problems))


def read_segment(text: str, *, file: str = "segment.yaml") -> Segment:
    """The segment in a YAML or JSON text. Raises ``JourneyInvalidError``."""
    return _read(text, file, Segment, lambda _: [])


def _read(text: str, file: str, model: type[M], problems_of: Callable[[M], list[Problem]]) -> M:
    """Every complaint about the text, or what it says."""
    root, value, found = _parse(text, file)
    said: M | None = None
    if root is not None:
        try:
            said = model.model_validate(value)
            problems = problems_of(said)
        except ValidationError as error:
            problems = explained(error, model)
        found += [_located(problem, root, file) for problem in problems]
    if found or said is None:
        ordered = sorted(found, key=lambda one: (one.line, one.column))
        raise JourneyInvalidError(tuple(ordered[:PROBLEMS_MAX]))
    return said


def canonical_json(journey: Journey) -> bytes:
    """What is stored: every id written, defaults that were left out still out."""
    return with_ids(journey).model_dump_json(by_alias=True, exclude_unset=True).encode()


def stored_journey(definition: bytes | str) -> Journey:
    """Read back what ``canonical_json`` wrote."""
    return Journey.model_validate_json(definition)


def yaml_of(definition: Any) -> str:
    """A stored definition as people write it, so that it reads back as the same."""
    return yaml.dump(definition, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def journey_schema() -> dict[str, Any]:
    """The JSON Schema of a journey file."""
    schema = Journey.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


class _YamlError(Exception):
    def __init__(self, mark: yaml.Mark, what: str) -> None:
        super().__init__(what)
        self.mark = mark


def _parse(text: str, file: str) -> tuple[yaml.Node | None, Any, list[Complaint]]:
    if len(text.encode("utf-8", "surrogatepass")) > FILE_BYTES_MAX:
        return None, None, [Complaint(file, 1, 1, "", f"is larger than {FILE_BYTES_MAX} bytes")]
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        if root is None:
            return None, None, [Complaint(file, 1, 1, "", "is empty")]
        duplicates: list[Complaint] = []
        value = _value(root, file, duplicates, set(), 0)
    except _YamlError as error:
        return None, None, [_at_mark(error.mark, str(error), file)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, None, [_at_mark(mark, _plainly(error.problem or "is not YAML"), file)]
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = error.position - (before.rfind("\n") + 1) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character[:1])
        what = f"holds a character that YAML does not take: U+{code:04X}"
        return None, None, [Complaint(file, before.count("\n") + 1, column, "", what)]
    except yaml.YAMLError as error:
        return None, None, [Complaint(file, 1, 1, "", f"is not YAML: {error}")]
    except RecursionError:
        return None, None, [Complaint(file, 1, 1, "", "is nested too deeply")]
    return root, value, duplicates


_PLAIN_WORDS: tuple[tuple[str, str], ...] = (
    ("found character '\\t'", "a tab stands here: YAML is indented with spaces"),
    ("but found another document", "a second document begins: a file holds one"),
    ("mapping values are not allowed", "a text with a colon in it stands in quotes"),
    ("could not find expected ':'", "a key without its colon, or a text that wants quotes"),
    ("found undefined alias", "anchors and aliases are not supported"),
)
"""What the YAML library says, and what people can do about it."""


def _plainly(problem: str) -> str:
    for begins, plain in _PLAIN_WORDS:
        if problem.startswith(begins):
            return plain
    return problem.replace("'<stream end>'", "the end of the file")


def _at_mark(mark: yaml.Mark | None, what: str, file: str) -> Complaint:
    return Complaint(file, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, "", what)


def _value(
    node: yaml.Node, file: str, complaints: list[Complaint], seen: set[int], depth: int
) -> Any:
    """The plain value of a node. A node met twice is an alias: refused, as it may multiply."""
    if id(node) in seen:
        raise _YamlError(node.start_mark, "anchors and aliases are not supported")
    seen.add(id(node))
    if depth > NESTING_MAX:
        raise _YamlError(node.start_mark, "is nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, file, complaints, seen, depth + 1) for one in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, held in node.value:
            name = _value(key, file, complaints, seen, depth + 1)
            if not isinstance(name, str):
                liquid = '; Liquid stands in quotes: "{{ … }}"' if isinstance(name, dict) else ""
                complaints.append(_at_mark(key.start_mark, f"a key must be a text{liquid}", file))
                continue
            if name in found:
                complaints.append(_at_mark(key.start_mark, f"{name!r} is given twice", file))
            found[name] = _value(held, file, complaints, seen, depth + 1)
        return found
    return _scalar(node)


_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?[0-9]{1,18}"), int),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?"), float),
)
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "~": None}


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return text
    if text == "" or text in _WORDS:
        return _WORDS.get(text)
    for pattern, number in _NUMBERS:
        if pattern.fullmatch(text):
            return number(text)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that this reader would take for something else: ``08000`` is a text."""

    def text(self, text: str) -> yaml.ScalarNode:
        node = self.represent_str(text)
        if node.style is None and _scalar(node) != text:
            node.style = "'"
        return node


_Dumper.add_representer(str, _Dumper.text)


def _located(problem: Problem, root: yaml.Node | None, file: str) -> Complaint:
    """Follow the location as far as the file goes; parts that are no key are tags of a union."""
    node, path = root, ""
    mark = root.start_mark if root else None
    for part in problem.at:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, held) for key, held in node.value if key.value == part), None)
            if pair is not None:
                mark, node = pair[0].start_mark, pair[1]
                path += f".{part}" if path else str(part)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            mark = node.start_mark
            path += f"[{part}]"
    missing = problem.what == "is required"
    if missing and problem.at:
        path += f".{problem.at[-1]}" if path else str(problem.at[-1])
    what = problem.what
    if len(what) > WORDS_MAX:
        what = f"{what[: WORDS_MAX // 2]} … {what[-WORDS_MAX // 2 :]}"
    complaint = _at_mark(mark, what, file)
    return Complaint(file, complaint.line, complaint.column, path, what)
