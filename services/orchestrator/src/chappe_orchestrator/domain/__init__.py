"""Journeys without plumbing: plain data in, plain data out."""

from chappe_orchestrator.domain.effects import Call, Effects, Input, Recheck, Timer
from chappe_orchestrator.domain.journeys import Journeys, arrange, keys_wanted
from chappe_orchestrator.domain.state import Contact, Enrollment, Key, KeyMark, Profile
from chappe_orchestrator.domain.step import step

__all__ = [
    "Call",
    "Contact",
    "Effects",
    "Enrollment",
    "Input",
    "Journeys",
    "Key",
    "KeyMark",
    "Profile",
    "Recheck",
    "Timer",
    "arrange",
    "keys_wanted",
    "step",
]
