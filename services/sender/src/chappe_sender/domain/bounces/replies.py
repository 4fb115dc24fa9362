"""Tell what kind of mail came back: a returned one, a robot's answer, or somebody writing to us."""

import re
from typing import Final

from chappe_sender.domain.bounces.classify import cleaned
from chappe_sender.domain.bounces.letters import address, is_robot
from chappe_sender.domain.bounces.mime import Part

RETURNED = re.compile(
    r"undeliver|un?delivered mail|returned (mail|to sender)|mail (delivery )?(failure|failed|error|"
    r"status|returned|system error)|message (delivery failure|you sent|status|undeliverable|"
    r"not delivered"
    r")|delivery (status|failure|failed|report|error|notification|problem|unsuccessful|to the|"
    r"has failed|"
    r"incomplete|delay)|failure notice|failed (mail|delivery|to deliver)|failure delivering|"
    r"(could|can) ?not (be )?(delivered|deliver|send|sent)|couldn't be delivered|nondeliverable|"
    r"non-?delivery|unzustellbar|zustellung|nicht zugestellt|fehlgeschlagen|mail-zustell|"
    r"(echec|notification|rapport|avis|erreur).{0,25}(remise|distribution|livraison|non[- ]|"
    r"delivr)|"
    r"non remis|non distribu|(courrier|message|mail) (non|retourne)|delai de remise|"
    r"retard de remise|"
    r"no se (pudo|puede|ha podido) entregar|no entregad|error de entrega|devuelto|"
    r"(notificacion|informe|estado).{0,20}entrega|mancat[oa] (recapito|consegna)|non recapit|"
    r"(notifica|avviso|stato).{0,20}(recapito|consegna)|nao (foi )?entregue|falha (na|de) entrega|"
    r"devolvid|onbestelbaar|niet (bezorgd|afgeleverd|bestelbaar)|niedostarcz|zwrot|oleverer|olever|"
    r"kan ikke leveres|ikke lever|inte lever|olevererbar|не доставлено|недоставлен|"
    r"не удается доставить|"
    r"退信|退回|无法投递|未送达|投递失败|配信(不能|できません|エラー)|届けられません|반송|배달.{0,4}(실패|못)|"
    r"teslim edilemedi|warning: (message|could not)|mail system error|user unknown|"
    r"address not found|"
    r"message (blocked|rejected|bounced)|mailer[- ]daemon|bounced? (mail|message)|"
    r"unable to deliver|"
    r"able to deliver|postponed|permanent error|email not delivered|rejected mail|not delivered|"
    r"your message wasn't"
)
_AWAY = re.compile(
    r"^(auto(matic|mated|matische)?[ :_-]{0,2}(reply|response|antwort|answer|respuesta|risposta)|"
    r"autoreply|autoresponse|auto[- ]?re\b|auto:|reponse automatique|message (d'absence|"
    r"automatique)|"
    r"absence( du bureau)?\b|(je suis )?absent|en conge|out[- ]of[- ](the[- ])?office|ooo\b|"
    r"on vacation|"
    r"vacation|away from|i am (away|out)|automatische antwort|abwesen|ich bin .{0,12}nicht|"
    r"(aus dem|nicht im) buro|respuesta automatica|fuera de (la )?oficina|ausencia|"
    r"risposta automatica|"
    r"fuori (sede|ufficio)|assen(te|za)|resposta automatica|ausente|fora do escritorio|"
    r"automatisch(e)? (antwoord|bericht)|afwezig|niet aanwezig|odpowiedz automatyczna|autosvar|"
    r"automatiskt svar|automatisk svar|franvaro|fravar|автоответ|автоматическ|"
    r"自动(回复|答复)|自動(応答|返信)|不在|자동 ?(응답|회신)|부재)"
    r"|\b(out of office|autoreply|auto-reply|automatic reply|vacation reply|"
    r"on (annual |maternity )?leave|ooo)\b"
)
_ANSWER = re.compile(
    r"^(re|aw|fwd?|wg|tr|rv|sv|vs|antw|odp|res|enc|回复|转发)\s*(\[\d+\])?\s*[:\uff1a]"
)
_LEAVE = re.compile(
    r"^(re: *)?(unsubscribe( me)?|remove( me)?|opt[- ]?out|desabonnement|desinscription|"
    r"desinscrire|se desabonner|abmelden|abbestellen|abmeldung|darse de baja|baja|disiscriviti|"
    r"cancellami|uitschrijven)\b[\s!.]*($|<|list|from)"
)
_MARKS: Final = (
    "x-autoreply", "x-autorespond", "x-autoresponder", "x-autoreply-from", "x-auto-reply",
    "x-mail-autoreply", "x-vacation", "x-auto-responder", "x-autoresponse",
    "x-amazon-auto-reply", "x-ooo", "x-cron-autoreply",
)  # fmt: skip
_CHALLENGES = re.compile(
    r"(please )?confirm (your|this|that) (e-?mail|message|address|delivery)|sender (verification|"
    r"address confirm)|verification required|boxbe|spamarrest|tmda|challenge|"
    r"(your|this) message (is )?(awaits?|awaiting|requires?) (moderator|approval|verif|confirm)"
)


