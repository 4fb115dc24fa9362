"""What returned mails mean: reports, complaints, robots' answers, in everybody's formats."""

from chappe_sender.domain.bounces.classify import Diagnosis, classify
from chappe_sender.domain.bounces.events import BounceClass, Kind, ProviderEvent, printed
from chappe_sender.domain.bounces.returned import answer, read, try_bounce

__all__ = [
    "BounceClass",
    "Diagnosis",
    "Kind",
    "ProviderEvent",
    "answer",
    "classify",
    "printed",
    "read",
    "try_bounce",
]
