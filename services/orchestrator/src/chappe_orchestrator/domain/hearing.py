"""What an event says, in the words that the rest of the domain uses."""

from chappe_orchestrator.domain.profile import absorb as hear
from chappe_orchestrator.domain.profile import (
    is_human,
    is_repeat,
    mail_of,
    message_of,
    set_trait,
)

__all__ = ["hear", "is_human", "is_repeat", "mail_of", "message_of", "set_trait"]
