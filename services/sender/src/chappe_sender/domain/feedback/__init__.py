"""What providers tell us by webhook: is it really them, and what happened.

Pure: no network, no clock, no storage. Nothing here raises on what strangers send.
"""

from chappe_sender.domain.feedback.providers import KINDS, PROVIDERS, Provider, answer, try_provider
from chappe_sender.domain.feedback.signatures import Headers, Verdict

__all__ = ["KINDS", "PROVIDERS", "Headers", "Provider", "Verdict", "answer", "try_provider"]
