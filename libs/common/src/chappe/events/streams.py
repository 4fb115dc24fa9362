"""The streams' names. On Kafka each is the topic ``CHAPPE_KAFKA_PREFIX + name``."""

from typing import NewType

Stream = NewType("Stream", str)

RAW_COMMERCE = Stream("raw.commerce")
RAW_BULK = Stream("raw.bulk")
RAW_ENGAGEMENT = Stream("raw.engagement")
RAW_DELIVERY = Stream("raw.delivery")
EVENTS = Stream("events")
EVENTS_BULK = Stream("events.bulk")
SENDS = Stream("sends")
SENDS_BULK = Stream("sends.bulk")
JOURNAL = Stream("journal")

STREAMS: tuple[Stream, ...] = (
    RAW_COMMERCE,
    RAW_BULK,
    RAW_ENGAGEMENT,
    RAW_DELIVERY,
    EVENTS,
    EVENTS_BULK,
    SENDS,
    SENDS_BULK,
    JOURNAL,
)
