"""Shards: ownership, positions, the fenced commit, the outbox and its relay.

A service gives a ``Processor``; ``ShardRunner`` gives it batches and commits what it decides.
"""

from chappe.shards.batch import REFUSED, Batch, LostShards, Processor
from chappe.shards.draft import Transaction
from chappe.shards.faults import fault_point
from chappe.shards.fence import FencedStatement
from chappe.shards.outs import (
    to_contact,
    to_every_partition,
    to_journal,
    to_own_contact,
)
from chappe.shards.records import Advance, DeadLetter, Input, Out, Stamp, unwrap, wrap
from chappe.shards.runner import ShardRunner
from chappe.shards.store import Owned

__all__ = [
    "REFUSED",
    "Advance",
    "Batch",
    "DeadLetter",
    "FencedStatement",
    "Input",
    "LostShards",
    "Out",
    "Owned",
    "Processor",
    "ShardRunner",
    "Stamp",
    "Transaction",
    "fault_point",
    "to_contact",
    "to_every_partition",
    "to_journal",
    "to_own_contact",
    "unwrap",
    "wrap",
]