def from_nobody(part: Part) -> bool:
    """The null sender: a mail that must not be answered, a returned one or a robot's."""
    path = next((value for name, value in part.headers if name == "return-path"), None)
    return path is not None and not path.strip("<> \t")


def from_a_daemon(part: Part) -> bool:
    """A mail system's name in ``From``, or what only mail systems write."""
    sender = part.get("from")
    found = address(sender) or sender.strip("<> ")
    daemons = ("mail delivery", "mail system", "mailer-daemon", "mailer daemon", "postmaster")
    names = ("bounce", "mailadm", "root@", "smtp@", "mail@", "mailadmin", "maildelivery")
    return (
        (is_robot(found) and not found.lower().startswith(("no-reply", "noreply", "abuse")))
        or found.lower().startswith(names)
        or any(word in sender.lower() for word in daemons)
        or part.kind == "multipart/report"
        or bool(part.get("x-failed-recipients"))
    )


def says_returned(part: Part) -> bool:
    """The subject speaks of a mail that did not arrive, and is nobody's answer to one."""
    subject = cleaned(part.get("subject"))
    return bool(RETURNED.search(subject)) and not _ANSWER.match(subject)


def is_autoreply(part: Part) -> bool:
    """A robot answers for somebody (RFC 3834 and what came before it)."""
    subject = cleaned(part.get("subject"))
    submitted = part.get("auto-submitted").strip().lower()
    if submitted.startswith(("auto-replied", "auto_replied", "auto-notified")):
        return True
    if any(part.get(name) and part.get(name).strip().lower() != "no" for name in _MARKS):
        return True
    if part.get("x-post-messageclass").lower().find("autoresponder") >= 0:
        return True
    if part.get("precedence").strip().lower() in {"auto_reply", "auto-reply", "autoreply"}:
        return True
    if part.get("preference").strip().lower() == "auto_reply":
        return True
    return speaks_of_absence(part) or bool(_CHALLENGES.search(subject))


def speaks_of_absence(part: Part) -> bool:
    """The subject says "out of office", in one of many languages."""
    return bool(_AWAY.search(cleaned(part.get("subject"))))


def from_somebody(part: Part) -> bool:
    """No machine wrote it: no report, no robot's answer, no list's mail."""
    if address(part.get("from")) is None or from_nobody(part) or from_a_daemon(part):
        return False
    submitted = part.get("auto-submitted").strip().lower()
    sorted_as = part.get("precedence").strip().lower()
    return not (
        is_autoreply(part)
        or says_returned(part)
        or submitted not in {"", "no"}
        or sorted_as in {"bulk", "list", "junk"}
        or part.get("list-id")
    )


def wants_to_leave(part: Part) -> bool:
    """An answer to ``List-Unsubscribe: mailto``, or a human asking for the same."""
    return bool(_LEAVE.match(cleaned(part.get("subject"))))
