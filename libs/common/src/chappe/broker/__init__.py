"""The log that the services meet through: one port, two adapters."""

from chappe.broker.port import (
    Broker,
    BrokerError,
    BrokerMismatch,
    BrokerUnavailable,
    OffsetOutOfRange,
    Outgoing,
    Reader,
    Record,
    RecordTooLarge,
)

__all__ = [
    "Broker",
    "BrokerError",
    "BrokerMismatch",
    "BrokerUnavailable",
    "OffsetOutOfRange",
    "Outgoing",
    "Reader",
    "Record",
    "RecordTooLarge",
]
