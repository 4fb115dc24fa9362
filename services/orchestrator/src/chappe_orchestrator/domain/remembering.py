"""Keep the facts that a condition may later ask more of than a profile counts."""

from chappe.events import Event
from chappe.journey.history import Past
from chappe.journey.notes import ALWAYS_REMEMBERED
from chappe_orchestrator.domain.asking import bounded
from chappe_orchestrator.domain.effects import Remembered
from chappe_orchestrator.domain.profile import ID_BYTES_MAX, is_human
from chappe_orchestrator.domain.run import Run


def remember(run: Run, event: Event) -> None:
    """Put the fact in the history, and beside what the history answers within this step."""
    name = event.name
    if name not in ALWAYS_REMEMBERED and name not in run.journeys.remembered:
        return
    if event.flags.copy or len(event.id) > ID_BYTES_MAX or not is_human(event):
        return
    at, data = min(event.occurred_at, run.now), bounded(event.data)
    run.pasts.heard.append(Past(name, at, data))
    run.effects.remembered.append(Remembered(event.id, name, at, data))
