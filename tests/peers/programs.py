"""Which real mail programs are here, as Debian packages them."""

import os
import shutil
import socket
from typing import Final

PATH: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
"""Daemons live where a user's PATH does not look."""

PACKAGES: Final = {
    "postfix": "postfix",
    "smtp-sink": "postfix",
    "smtp-source": "postfix",
    "saslpasswd2": "sasl2-bin",
    "opendkim": "opendkim",
    "spamassassin": "spamassassin",
    "spamd": "spamd",
    "spamc": "spamc",
    "swaks": "swaks",
}
"""Program to the Debian package it comes from; libsasl2-modules and its like have none."""


def program(name: str) -> str:
    """Its path. Raises ``LookupError``."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise LookupError(f"{name} is not here: apt-get install {PACKAGES[name]}")
    return found


def unavailable() -> str | None:
    """Why the tests against real programs cannot run; None when they can."""
    if os.geteuid() != 0:
        return "Postfix must be started by root, who then gives his rights up"
    absent = [name for name in PACKAGES if shutil.which(name, path=PATH) is None]
    if not absent:
        return None
    packages = " ".join(sorted({PACKAGES[name] for name in absent}))
    return f"not here: {', '.join(absent)}; apt-get install {packages}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
