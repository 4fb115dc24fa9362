"""What an operator watches on analytics, beside the shards' own ``chappe_analytics_*``."""

from prometheus_client import Counter, Gauge

VERDICTS = Counter(
    "chappe_analytics_engagements_total",
    "Opens and clicks judged, repeats included.",
    ["kind", "verdict"],
)
ENTRIES = Counter("chappe_analytics_entries_total", "Lines written to timelines.", ["kind"])
REPEATS = Counter(
    "chappe_analytics_known_total", "Events, decisions and hits dropped because they were known."
)
LIVE_CLIENTS = Gauge("chappe_analytics_live_clients", "Watchers of /api/v1/live.")
LIVE_DROPPED = Counter(
    "chappe_analytics_live_dropped_total", "Lines that slow watchers of /api/v1/live lost."
)
PRUNED = Counter(
    "chappe_analytics_pruned_total", "Rows deleted because they were kept long enough.", ["table"]
)
PRUNE_FAILURES = Counter(
    "chappe_analytics_prune_failures_total", "Times that old rows could not be deleted."
)
