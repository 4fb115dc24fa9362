"""Which addresses belong to the public Internet, in whatever form they are written.

From the IANA special-purpose registries (RFC 6890), kept here because ``ipaddress`` of different
Python versions disagree. A form that carries an IPv4 address within an IPv6 one is judged by the
address it carries, since that is where the packets go.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; the clouds' metadata services live here
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments; Teredo is 2001::/32
        "2001:db8::/32",
        "3fff::/20",
    )
)
NAT64 = IPv6Network("64:ff9b::/96")


def parsed(text: str) -> Address | None:
    """The address a resolver or a person wrote, zone included; None for a name."""
    try:
        return ip_address(text.split("%", 1)[0])
    except ValueError:
        return None


def carried(address: Address) -> Address:
    """The IPv4 address within a mapped, 6to4 or NAT64 form, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether a stranger on the Internet could reach it; what is not known to be is not."""
    inner = carried(address)
    if isinstance(inner, IPv4Address):
        return not any(inner in network for network in NOT_PUBLIC_4)
    return inner in GLOBAL_UNICAST and not any(inner in network for network in NOT_PUBLIC_6)


def is_loopback(address: Address) -> bool:
    return carried(address).is_loopback
