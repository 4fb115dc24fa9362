"""Templates that every workspace has from the start."""

import functools

from msgspec.structs import replace

from chappe_sender.adapters.compiler import publish
from chappe_sender.domain import double_opt_in, notices
from chappe_sender.domain.markup import PIXEL
from chappe_sender.domain.template import TemplateVersion


@functools.cache
def double_opt_in_template() -> TemplateVersion:
    """Compiled when it is first needed. Without a pixel: nobody has agreed to anything yet."""
    return _unwatched(publish(double_opt_in.NAME, double_opt_in.FILES))


@functools.cache
def notice_template() -> TemplateVersion:
    """Without a pixel: nobody asks whether the team has read it."""
    return _unwatched(publish(notices.NAME, notices.FILES))


def _unwatched(made: TemplateVersion) -> TemplateVersion:
    return replace(
        made,
        variants={
            key: replace(variant, html=variant.html.replace(PIXEL, ""))
            for key, variant in made.variants.items()
        },
    )
