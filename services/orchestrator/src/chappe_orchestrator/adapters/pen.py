"""Fill in the short texts of webhooks and notices."""

from collections.abc import Mapping
from typing import Any

from liquid.exceptions import LiquidError

from chappe_orchestrator.application.texts import TEXT_LENGTH_MAX, environment


class LiquidPen:
    """``Pen`` over python-liquid."""

    def fill(self, text: str, values: Mapping[str, Any]) -> str:
        """Raises ``ValueError`` with a sentence."""
        if "{" not in text:
            return text
        try:
            return environment().from_string(text).render(**values)[:TEXT_LENGTH_MAX]
        except LiquidError as error:
            raise ValueError(str(error).partition("\n")[0]) from error
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
