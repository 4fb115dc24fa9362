"""What an operator watches on every service that owns shards."""

import functools

from prometheus_client import Counter, Gauge, Histogram

BATCH_BUCKETS = (1, 5, 10, 25, 50, 100, 250, 500)
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class ShardMetrics:
    """The instruments of one service, ``chappe_<service>_…``."""

    def __init__(self, service: str) -> None:
        name = f"chappe_{service}"
        self.owned = Gauge(f"{name}_shards_owned", "Shards this process owns now.")
        self.lost = Counter(
            f"{name}_shards_lost_total", "Shards dropped because a commit was fenced or unanswered."
        )
        self.lag = Gauge(
            f"{name}_lag_records", "Records not yet applied, over the owned shards.", ["stream"]
        )
        self.inputs = Counter(f"{name}_inputs_total", "Records applied.", ["stream"])
        self.repeats = Counter(
            f"{name}_repeats_total", "Records dropped because they were applied before."
        )
        self.batch = Histogram(
            f"{name}_batch_records", "Records in one commit.", buckets=BATCH_BUCKETS
        )
        self.commit_seconds = Histogram(
            f"{name}_commit_seconds", "Time of the fenced commit.", buckets=SECONDS_BUCKETS
        )
        self.dead_letters = Counter(f"{name}_dead_letters_total", "Records set aside as unusable.")
        self.relay_backlog = Gauge(
            f"{name}_outbox_records", "Outbox rows not yet acknowledged by the log."
        )
        self.relay_failures = Counter(
            f"{name}_relay_failures_total", "Appends of the relay that were not acknowledged."
        )


@functools.cache
def shard_metrics(service: str) -> ShardMetrics:
    """One set per service and process, however many runners a test makes."""
    return ShardMetrics(service)
