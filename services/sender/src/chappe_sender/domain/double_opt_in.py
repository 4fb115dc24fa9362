"""Ask somebody who said yes in a form whether it was they: a mail with a link, and a button there.

``pending`` sends a transactional mail (DECISIONS 18), at most two, a day apart; its link is good
for seven days. A workspace may publish a template of its own under ``NAME``.
"""

import datetime as dt

from chappe.events import ConsentState, Event, claim_of
from chappe.ids import ContactId, MessageId, WorkspaceId, derived

NAME = "double-opt-in"
MAILS_MAX = 2
BETWEEN = dt.timedelta(days=1)
VALID = dt.timedelta(days=7)
DEADLINE = dt.timedelta(days=1)

_HEAD = "---\nsubject: {subject}\nclass: transactional\n---\n"
_BODY = """<!doctype html><html lang="{lang}"><head>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title></title><style>
@media (prefers-color-scheme: dark) {{
.ground {{ background: #14181a !important }}
.sheet {{ background: #20272a !important; color: #eceff0 !important }}
.soft {{ color: #b3bcb8 !important }}
}}</style></head>
<body class="ground" style="margin:0;padding:24px 12px;background:#f4f5f7">
<div class="sheet" style="max-width:520px;margin:0 auto;padding:32px 24px;\
font:16px/1.5 Arial,sans-serif;color:#1c2430;background:#ffffff;border-radius:12px">
<p style="margin:0 0 16px;font-weight:bold">{{{{ brand.name }}}}</p>
<h1 style="margin:0 0 12px;font-size:24px;line-height:30px">{title}</h1>
<p style="margin:0 0 20px">{text}</p>
<p style="margin:0 0 20px"><a href="{{{{ confirm_url }}}}" style="display:inline-block;\
padding:14px 28px;background:{{{{ brand.colors.primary | default: '#1f5f4a' }}}};\
color:{{{{ brand.colors.on_primary | default: '#ffffff' }}}};border-radius:8px;\
font-weight:bold;text-decoration:none">{button}</a></p>
<p class="soft" style="margin:0 0 20px;font-size:14px;color:#56606c">{otherwise}</p>
<p class="soft" style="margin:0;font-size:14px;color:#56606c">\
{{% unless brand.address contains brand.name %}}{{{{ brand.name }}}} · {{% endunless %}}\
{{{{ brand.address }}}}</p>
</div></body></html>
"""

FILES = {
    f"{NAME}.html": _HEAD.format(subject="Please confirm your subscription")
    + _BODY.format(
        lang="en",
        title="Was it you?",
        text="Somebody asked us to send news and offers to this address. "
        "If it was you, one button confirms it.",
        button="Yes, subscribe me",
        otherwise="If it was not you, do nothing: you will hear no more. "
        "The link works for seven days.",
    ),
    f"{NAME}.fr.html": _HEAD.format(subject="Confirmez votre inscription")
    + _BODY.format(
        lang="fr",
        title="Était-ce vous ?",
        text="Quelqu'un a demandé que nous envoyions nos nouvelles et nos offres à cette adresse. "
        "Si c'était vous, un bouton le confirme.",
        button="Oui, je m'inscris",
        otherwise="Si ce n'était pas vous, ne faites rien : vous ne recevrez plus rien. "
        "Le lien fonctionne pendant sept jours.",
    ),
}


def message_ids(workspace: WorkspaceId, contact: ContactId) -> tuple[MessageId, ...]:
    """Of the mails that this contact may get, in order."""
    return tuple(
        MessageId(derived("m_", NAME, workspace, contact, str(n))) for n in range(MAILS_MAX)
    )


def address_to_ask(event: Event) -> str | None:
    """Where to ask, when this event says ``pending`` of somebody real and of now."""
    claim = claim_of(event)
    flags = event.flags
    if claim is None or claim.state is not ConsentState.PENDING:
        return None
    if claim.historical or claim.imported or flags.test or flags.copy:
        return None
    return next((each.value for each in event.identifiers if each.type == "email"), None)
