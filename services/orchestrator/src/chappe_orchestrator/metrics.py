"""What the orchestrator counts, for whoever is woken at night."""

from prometheus_client import Counter, Histogram

DECISIONS = Counter(
    "chappe_orchestrator_decisions_total",
    "Decisions about contacts, by what was decided: `asked` counts the messages asked for.",
    ["what"],
)
PARKED = Counter(
    "chappe_orchestrator_parked_contacts_total",
    "Contacts set aside because their step failed; their events wait in order.",
)
LATENESS = Histogram(
    "chappe_orchestrator_timer_lateness_seconds",
    "From the instant a timer was due to the batch that fired it, on the business clock.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300, 3600, 86_400),
)
