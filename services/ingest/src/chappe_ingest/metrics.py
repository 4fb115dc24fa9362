"""What an operator watches at the door and behind it.

The resolver's lag, batches and commits are the kernel's ``chappe_resolver_*``.
"""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3)

DELIVERIES = Counter(
    "chappe_ingest_deliveries_total",
    "Requests at the public doors, by the kind of source and what they were answered.",
    ["kind", "outcome"],
)
APPEND_SECONDS = Histogram(
    "chappe_ingest_append_seconds",
    "From the last byte of a request to the log's acknowledgement.",
    buckets=_SECONDS,
)
ENGAGEMENTS = Counter(
    "chappe_ingest_engagements_total", "Opens, clicks and unsubscribes that came back.", ["kind"]
)
FACTS = Counter(
    "chappe_ingest_facts_total", "Events the resolver published, by family.", ["family"]
)
REPEATS = Counter(
    "chappe_ingest_repeats_total", "Deliveries and facts dropped because they were known already."
)
REFUSED = Counter(
    "chappe_ingest_refused_total", "Deliveries set aside as dead letters, by reason.", ["reason"]
)
CONFLICTS = Counter(
    "chappe_ingest_identity_conflicts_total",
    "Identifiers that stayed with their contact although another was named with them.",
    ["reason"],
)
ALARMS = Counter(
    "chappe_ingest_alarms_total", "What senders asked that an operator must see, by kind.", ["kind"]
)
WARNINGS = Counter(
    "chappe_ingest_warnings_total", "Fields left out of events that survived.", ["kind"]
)
SPOOLED = Counter(
    "chappe_ingest_spooled_total", "Records that went to the spool because the log was away."
)
SPOOL_DEPTH = Gauge("chappe_ingest_spool_records", "Records that wait in the spool.")
SPOOL_BYTES = Gauge("chappe_ingest_spool_bytes", "Bytes of the spool on disk.")
SPOOL_AGE = Gauge("chappe_ingest_spool_age_seconds", "How long the oldest record waits.")
SPOOL_ORPHANS = Gauge(
    "chappe_ingest_spool_orphans", "Spool volumes with records that no process drains."
)
SPOOL_SET_ASIDE = Counter(
    "chappe_ingest_spool_set_aside_total", "Records that the log never takes, kept on disk."
)
