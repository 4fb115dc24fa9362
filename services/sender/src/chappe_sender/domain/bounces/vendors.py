"""Codes and set phrases that one operator alone uses: they outweigh whatever stands beside them.

Notation as in ``rules``. Orange, Wanadoo and La Poste end a reply in ``OFR004_104``, ``LPN_417`` or
``OUK_513``, where the last three digits say why; Facebook begins one with ``RCP-P1``.
"""

from typing import Final

from chappe_sender.domain.bounces.events import BounceClass as B


def _french(*endings: str) -> str:
    return rf"(ofr|lpn|ouk)_?(\d{{3}}[_-])?({'|'.join(endings)})\b"


def _facebook(*labels: str) -> str:
    return rf"({'|'.join(labels)})\b"


CODES: Final = (
    (
        B.RATE_LIMITED,
        (
            r"[45]\.7\.28",
            r"4\.7\.65\d",
            r"[45]\.2\.12[12]",
            r"ts(01|02|s0\d|s1\d)\]",
            r"rp-00[1-3]\b",
            _french("104", "105", "109", "201"),
            _facebook("con-t[1-4]", "msg-t1"),
            r"p=(receivingrate|unsolicitedratelimit|ratelimit)",
            r"mail send limit",
            r"daily \w+ quota",
            r"unusual rate of",
            r"rl0000\d\d\b",
        ),
    ),
    (
        B.AUTHENTICATION,
        (
            r"5\.7\.(515|509|2[0-57]|26|29|30|23)\b",
            r"4\.7\.(515|2[0-57]|26|29|3[02])\b",
            r"dns:b\d",
            _french("401"),
            _facebook("dns-p3", "dns-t2"),
        ),
    ),
    (
        B.REPUTATION,
        (
            r"s3(150|140|114)\)?",
            r"(sc-00[1-4]|dy-00[12]|ou-00[12])\b",
            r"ts03\]",
            r"bl2\d\]",
            r"5\.7\.(60[6-9]|6[1-4]\d|708|703|511)\b",
            r"rly:b\d",
            _french("10[1238]", "40[35]", "415", "421", "510", "999"),
            _facebook("pol-p[1-4]", "pol-t[1-3]", "dns-p[12]", "dns-t1"),
            r"bl0000\d\d\b",
        ),
    ),
    (
        B.SPAM,
        (
            r"5\.7\.50[123]\b",
            r"hvu:b\d",
            r"dt:spm",
            r"spam (or|and) virus",
            _french("506", "513"),
            _facebook("pol-p[67]"),
        ),
    ),
    (B.RELAYING, (r"5\.7\.64\b", r"tenant(inbound)?attribution")),
    (
        B.PROTOCOL,
        (
            r"5\.7\.512\b",
            r"invalid mime header",
        ),
    ),
    (
        B.INVALID_RECIPIENT,
        (
            r"5\.4\.1 (<@>:? )?\[?(<@>\]?:? )?recipient address rejected: access denied",
            r"recipient address rejected: access denied\.? \[?as\(?2018",
            r"resolver\.adr\.\w*(notfound|invalid|ambiguous|badprimary)",
            r"recipnotfound",
            r"5\.4\.1 all recipient addresses rejected",
            r"p=nosuchuser",
            r"not our customer",
            _french("416", "418"),
            _facebook("rcp-p1", "int-p[134]"),
            r"5\d\d[- ](\d\.\d\.\d+ )?(<@>:? )?unrouteable address",
        ),
    ),
    (
        B.INACTIVE_MAILBOX,
        (
            r"p=disableduser",
            r"554\.30\)",
            _french("420", "426"),
            _facebook("rcp-t4"),
            r"\w*(accountdisabled|mailboxdisabled|recipientdisabled)",
        ),
    ),
    (
        B.MAILBOX_FULL,
        (r"p=(overquota|mailboxfull)", r"\w*quotaexceeded", _french("417")),
    ),
    (
        B.TOO_LARGE,
        (
            r"resolver\.rst\.\w*size",
            r"routing\.sizelimit",
            r"\w*messagetoolarge",
            r"p=maxsize",
            _french("514"),
            _facebook("msg-p1", "int-p2"),
        ),
    ),
    (
        B.POLICY,
        (
            r"resolver\.rst\.",
            _french("305", "402"),
            _facebook("rcp-p[23]"),
            r"5\.7\.(12|57|12[4-9]|13[3-6]|193|505|508|510|705|750)\b",
            r"transport\.rules",
        ),
    ),
    (B.EXPIRED, (r"queue\.expired", r"5\.4\.(300|316|317)\b", r"message expired")),
    (
        B.CONNECTION,
        (r"(tls|ssl) (handshake|negotiation)", r"mta-sts", r"certificate … (not|verif|expired)"),
    ),
    (
        B.SERVER_ERROR,
        (
            r"routing\.loop",
            r"[45]\.4\.(6|14)\b",
            r"(\w+ )?hop count",
            r"too many \"?(hops|received)",
            r"(many|maximum|more than|\d+) (allowed )?hops",
            _french("505"),
            _facebook("rcp-t1"),
        ),
    ),
)
