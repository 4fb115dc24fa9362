"""Where a walk stands: the step before it, and by what clock."""

import datetime as dt
from typing import NamedTuple

from chappe.journey import Next


class Place(NamedTuple):
    """``due_at`` is when the step was due.

    ``inserting``: a date made known late has put the contact behind steps that lie in the past;
    until a wait reaches beyond now, ``due_at`` is the clock by which waits count.
    """

    at: Next
    due_at: dt.datetime
    inserting: bool = False
