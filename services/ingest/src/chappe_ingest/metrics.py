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
TALLIED_OPENS = Counter(
    "chappe_ingest_tallied_opens_total",
    "Opens of mails that measure no person, by the step that sent them.",
    ["workspace", "journey", "step"],
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
PULLED = Counter(
    "chappe_ingest_pulled_total",
    "Documents fetched from shops: reconcile (what webhooks may have missed) or backfill.",
    ["kind", "purpose"],
)
PULL_FAILURES = Counter(
    "chappe_ingest_pull_failures_total", "Turns in which a shop could not be asked.", ["kind"]
)
PULL_AGE = Gauge(
    "chappe_ingest_pull_age_seconds",
    "Since the source that was reconciled longest ago was; nothing without pollers.",
)
WRITE_BACKS = Counter(
    "chappe_ingest_write_backs_total",
    "Unsubscribes told to the shop they concern, by what became of them.",
    ["kind", "outcome"],
)
DIVERGENCES = Gauge(
    "chappe_ingest_consent_divergences",
    "Contacts who unsubscribed from us and whose shop cannot be told.",
)
HYDRATIONS = Counter(
    "chappe_ingest_hydrations_total",
    "Deliveries of ids that were done with asking their shop: hydrated, or why with ids alone.",
    ["kind", "outcome"],
)
HYDRATION_RETRIES = Counter(
    "chappe_ingest_hydration_retries_total",
    "Questions that a shop's API did not answer, to be asked again.",
    ["kind"],
)
HYDRATIONS_WAITING = Gauge(
    "chappe_ingest_hydrations_waiting", "Deliveries that wait for their shop's API."
)

SHOP_ERASURE_DAYS = Gauge(
    "chappe_ingest_shop_erasure_left_days",
    "Days until the earliest request of a shop to erase its people must be answered; 999: none.",
)
MERGED = Counter("chappe_ingest_contacts_merged_total", "Contacts that went into another.")
ERASED = Counter("chappe_ingest_contacts_erased_total", "Contacts forgotten on request.")
KEPT_OUT = Counter(
    "chappe_ingest_erased_deliveries_total",
    "Imported, polled or replayed deliveries left out: they name somebody who was erased.",
)

SOURCES_MAX = 200
"""Sources with series of their own in one process; those after them share ``other``."""

OTHER = "other"

SOURCE_DELIVERIES = Counter(
    "chappe_ingest_source_deliveries_total",
    "Deliveries by source: verified, unverified or failed at the door; duplicate or dead behind.",
    ["source", "outcome"],
)
SOURCE_LAG = Gauge(
    "chappe_ingest_source_lag_seconds",
    "From a delivery's receipt to its contact's event, the last one of each source.",
    ["source"],
)
SOURCE_AGE = Gauge(
    "chappe_ingest_source_last_delivery_age_seconds", "Since the last delivery.", ["source"]
)
SOURCE_SILENT = Gauge(
    "chappe_ingest_source_silent",
    "1 when no delivery came for three times the usual gap, and at least 6 hours.",
    ["source"],
)

_labelled: set[str] = set()


def source_label(source: str) -> str:
    """The source's id, for the first ``SOURCES_MAX`` of this process; else ``other``."""
    if source in _labelled:
        return source
    if len(_labelled) >= SOURCES_MAX:
        return OTHER
    _labelled.add(source)
    return source


PROVIDER_DELIVERIES = Counter(
    "chappe_ingest_provider_deliveries_total",
    "Mail providers' webhooks by provider and by how they were answered.",
    ["provider", "outcome"],
)
RETURNED_MAILS = Counter(
    "chappe_ingest_returned_mails_total",
    "Mails to addresses that mail comes back to, by where they came and what became of them.",
    ["via", "outcome"],
)
