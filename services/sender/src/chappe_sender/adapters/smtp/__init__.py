"""SMTP with a client that always knows how far it got."""

from chappe_sender.adapters.smtp.connection import Connection
from chappe_sender.adapters.smtp.route import Route, Security, Timeouts, route_of
from chappe_sender.adapters.smtp.way_out import SmtpWayOut

__all__ = [
    "Connection",
    "Route",
    "Security",
    "SmtpWayOut",
    "Timeouts",
    "route_of",
]
