"""Check a template, storing nothing: what ``chappe templates validate`` prints."""

from collections.abc import Mapping

from chappe_sender.adapters.compiler import publish
from chappe_sender.domain.template import TemplateError


def validate_template(name: str, files: Mapping[str, str]) -> list[dict[str, str]]:
    """What is wrong with a template's files, as ``{"where", "what"}``; empty when nothing is."""
    try:
        publish(name, files)
    except TemplateError as error:
        return [{"where": problem.where, "what": problem.what} for problem in error.problems]
    return []
