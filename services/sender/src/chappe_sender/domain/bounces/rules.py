"""What servers say, in their words: from the surest words to the vaguest, first match wins.

A text comes in lower case, without accents, with addresses as ``<@>`` and one blank between
words. A rule is a regular expression that begins at a word; in it ``…`` stands for up to four
words. Written from what the vendors publish (Gmail "SMTP errors and codes", Microsoft "NDR error
codes" and sender support, Yahoo "SMTP error codes", Apple "Postmaster information", GMX and
WEB.DE, Orange, Free, La Poste) and from the sources of Postfix, Exim, Sendmail and qmail.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from chappe_sender.domain.bounces import tongues, vendors
from chappe_sender.domain.bounces.events import BounceClass as B

Rule: TypeAlias = tuple[B, re.Pattern[str]]

_AUTHENTICATION = (
    (
        B.AUTHENTICATION,
        (
            (
                r"(spf|dkim|dmarc)\b(?!\.)[^.;]{0,80}(fail|reject|not |violat|polic|unauthori|"
                r"invalid|deni)"
            ),
            (
                r"(fail|reject|violat|due to|because of|by|no|not|without|missing|invalid|"
                r"against|per|"
                r"evaluat|unauthori|improper|lack|requires?)\w*\b[^.;]{0,60}\b(spf|dkim|"
                r"dmarc)\b(?!\.)"
            ),
            r"sender policy framework",
            r"openspf",
            r"unauthenticated",
            r"(sender|message|mail|domain) (is |was )?(not|un) ?(properly )?authenticated",
            r"authentication (check|requirement|result)",
            r"required authentication level",
            r"failed … authentication",
            r"sender[- ]?id\b … (fail|reject|not)",
            r"not (a )?(authorized|permitted|allowed|designated) sender",
            r"not (authorized|permitted|allowed) to send (mail |e-?mail |messages )?(from|for|on)",
            r"ptr\b",
            r"reverse[- ]?(dns|lookup|resolution|hostname|name|mapping|address)",
            r"rdns\b",
            r"fcrdns",
            r"ip name (lookup|resolution) (fail|possibly)",
            r"forward[- ]confirmed",
            (
                r"(cannot|can't|could not|unable to) (find|resolve) (your|the) (reverse|hostname|"
                r"host|ip)"
            ),
            r"(no|missing|invalid|generic|bad) (dns )?reverse",
            r"ip (address )?(does not|has no|without|not|cannot be) resol",
            r"client host rejected: cannot find",
            r"unresolvable (relay|client|ip)",
            r"(invalid|bad) dns (mx|ptr)",
        ),
    ),
)

_SENDER = (
    (
        B.RELAYING,
        (
            r"relay(ing)?\b[^.;]{0,14}(denied|not|prohibited|disallowed|block|refus|reject|unauth)",
            r"(cannot|can't|won't|will not|unable to|do not|don't|doesn't|not|no) (to )?relay",
            r"not (permitted|allowed|authori[sz]ed) to relay",
            r"not configured to relay",
            r"invalid credentials for relay",
            r"open relay",
            r"(isn't|not) in my list of allowed rcpthosts",
            r"(not in )?(my )?rcpthosts?\b",
            r"insecure mail relay",
            r"as a relay\b",
            r"not a gateway\b",
            r"authentication when attempting to send to a non-?local",
            r"relai (non autorise|refuse|interdit)",
            r"we (don't|do not) (handle|host|accept) mail for",
            r"no such domain (here|at this)",
            r"(not|unknown) local (host|domain)",
            r"domain (is )?not (hosted|served|handled|local)",
            r"not our domain",
        ),
    ),
    (
        B.REPUTATION,
        (
            (
                r"(sender|return[- ]?path|mail from|envelope[- ]?(from|sender)|originator)('s)?"
                r"( e-?mail)?( address| domain| host\w*| mailbox| account)?:?( <@>:?| \S+\.\S+)? "
                r"(is |was |has been |could |does |must |can )?(not |be )*(reject|denied|refused|"
                r"block|"
                r"blacklist|allowed|accept|banned|deny|verif|valid|invalid|exist|found|unknown|bad|"
                r"unresolv|untrust)"
            ),
            r"sender (verif|callout)",
            r"sender (is )?(not pre-?approved|not in (the )?allowed)",
            r"sender (isn't|is not) on … list",
            r"(bogus|unrout\w*) (mail from|sender)",
            r"mail from not owned",
            r"sender domain is empty",
            r"batv\b",
            r"envelope blocked",
            r"mx records? for … (sender|violat)",
            r"verification failed for <@>",
            r"account or domain may not exist",
            (
                r"(rejected|denied|refused|blocked|unknown|bad|invalid|unresolvable|blacklisted|"
                r"banned|"
                r"unacceptable|malformed|untrusted)( the)? (outbound )?(sender|from address|"
                r"return.?path|"
                r"mail from|envelope)"
            ),
            r"domain of (the )?sender",
            r"(blocked|rejected) by (the )?(user|recipient's (block|black))",
            r"has (blocked|blacklisted) (your|you\b|this sender)",
            r"(does not|doesn't) (accept|want) … from (you|this sender|your)\b",
            r"you are not allowed to send",
            (
                r"your (e-?mail )?(address|domain) (has been |is |was )?(block|blacklist|banned|"
                r"reject)"
            ),
            *tongues.SENDER_REFUSED,
        ),
    ),
)

_MAILBOX = (
    (
        B.MAILBOX_FULL,
        (
            r"(mail ?box|inbox|maildrop|maildir|mail ?folder)('s)? … (full\b|exceed|over )",
            r"(mail ?box|inbox|maildrop)('s)? … (reached|out of)",
            (
                r"(user|recipient|account|alias|<@>)('s)? … (is |are |was )?(full\b|out of (space|"
                r"storage))"
            ),
            r"(user|recipient|account|it|would) … exceed\w* … (quota|storage|space|mail ?box)",
            r"over ?(the )?(allowed )?(quota|storage limit)",
            r"overquota",
            r"over … (quota|storage)\b",
            r"(disk |mail |mailbox |storage )?quota … (exceed|exhaust|violat|reached|full\b)",
            r"exceed\w* … (quota|storage (allocation|limit|space)|mail ?box)",
            r"insufficient (quota|disk ?space|storage space|space)",
            (
                r"(not enough|no more|no|out of) (disk |storage |free )?space … (mail ?box|user|"
                r"recipient|"
                r"account)"
            ),
            r"(not enough|insufficient) (storage|space) … (mail ?box|user|recipient|account|inbox)",
            r"(mail ?box|storage) (size )?(limit|quota|allocation) (exceed|reach)",
            r"too many (messages|mails) … (mail ?box|inbox|in this|on (the|this) server)",
            r"full mail ?box",
            r"(does not|doesn't) have (enough|sufficient) (space|storage)",
            r"not enough (storage|free) space",
            r"storage limit\b",
            r"space has been used up",
            r"too much mail data",
            r"user ?disk quota",
            r"mail ?box … limited? … space",
            r"space not enough",
            r"disk quota",
            *tongues.MAILBOX_FULL,
        ),
    ),
    (
        B.BAD_DOMAIN,
        (
            r"null ?mx",
            (
                r"(domain|host|destination|<@>|\S+\.\S+) (does not|"
                r"doesn't) accept (any )?e?-?mail\b(?! from)"
            ),
            (
                r"domain (?:(?!user|recip|mail ?box|account|addr|name)\S+ ){0,2}?"
                r"(is |has |was |been |does |do |could |can )*(not (exist|found(?!, try)|"
                r"be found|valid|"
                r"registered|"
                r"resolv|known)|doesn't exist|non-?exist|unknown|invalid|no longer|"
                r"couldn't be found|"
                r"cannot be found|wasn't found|expired)"
            ),
            (
                r"(unknown|no such|invalid|non-?existent|bad|unroute?able|illegal) (mail |e-?mail |"
                r"destination |recipient )?(domain|host)(?! name)"
            ),
            r"host (is )?(unknown|not found(?!, try))",
            r"domain( name)? (unknown|not found|lookup failed)(?!\.? name service)",
            r"host or domain name not found\.? name service error … host not found(?!, try)",
            r"name service error … (host not found(?!, try)|malformed|host found but no data)",
            r"nxdomain",
            r"all relevant mx records point to non",
            r"mx records? (point|do not|does not|lookup|is invalid|not found)",
            r"no (valid )?(mx|mail exchanger|a or mx|mail ?server|mail ?host|mx host)\b",
            r"no hosts? (found|known) for",
            (
                r"(couldn't|could not|can't|cannot|unable to|wasn't able to) (find|resolve|"
                r"look ?up|locate) "
                r"… (host|domain|mx|mail ?server|exchanger)"
            ),
            (
                r"(dns|mx)( \S+)? ?(error|failure|lookup)?:? … (not found(?!, try)|does not exist|"
                r"nxdomain)"
            ),
            r"unroute?able (mail )?(domain|address)",
            r"lowest[- ]numbered mx record points to local",
            r"mail for \S+ loops back",
            r"all host address lookups failed permanently",
            r"[45]\.4\.310",
            r"name or service not known",
            r"nodename nor servname",
            r"illegal host/?(domain)? name",
            r"domain part … (does not|doesn't) exist",
            r"(recipient )?domain must exist",
            r"mail domain … unknown",
            r"address rejected: unknown domain",
            r"remote domain (doesn'?t|does not) exist",
            r"srv record indicated no smtp",
            r"domain is not reachable",
            r"recursive cname",
            r"(could not|cannot|can't) find a gateway for",
            *tongues.BAD_DOMAIN,
        ),
    ),
    (
        B.INVALID_RECIPIENT,
        (
            (
                r"(user|recipient|mail ?box|account|alias|addressee|address|login|username|"
                r"customer|person|"
                r"recipient name|rcpt|local part|member|subscriber|employee)(s|\(s\))?:?"
                r" (?:(?!ip|host|domain|sender|server)\S+ ){0,4}?"
                r"(is |are |was |were |has |have |been |could |can |does |do |did )*"
                r"(unknown|no longer|invalid|non-?exist|undefined|inexist|doesn't exist|"
                r"don't exist|"
                r"couldn't be found|can't be found|wasn't found|isn't valid|"
                r"not (be )?(found|known|exist|recogni|valid|listed|registered|a valid|in (our|"
                r"the)|on this|"
                r"here|local|currently exist|identif))"
            ),
            (
                r"(unknown|no such|invalid|non-?existent|unrecogni[sz]ed|illegal|bad|wrong|"
                r"incorrect|"
                r"no valid|not a valid|no matching|no|can't find|cannot find|unable to find|"
                r"unable to locate|"
                r"couldn't find|not a known)( or \w+)?( a| the| that| any| this| local| e-?mail|"
                r" mail| "
                r"destination| recipient)* (user|recipient|mail ?box|account|alias|address|person|"
                r"local[- ]?part|username|maildrop|login|rcpt|addressee|subscriber)\b(?! (is |to )?"
                r"(unavail|resp|avail))"
            ),
            r"user ?unknown",
            r"unknown ?user",
            r"unknown to (us|this|me)",
            r"there is no (one|such|user|account|mail ?box)",
            r"not (listed|found) in (the )?(domino|public|name|address|director|ldap|active|book)",
            r"not listed in",
            (
                r"no longer (works?|employed|with (the|this|us)|a customer|in service|valid|"
                r"exists?|in use|"
                r"on (this )?server|available|monitored|active)"
            ),
            r"address (not found|has changed|couldn't be found)",
            r"(this )?user doesn't have",
            r"not a (yahoo|gmail|hotmail)",
            r"(user|recipient) … (moved|has left)",
            r"has left the (company|organi)",
            (
                r"recipient address rejected: (user|unknown|undeliver|not|no |invalid|address|"
                r"mail ?box)"
            ),
            (
                r"(is |was |am )?not (a |one of )?(our )?(valid|existing|registered|"
                r"current) (user|mail ?box|"
                r"recipient|account|customer|member|address)"
            ),
            (
                r"(wasn't|couldn't be|could not be) (found|delivered to \S+ because the (address|"
                r"remote server)"
                r" (couldn't|could not|is))"
            ),
            r"unable to receive mail",
            r"we have no record",
            r"no mail ?box",
            r"mail ?box (not found|name not allowed|has been (removed|deleted))",
            r"user not local",
            r"not a registered (\w+ )?user",
            r"inactive e-?mail address",
            r"(e-?mail account|address) … tried to reach does not exist",
            r"(does not|doesn't) like recipient",
            r"no valid recipients?\b",
            r"recipient (mail ?box )?is not allowed",
            r"not be delivered to mobile",
            r"bad_recipient",
            r"not an active address",
            r"invalid final delivery",
            r"undeliverable to (the )?(recipient|address|mail ?box)",
            *tongues.INVALID_RECIPIENT,
        ),
    ),
    (
        B.INACTIVE_MAILBOX,
        (
            (
                r"(mail ?box|account|user|recipient|login|customer|e-?mail account|<@>)('s)?:? "
                r"(?:(?!ip|server|host|connection|client|domain|message)\S+ ){0,3}?"
                r"(disabled|inactiv|suspend|deactivat|locked|expired|frozen|closed|terminated|"
                r"archived|"
                r"dormant|cancell?ed|not active|not activated|no longer active|discontinued|"
                r"deleted|blocked|"
                r"on hold|retired|abandoned|not enabled|barred|over ?drawn)"
            ),
            r"(mail ?box|account|user|recipient|address) … (due to|because of) … inactiv",
            (
                r"(e-?mail )?address … (disabled|inactive|deactivated|suspended|discontinued|"
                r"deleted|retired|"
                r"not active|no longer active)"
            ),
            r"(domain|service|mail) … (suspended|deactivated)",
            (
                r"(disabled|inactive|suspended|deactivated|locked|expired|frozen|closed|dormant|"
                r"archived|"
                r"discontinued) (mail ?box|user|recipient|account|e-?mail|address|customer)"
            ),
            r"blocked due to inactivity",
            r"(is|has been|was) (currently )?(suspended|deactivated)\b",
            r"administrat\w+ disabled",
            r"tried to reach is disabled",
            r"(due to|because of) … inactivity",
            *tongues.INACTIVE,
        ),
    ),
)

_MESSAGE = (
    (
        B.TOO_LARGE,
        (
            (
                r"(message|mail|e-?mail|size|attachments?|content|body) … (is |was )?(too (big|"
                r"large|long)|"
                r"larger than|over ?siz|bigger)"
            ),
            r"(message|mail|size|header|attachments?) … exceed\w* … (size|maximum|limit|length)",
            r"exceed\w* … (message |mail |file )?size",
            r"(size|length) … (limit|exceed)",
            r"max(imum)? (message |mail |file )?size",
            r"too (big|large)\b",
            r"message size",
            *tongues.TOO_LARGE,
        ),
    ),
    (
        B.CONTENT,
        (
            r"\w*virus",
            r"malware",
            r"trojan",
            r"worm\b",
            r"infect",
            r"eicar",
            r"banned (file|attachment|content|name|extension|part)",
            (
                r"(attachment|file ?type|extension|executable|zip|archive|"
                r"macro)s? … (not (allowed|permitted|"
                r"accept)|reject|block|prohibit|forbidden|banned|denied|illegal|unacceptable|"
                r"removed)"
            ),
            (
                r"(prohibited|blocked|forbidden|illegal|banned|disallowed|unacceptable|unsafe|"
                r"dangerous) "
                r"(attachment|file|extension|executable)"
            ),
            r"p=blockedmessage",
            r"security (issue|threat)",
            r"potentially (harmful|executable|dangerous)",
            r"clamav",
            *tongues.CONTENT,
        ),
    ),
    (
        B.SPAM,
        (
            r"(url|uri|link|domain|web ?site)s? (in|contained|found) … (listed|block|black|spam)",
            r"(surbl|uribl|urlbl|multi\.surbl|dbl\.spamhaus)",
            r"(rejected|blocked|listed) … (url|uri|link)\b",
        ),
    ),
    (
        B.REPUTATION,
        (
            r"(\S+\.)?(spamhaus|spamcop|barracudacentral|sorbs|abuseat|abusix|spamrats|mailspike)",
            r"(zen|sbl|xbl|pbl|cbl|sbl-xbl)\b",
            r"barracuda (reputation|networks)",
            r"uceprotect",
            r"invaluement",
            r"sender ?score",
            r"gbudb",
            r"dns ?bl",
            r"rbls?\b",
            r"(black|block|deny)[- ]?list",
            r"blackhole",
            r"(\w+[- ])?reputation",
            r"client host … (rejected|blocked|denied)",
            r"blocked using(?! spam)",
            r"ip (address )?you're using",
            r"banned sending",
            (
                r"(your|sending|source|originating|connecting|this|the) (ip|mail ?server|server|"
                r"host|network|"
                r"isp|mta) … (is |was |has |been )*(block|banned|barred|listed|denied|reject|"
                r"refused)"
            ),
            (
                r"ip(v[46])?( address)?:? (?:\S+ ){0,2}?(is |was |has been |temporarily |"
                r"permanently )*(block|"
                r"banned|barred|listed|denied|not allowed|rejected)"
            ),
            r"(block|bann|refus|reject|deni)\w* … (ip|your (mail )?(server|host|network))\b",
            r"part of (their|your) network",
            r"user complaints",
            r"(too many|excessive) (spam|complaints?|unknown|invalid|bad)",
            r"no(ne)?/bad",
            r"ip=\S+ - (a problem|none|bad)",
            r"not accept\w* … (connections?|mail|messages?) from (your|this|the) (ip|host|server)",
            r"dynamic(ally)?[- ](ip|assigned|address|pool|host)",
            r"(residential|dial-?up)",
            *tongues.REPUTATION,
        ),
    ),
    (
        B.SPAM,
        (
            r"(anti-?|mc)?spam\w*",
            r"mass ?mail(er|ing)\b",
            r"unsolicited",
            r"junk",
            r"phish",
            r"fraud",
            r"u[bc]e\b",
            r"bulk (e-?)?mail",
            r"spamassassin",
            r"suspicio",
            (
                r"(message |mail )?content … (reject|block|refus|denied|not accept|filter|unaccept|"
                r"restrict)"
            ),
            r"(rejected|blocked|refused|denied|filtered) … content",
            r"content (filter|scan|polic)",
            r"high probability of",
            r"(rspamd|cloudmark|pyzor|bayes)",
            *tongues.SPAM,
        ),
    ),
    (
        B.RATE_LIMITED,
        (
            r"gr[ea]y ?-?list",
            r"rate[- ]?limit",
            (
                r"(sending|message|delivery|connection|receiving|mail|submission|ip|domain|"
                r"hourly|daily) "
                r"(rate|frequency|limit|quota)"
            ),
            r"(unusual |high |at a |the )?rate (that|of|at|control|exceed|too|limit)",
            r"throttl",
            r"too (many|much|fast|frequent|quick)",
            (
                r"(concurrent|simultaneous|number of|maximum|excessive) … (connection|recipient|"
                r"message|"
                r"session|mail)"
            ),
            r"(connection|message|recipient|session)s? … limit",
            r"\S+ frequency limited",
            r"slow ?down",
            r"deferred due to",
            r"early talker",
            r"unexpected volume",
            r"(limit|threshold) … (exceed|reach)",
            r"exceed\w* … (limit|threshold|per (hour|day|minute|second))",
            r"more than \d+ (recipient|message|connection)",
            *tongues.RATE,
        ),
    ),
    (
        B.REPUTATION,
        (
            r"(is|are|was|been) (currently )?listed",
            r"listed (in|on|at|by)",
            (
                r"(host|client|server|network|range|you|domain)('s)? … (block|banned|barred|"
                r"not welcome)"
            ),
            r"connections? … (not be accepted|due to polic)",
            r"access denied … (ip|banned|sending)",
        ),
    ),
)

_SYSTEM = (
    (
        B.POLICY,
        (
            r"polic(y|ies)",
            r"security (reason|setting)",
            r"not (authorized|authorised|permitted|allowed|accept)",
            r"administrat\w+ (prohibit|reject|block|den|refus|disabl|restrict)",
            (
                r"(access|permission to|delivery|message|transaction) … (denied|refused|rejected|"
                r"forbidden|"
                r"not authori)"
            ),
            r"only accept",
            r"prohibited",
            r"forbidden",
            r"restrict",
            r"(message|mail|e-?mail|delivery) … (rejected|refused|declined|blocked|not accepted)",
            r"rejected by",
            r"authentication (is )?required",
            r"smtp authentication\b",
            r"password required",
            r"not authenticated",
            r"sending denied",
            r"no identity changes",
            r"must (issue a starttls|authenticate|be authenticated|log ?in|use tls)",
            r"(encryption|tls) (is )?(required|needed)",
            r"(do not|don't) have permission",
            r"moderat",
            r"requires? confirmation",
            r"(members|subscribers)[- ]only",
            r"by non-?member",
            r"closed mailing list",
            r"not subscribed to",
            r"organizational settings",
            r"bouncedeny",
            r"third-party dsn",
            r"bad helo",
            r"(does not|doesn't) advertise auth",
            *tongues.REFUSED,
        ),
    ),
    (
        B.EXPIRED,
        (
            r"(message|delivery|mail|retry|queue) … (expired|timeout exceeded|time limit|lifetime)",
            r"retry (time(out)? )?(timeout |limit )?(exceeded|expired|not reached)",
            r"too (old|long in)",
            r"in (the )?queue (too|for)",
            (
                r"(couldn't|could not|cannot|can not|unable to|not been) (be )?deliver\w* … (for|"
                r"within|in|"
                r"after) (\S+ )?\d"
            ),
            r"(all|maximum|max) … (retr|attempts)",
            r"failed \d+ (times|attempts|tries)",
            r"(message|delivery attempts?|it) will (be retried|continue)",
            r"(has|have) not yet been delivered",
            r"has been delayed",
            r"(after|for|within|past|last) (\d+|several|many) (days?|hours?|attempts?|tries)",
            r"not going to try again",
            r"numerous attempts to deliver",
            r"multiple retries",
            r"allowed queue period",
            r"could not be delivered for more",
            r"delivery failed \d+\+? attempts",
            r"giving up",
            r"expired",
            *tongues.EXPIRED,
        ),
    ),
    (
        B.CONNECTION,
        (
            (
                r"connect(ion)?\b … (timed? ?out|refused|reset|lost|closed|failed|dropped|broken|"
                r"terminated|"
                r"aborted|interrupted)"
            ),
            (
                r"(lost|no|bad|dropped|broken|cannot|can't|couldn't|could not|unable to|"
                r"failed to) … "
                r"(connect|establish|reach|contact)"
            ),
            (
                r"(network|host|server|destination|route|system) … (unreachable|not respond|"
                r"not reach|down\b|"
                r"did not respond|not answer|unresponsive)"
            ),
            r"no (route|answer|response) (to|from)",
            r"time[- ]?d? ?out",
            r"conversation with",
            r"(establish|make) an? smtp connection",
            r"(dane|tlsa|dnssec)\b",
            r"malformed … name server reply",
            r"requires (encryption|tls|high-strength)",
            r"no (valid )?route to",
            r"all routes to",
            r"unable to resolve route",
            r"(tls|ssl)\b … (fail|error|handshake|negotiation|not available|alert)",
            r"starttls",
            r"certificate",
            r"(network|socket|winsock|communication|smtp session) (error|failure|problem)",
            r"dns … (fail|error|timed|timeout)",
            (
                r"(name|dns|hostname?|mx) (server )?(resolution|lookup|query|service) … (fail|"
                r"error|temp)"
            ),
            r"name service error",
            r"host not found, try",
            r"(dns|host|mx) lookup fail",
            r"remote host said: 4",
            r"all (hosts|servers) … (fail|down|unreach)",
            *tongues.CONNECTION,
        ),
    ),
    (
        B.PROTOCOL,
        (
            r"syntax",
            r"bad sequence",
            (
                r"(command|parameter|argument)s? … (not (recogni|implement|understood|support)|"
                r"unrecogni|"
                r"unknown|out of sequence|reject)"
            ),
            (
                r"(unrecogni[sz]ed|unknown|invalid|unimplemented|unsupported|bad) (command|"
                r"parameter|argument|"
                r"option|helo|ehlo)"
            ),
            r"protocol (error|violation)",
            r"helo (command )?(reject|invalid|name)",
            r"fully[- ]qualified",
            r"(bare|naked|lone) (lf|cr|linefeed|newline|nl)",
            r"rfc ?\d{3,4}",
            r"(8bit|smtputf8|binarymime|8-bit|utf-?8|eai)\b",
            r"internationali[sz]ed",
            r"line … too long",
            (
                r"(missing|malformed|duplicate|invalid|multiple|illegal|improper) (\S+ )?(header|"
                r"mime|"
                r"message-?id|date|from:|to:|charset|encoding|boundary)"
            ),
            r"header … (error|syntax|missing|invalid|malformed|duplicate)",
            r"improper use of",
            r"conversion … (not|fail|required)",
            r"mime (error|structure|format)",
            r"bad header",
            r"malformed address",
            r"angle-brackets",
            r"(ehlo|helo|mail|rcpt) first\b",
            r"(stray|bare) (linefeed|line feed)s?",
            r"improperly[- ]formatted",
            r"(helo|ehlo)\S* argument is invalid",
            r"unnecessary base64",
            r"mime headers?\b",
            r"invalid characters",
            r"nested too deep|depth exceeded",
            r"no data before greeting",
        ),
    ),
    (
        B.SERVER_ERROR,
        (
            r"(\w+[ -])?loop(ing|s|ed)?\b",
            r"too many hops",
            r"hop count",
            (
                r"(system|server|local|internal|service|software|processing|resource|"
                r"configuration|mailer|"
                r"database|ldap|lookup|i/o|backend|application|unexpected|temporary|"
                r"transient) … (error|"
                r"failure|fault|problem|unavailable|fail|busy|full|overload|shortage|exception)"
            ),
            r"(error|problem|failure) … (in|on|with|at|while|during|writing|opening|processing)\b",
            r"insufficient (system )?(resource|memory|storage)",
            r"out of (memory|disk|resources)",
            r"no space left",
            r"(disk|system|file ?system|spool) (is )?full",
            r"overload",
            r"load (average|too)",
            r"(please )?try (again|later|back)",
            r"(temporar|transient)",
            r"maintenance",
            r"shutting down",
            (
                r"(can't|cannot|could not|unable to|can not) (create|write|open|lock|update|"
                r"append|read|fork|"
                r"exec|process|queue)"
            ),
            r"command died",
            r"permission denied",
            r"operating system",
            r"service (is )?(not available|unavailable|shut)",
            r"upstream error",
            r"(lmtp|ldap) (error|server|attribute)",
            r"interrupted system call",
            r"(queue )?file write error",
            r"homedir\b",
            r"bad interpreter",
            r"could not load\b",
            r"(program|mailer) … not exited",
            r"misconfigur",
            r"unknown mailer error",
            r"mail ?box (is )?(busy|locked|in use)",
            r"local delivery failed",
            *tongues.SERVER_ERROR,
        ),
    ),
    (
        B.INVALID_RECIPIENT,
        (
            r"mail ?box (is )?(currently )?(unavail|not avail)",
            r"(mail ?box|user|account|recipient|address) … (unavailable|not available)",
            r"requested (mail )?action (not taken|aborted)",
            r"(recipient )?address rejected",
            r"recipient … (rejected|refused|denied|not accepted)",
            r"invalid address",
            r"undeliverable",
        ),
    ),
)

GAP: Final = r"(?:\S+ ){0,4}?"


def _compiled(rules: Iterable[tuple[B, tuple[str, ...]]]) -> tuple[Rule, ...]:
    return tuple(
        (verdict, re.compile(r"(?<![a-z0-9])(?:" + "|".join(words).replace("… ", GAP) + ")"))
        for verdict, words in rules
    )


SURE: Final = _compiled((*vendors.CODES, *_AUTHENTICATION, *_SENDER))
"""One vendor's own codes, and words about the sender that use a recipient's words too."""

TELLING: Final = _compiled((*_MAILBOX, *_MESSAGE))
"""Words that outweigh the numbers beside them."""

HINTS: Final = _compiled(_SYSTEM)
"""Words that a status code outweighs."""
