"""Answer one question without a server: is a template right, what does a webhook or mail say."""

from collections.abc import Mapping

from chappe_sender.adapters.compiler import publish
from chappe_sender.domain.bounces import try_bounce
from chappe_sender.domain.feedback import try_provider
from chappe_sender.domain.template import TemplateError

__all__ = ["try_bounce", "try_provider", "validate_template"]


def validate_template(name: str, files: Mapping[str, str]) -> list[dict[str, str]]:
    """What is wrong with a template's files, as ``{"where", "what"}``; empty when nothing is."""
    try:
        publish(name, files)
    except TemplateError as error:
        return [{"where": problem.where, "what": problem.what} for problem in error.problems]
    return []
