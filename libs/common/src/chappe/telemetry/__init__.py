"""Logs as JSON lines, and the page of metrics."""

from chappe.telemetry.logs import set_up_logs

__all__ = ["set_up_logs"]
