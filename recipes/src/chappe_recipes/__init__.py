"""The ready journeys, each with its templates: read them, copy them, publish them like your own."""

from dataclasses import dataclass
from importlib.resources import files

NAMES: tuple[str, ...] = ("welcome", "abandoned-cart")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A folder as it is uploaded. ``templates`` maps file names such as ``cart-1.fr.mjml``."""

    name: str
    journey: str
    templates: dict[str, str]
    readme: str

    def template_files(self) -> dict[str, dict[str, str]]:
        """The files by the template they belong to: the part of a file's name before its dot."""
        found: dict[str, dict[str, str]] = {}
        for file, text in sorted(self.templates.items()):
            found.setdefault(file.partition(".")[0], {})[file] = text
        return found


def recipe(name: str) -> Recipe:
    """One recipe; raises ``KeyError`` for a name that is not in ``NAMES``."""
    if name not in NAMES:
        raise KeyError(name)
    folder = files(__name__) / name
    return Recipe(
        name=name,
        journey=(folder / "journey.yaml").read_text("utf-8"),
        templates={
            file.name: file.read_text("utf-8")
            for file in (folder / "templates").iterdir()
            if file.name.endswith((".mjml", ".html", ".txt"))
        },
        readme=(folder / "README.md").read_text("utf-8"),
    )


def recipes() -> tuple[Recipe, ...]:
    """All of them."""
    return tuple(recipe(name) for name in NAMES)
