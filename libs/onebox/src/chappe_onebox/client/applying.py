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
class Applied:
    """What stands now: the pinned template versions, and what publishing answered."""

    templates: dict[str, dict[str, Any]]
    answer: Any


def read_folders(path: Path) -> list[Folder]:
    """The journeys at ``path``: one folder, a folder of folders, or one YAML file.

    Raises ``ValueError`` when there is none.
    """
    if path.is_file():
        return [Folder(str(path), path.read_text("utf-8"), {})]
    found = sorted(path.glob(f"*/{JOURNEY}")) if not (path / JOURNEY).exists() else [path / JOURNEY]
    if not found:
        raise ValueError(f"{path} holds no {JOURNEY}, and none of its folders does")
    return [
        Folder(
            str(file),
            file.read_text("utf-8"),
            template_files(
                (each.name, each.read_text("utf-8"))
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
        (each.name, each.read_text("utf-8"))
        for each in sorted(files)
        if each.suffix in TEMPLATE_ENDINGS
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


def validate(api: Api, folders: Sequence[Folder]) -> list[str]:
    """The journeys' names. Raises ``Refused`` with ``file:line:col`` for each mistake; changes
    nothing.
    """
    files = {folder.file: folder.yaml for folder in folders}
    for folder in folders:
        for template in folder.templates.values():
            files |= {f"{folder.file}/{name}": text for name, text in template.items()}
    answer = api.post("/api/v1/journeys/validate", {"files": files})
    if not answer["valid"]:
        raise Refused(
            UNPROCESSABLE, "the journeys cannot be accepted; see errors", answer["errors"]
        )
    return answer["journeys"]


def apply(api: Api, folders: Sequence[Folder], *, draft: bool = False) -> Applied:
    """Check, upload, publish. ``draft`` stops before publishing. Raises ``ApiError``."""
    validate(api, folders)
    pinned: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for name, files in folder.templates.items():
            stored = api.post("/api/v1/templates", {"name": name, "files": files})
            pinned[name] = {key: stored.get(key) for key in ("version", "class", "topic")}
    if draft:
        return Applied(pinned, None)
    body = {"journeys": _journeys(folders), "templates": pinned}
    return Applied(pinned, api.post("/api/v1/journeys/publish", body))


def _journeys(folders: Sequence[Folder]) -> list[dict[str, str]]:
    return [{"file": folder.file, "yaml": folder.yaml} for folder in folders]
