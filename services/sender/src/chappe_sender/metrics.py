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
POSTPONED = Counter(
    "chappe_sender_postponed_total",
    "Messages that were claimed and put off before they were written, by why: breaker, "
    "site_rests, site_slowed, site_rate, domain_check, no_route.",
    ["reason"],
)
SITE_REMEDIES = Counter(
    "chappe_sender_site_remedies_total",
    "Answers of MX sites that made us rest or slow down, by the rule's name.",
    ["site"],
)
RELAY_CONNECTIONS = Gauge(
    "chappe_sender_relay_connections_allowed",
    "Connections that a relay is given now: fewer after it pushed back.",
    ["relay"],
)
BREAKERS_OPENED = Counter(
    "chappe_sender_breakers_opened_total",
    "Times that marketing from a domain was stopped where it was refused for what we are.",
)
IN_FLIGHT = Gauge("chappe_sender_in_flight_messages", "Messages claimed and not yet concluded.")
FEEDBACK_DELIVERIES = Counter(
    "chappe_sender_feedback_deliveries_total",
    "Webhooks, returned mails and the like by what became of them: done, refused, postponed.",
    ["provider", "outcome"],
)
FEEDBACK_FACTS = Counter(
    "chappe_sender_feedback_facts_total",
    "What was said of one message, by kind and by what it changed.",
    ["provider", "kind", "effect"],
)
SUPPRESSIONS = Counter(
    "chappe_sender_suppressions_total", "Addresses that feedback closed, by reason.", ["reason"]
)

PROVIDER_SECONDS = Histogram(
    "chappe_sender_provider_seconds",
    "Time of one request to a provider's API.",
    ["kind"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
PROVIDER_ANSWERS = Counter(
    "chappe_sender_provider_answers_total",
    "Messages by what a provider's answer, or its silence, proves: taken, declined, notsent, "
    "indoubt. A repeat under the same key counts again.",
    ["kind", "outcome"],
)
ROUTE_OPEN = Gauge(
    "chappe_sender_route_open",
    "1 while a provider is given mail, 0 while it is paused, stopped or resting.",
    ["workspace", "provider"],
)
ROUTE_STOPS = Counter(
    "chappe_sender_route_stops_total",
    "Times that the sender stopped a provider after too many requests in doubt.",
    ["workspace", "provider"],
)

COUPONS_LEFT = Gauge(
    "chappe_sender_coupons_left",
    "Free codes of a coupon pool, counted up to 1,000; what needs one is skipped at 0.",
    ["workspace", "pool"],
)
