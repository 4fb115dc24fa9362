"""Every bound the inbox keeps, in one place."""

import datetime as dt
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What strangers may ask of the inbox; the defaults are what it advertises."""

    mail_bytes: int = 25 * MIB
    recipients: int = 100
    #: A command line, its CRLF included. RFC 5321 asks for 512, SMTPUTF8 and SIZE for more.
    line_bytes: int = 2048
    #: Refused commands on one connection before it is closed.
    errors: int = 20
    connections: int = 200
    #: Mails being received or waiting for the disk, together; beyond it they get a 452.
    receiving_bytes: int = 128 * MIB
    #: RFC 5321 §4.5.3.2 asks for at least 5 min between commands and 3 min within content.
    command_timeout: dt.timedelta = dt.timedelta(minutes=5)
    content_timeout: dt.timedelta = dt.timedelta(minutes=3)
    #: The whole of one mail, however steadily it drips in.
    mail_timeout: dt.timedelta = dt.timedelta(minutes=15)
    #: The oldest are dropped beyond this.
    mails_kept: int = 100_000
