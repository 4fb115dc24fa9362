"""Templates that every workspace has from the start."""

import functools

from chappe_sender.adapters.compiler import publish
from chappe_sender.domain import double_opt_in
from chappe_sender.domain.template import TemplateVersion


@functools.cache
def double_opt_in_template() -> TemplateVersion:
    """Compiled when it is first needed."""
    return publish(double_opt_in.NAME, double_opt_in.FILES)
