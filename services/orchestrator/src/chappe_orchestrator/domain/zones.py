"""Where a contact lives: as it told us, else as its shop's clock shows, else the workspace's."""

from zoneinfo import ZoneInfo

from chappe.journey import first_zone
from chappe_orchestrator.domain.run import Run

ATTRIBUTES = ("timezone", "time_zone")


def zone_of(run: Run, source: str | None) -> ZoneInfo:
    """The zone for everything that happens to the contact in hand."""
    traits, policy = run.contact.profile.traits, run.journeys.policy
    shop = policy.sources.get(source) if source else None
    return first_zone([*(traits.get(name) for name in ATTRIBUTES), shop, policy.zone])
