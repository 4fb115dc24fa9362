"""What the sample shop sells."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Product:
    id: int
    sku: str
    title: str
    variant: str
    price: Decimal


GOODS = (
    Product(4101, "LANTERN-1", "Signal lantern", "Brass", Decimal("49.90")),
    Product(4102, "SPYGLASS-2", "Tower spyglass", "Oak", Decimal("89.00")),
    Product(4103, "CODEBOOK-3", "Code book, 1794", "Paperback", Decimal("19.50")),
    Product(4104, "COAT-4", "Watchman's coat", "M", Decimal("129.00")),
    Product(4105, "FLAGS-5", "Pair of flags", "Red", Decimal("24.00")),
)


def pick(number: int) -> tuple[Product, ...]:
    """One or two products, the same for the same number."""
    first = number % len(GOODS)
    second = (number // len(GOODS)) % len(GOODS)
    return (GOODS[first],) if first == second else (GOODS[first], GOODS[second])
