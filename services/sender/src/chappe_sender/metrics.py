"""What an operator watches on the sender."""

from prometheus_client import Counter, Gauge, Histogram

MESSAGES = Counter(
    "chappe_sender_messages_total", "Messages by how a hand-over ended.", ["state", "message_class"]
)
HAND_OVER_SECONDS = Histogram(
    "chappe_sender_hand_over_seconds",
    "Time from claiming a message to its recorded outcome.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
NOTE_SECONDS = Histogram(
    "chappe_sender_note_seconds",
    "Time of one durable write of commitments and outcomes.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
NOTE_MESSAGES = Histogram(
    "chappe_sender_note_messages",
    "Commitments and outcomes in one durable write.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
IN_FLIGHT = Gauge("chappe_sender_in_flight_messages", "Messages claimed and not yet concluded.")
