"""Journeys as folders: read them, check them, upload their templates, publish them together.

A folder is ``journey.yaml`` with ``templates/NAME.mjml`` beside it; a folder of such folders is
published all or nothing. Templates go first, as immutable versions; the journeys are then
published in one request that pins them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chappe_onebox.client.api import Api, Refused

UNPROCESSABLE = 422

JOURNEY = "journey.yaml"
TEMPLATE_ENDINGS = (".mjml", ".html", ".txt")


@dataclass(frozen=True, slots=True)
class Folder:
    """One journey: the name of its file for error messages, its text, its templates' files."""

    file: str
    yaml: str
    templates: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Checked:
    """The journeys' names, and what their author should know although nothing is wrong."""

    journeys: list[str]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Applied:
    """What stands now: the pinned template versions, and what publishing answered; None where it
    stopped before.
    """

    templates: dict[str, dict[str, Any]]
    answer: Any
    warnings: list[str]


class FileError(ValueError):
    """A file cannot be read as a text. ``where`` is ``file:line:col``."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where, self.what = where, what


def text_of(file: Path) -> str:
    """What the file says. Raises ``FileError`` when that is not UTF-8."""
    said = file.read_bytes()
    try:
        return said.decode("utf-8")
    except UnicodeDecodeError as error:
        before = said[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        what = f"is not UTF-8 text: the byte 0x{said[error.start]:02x}"
        raise FileError(f"{file}:{line}:{column}", what) from error


def read_folders(path: Path) -> list[Folder]:
    """The journeys at ``path``: one folder, a folder of folders, or one YAML file.

    Raises ``ValueError`` when there is none, and ``FileError``.
    """
    if path.is_file():
        return [Folder(str(path), text_of(path), {})]
    found = sorted(path.glob(f"*/{JOURNEY}")) if not (path / JOURNEY).exists() else [path / JOURNEY]
    if not found:
        raise ValueError(f"{path} holds no {JOURNEY}, and none of its folders does")
    return [
        Folder(
            str(file),
            text_of(file),
            template_files(
                (each.name, text_of(each))
                for each in sorted((file.parent / "templates").glob("*"))
                if each.suffix in TEMPLATE_ENDINGS
            ),
        )
        for file in found
    ]


def read_templates(path: Path) -> dict[str, dict[str, str]]:
    """The templates at ``path``: a folder of them, or one with all its variants beside it.

    Raises ``ValueError`` when there is none.
    """
    if path.is_file():
        stem = path.name.partition(".")[0]
        files = [each for each in path.parent.iterdir() if each.name.partition(".")[0] == stem]
    else:
        files = list(path.iterdir())
    found = template_files(
        (each.name, text_of(each)) for each in sorted(files) if each.suffix in TEMPLATE_ENDINGS
    )
    if not found:
        raise ValueError(f"{path} holds no template: NAME.mjml or NAME.html")
    return found


def template_files(files: Iterable[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Files by template: ``cart-1.mjml`` and ``cart-1.fr.mjml`` are both of ``cart-1``."""
    found: dict[str, dict[str, str]] = {}
    for name, text in files:
        found.setdefault(name.partition(".")[0], {})[name] = text
    return found


def validate(api: Api, folders: Sequence[Folder]) -> Checked:
    """Raises ``Refused`` with ``file:line:col`` for each mistake; changes nothing."""
    files = {folder.file: folder.yaml for folder in folders}
    for folder in folders:
        for template in folder.templates.values():
            files |= {f"{folder.file}/{name}": text for name, text in template.items()}
    answer = api.post("/api/v1/journeys/validate", {"files": files})
    if not answer["valid"]:
        raise Refused(
            UNPROCESSABLE, "the journeys cannot be accepted; see errors", answer["errors"]
        )
    return Checked(answer["journeys"], answer.get("warnings", []))


def apply(api: Api, folders: Sequence[Folder], *, draft: bool = False) -> Applied:
    """Check, upload, publish. With ``draft`` the journeys are kept as drafts, which can be
    published by name. Raises ``ApiError``.
    """
    checked = validate(api, folders)
    pinned: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for name, files in folder.templates.items():
            stored = api.post("/api/v1/templates", {"name": name, "files": files})
            pinned[name] = {key: stored.get(key) for key in ("version", "class", "topic")}
    journeys = _journeys(folders)
    if draft:
        for name, journey in zip(checked.journeys, journeys, strict=True):
            api.put(f"/api/v1/journeys/{name}/draft", {**journey, "templates": pinned})
        return Applied(pinned, None, checked.warnings)
    body = {"journeys": journeys, "templates": pinned}
    return Applied(pinned, api.post("/api/v1/journeys/publish", body), checked.warnings)


def _journeys(folders: Sequence[Folder]) -> list[dict[str, str]]:
    return [{"file": folder.file, "yaml": folder.yaml} for folder in folders]
