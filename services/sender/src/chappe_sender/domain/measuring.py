"""How much a mail may tell of its reader: the modes of tracking.

| mode | the pixel | a link |
|---|---|---|
| ``full`` | says who opened the mail | says who followed it |
| ``aggregate`` | one for all readers of a step: counted, never a person | says who followed it |
| ``none`` | there is none | leads straight to its destination |

The pixel is what needs consent in France, apart from the consent to receive mail (CNIL,
deliberation 2026-042 of 12 March 2026, on article 82 of the data protection act); a click is asked
for by the reader.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chappe.events import ConsentState

COUNTRIES = frozenset({"FR"})
"""Where silence is no consent. ISO 3166-1 alpha-2."""

COUNTRIES_MAX = 250


class Tracking(StrEnum):
    FULL = "full"
    AGGREGATE = "aggregate"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MeasuringRules:
    """A workspace's. ``refused`` is what holds for those who said no."""

    countries: frozenset[str] = COUNTRIES
    refused: Tracking = Tracking.NONE


@dataclass(frozen=True, slots=True)
class Measuring:
    """What one contact said of being measured, and what holds where it is asked."""

    said: ConsentState | None = None
    rules: MeasuringRules = MeasuringRules()

    def mode(self, country: Any) -> Tracking:
        """``country`` as the contact's attribute has it; what is no code is an unknown one."""
        match self.said:
            case ConsentState.SUBSCRIBED:
                return Tracking.FULL
            case ConsentState.UNSUBSCRIBED:
                return self.rules.refused
            case _:
                asks = isinstance(country, str) and country.strip().upper() in self.rules.countries
                return Tracking.AGGREGATE if asks else Tracking.FULL
