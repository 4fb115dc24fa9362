"""The ways out as facts: what each kind can do, what it needs to know, what its answers prove."""

from chappe_sender.domain.providers.answers import Answers, Proof
from chappe_sender.domain.providers.kinds import (
    CAPABILITIES,
    FORMS,
    Capabilities,
    Form,
    Kind,
    Switch,
    may_send,
    problems_of,
)

__all__ = [
    "CAPABILITIES",
    "FORMS",
    "Answers",
    "Capabilities",
    "Form",
    "Kind",
    "Proof",
    "Switch",
    "may_send",
    "problems_of",
]
