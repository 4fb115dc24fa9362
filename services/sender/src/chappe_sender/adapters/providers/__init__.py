"""The ways out over HTTP, one module per provider."""

from chappe_sender.adapters.providers.base import Account, Adapter, Draft, Request
from chappe_sender.adapters.providers.caller import ask, judge
from chappe_sender.adapters.providers.registry import HTTP_KINDS, account_of, adapter_of
from chappe_sender.adapters.providers.way_out import ProviderWayOut

__all__ = [
    "HTTP_KINDS",
    "Account",
    "Adapter",
    "Draft",
    "ProviderWayOut",
    "Request",
    "account_of",
    "adapter_of",
    "ask",
    "judge",
]
