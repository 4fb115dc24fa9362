"""Answer one question without a server: is a template right, what does a webhook or mail say."""

from collections.abc import Mapping

from chappe_sender.adapters.compiler import examine
from chappe_sender.domain.bounces import try_bounce
from chappe_sender.domain.feedback import try_provider
from chappe_sender.domain.template import TemplateError

__all__ = ["examine_template", "try_bounce", "try_provider", "validate_template"]


def examine_template(
    name: str, files: Mapping[str, str]
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """What is wrong with a template's files, and what is only unwise, as ``{"where", "what"}``."""
    try:
        found = examine(name, files)
    except TemplateError as error:
        return [{"where": p.where, "what": p.what} for p in error.problems], []
    return [], [{"where": p.where, "what": p.what} for p in found.warnings]


def validate_template(name: str, files: Mapping[str, str]) -> list[dict[str, str]]:
    """What is wrong with a template's files; empty when nothing is."""
    return examine_template(name, files)[0]
