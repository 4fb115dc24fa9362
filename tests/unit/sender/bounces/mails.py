"""Returned mails as each kind of server writes them, composed by us after their sources."""

ORIGINAL = """\
Message-ID: <m_42@shop.example>
From: Shop <hello@shop.example>
To: zoe@customer.example
Subject: Your cart is waiting
Date: Fri, 20 Nov 2026 09:00:00 +0000
Chappe-Message: m_42
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Hello Zoe, contact us at help@shop.example
"""


def report(
    fields: str,
    *,
    sender: str = "MAILER-DAEMON@mx.relay.example (Mail Delivery System)",
    subject: str = "Undelivered Mail Returned to Sender",
    text: str = "I'm sorry to have to inform you that your message could not be delivered.",
    original: str = ORIGINAL,
    copy: str = "message/rfc822",
    kind: str = "message/delivery-status",
    kept: str = "delivery-status",
) -> bytes:
    """A multipart/report (RFC 6522) with the three parts that everybody sends."""
    return f"""\
Return-Path: <>
Date: Fri, 20 Nov 2026 09:05:07 +0000 (UTC)
From: {sender}
Subject: {subject}
To: bounces@shop.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kept};
	boundary="A1B2.1763629507/mx.relay.example"
Message-Id: <20261120090507.A1B2@mx.relay.example>

This is a MIME-encapsulated message.

--A1B2.1763629507/mx.relay.example
Content-Description: Notification
Content-Type: text/plain; charset=utf-8

{text}

--A1B2.1763629507/mx.relay.example
Content-Description: Delivery report
Content-Type: {kind}

{fields}
--A1B2.1763629507/mx.relay.example
Content-Description: Undelivered Message
Content-Type: {copy}

{original}
--A1B2.1763629507/mx.relay.example--
""".encode()


def plain(sender: str, subject: str, text: str, *more: str) -> bytes:
    """A mail of one part, as servers wrote before there were reports."""
    head = "".join(f"{line}\n" for line in more)
    return f"""\
Return-Path: <>
From: {sender}
To: bounces@shop.example
Subject: {subject}
Date: Fri, 20 Nov 2026 09:05:07 +0000
Message-ID: <r1@mx.example>
{head}
{text}""".encode()


POSTFIX = report(
    """\
Reporting-MTA: dns; mx.relay.example
X-Postfix-Queue-ID: A1B2
X-Postfix-Sender: rfc822; bounces@shop.example
Arrival-Date: Fri, 20 Nov 2026 09:05:00 +0000 (UTC)

Final-Recipient: rfc822; zoe@customer.example
Original-Recipient: rfc822;zoe@customer.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.customer.example
Diagnostic-Code: smtp; 550 5.1.1 <zoe@customer.example>: Recipient address
    rejected: User unknown in virtual mailbox table
"""
)

POSTFIX_DELAYED = report(
    """\
Reporting-MTA: dns; mx.relay.example
Arrival-Date: Fri, 20 Nov 2026 05:05:00 +0000 (UTC)

Final-Recipient: rfc822; zoe@customer.example
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.customer.example[192.0.2.7]:25:
    Connection timed out
Will-Retry-Until: Wed, 25 Nov 2026 05:05:00 +0000 (UTC)
""",
    subject="Delayed Mail (still being retried)",
)

POSTFIX_EXPIRED = report(
    """\
Reporting-MTA: dns; mx.relay.example

Final-Recipient: rfc822; zoe@customer.example
Action: failed
Status: 4.2.2
Diagnostic-Code: smtp; 452 4.2.2 <zoe@customer.example>: mailbox over quota
"""
)

POSTFIX_DELIVERED = report(
    """\
Reporting-MTA: dns; mx.relay.example

Final-Recipient: rfc822; zoe@customer.example
Action: relayed
Status: 2.0.0
Diagnostic-Code: smtp; 250 2.0.0 Ok: queued as 77F

Final-Recipient: rfc822; ada@customer.example
Action: delivered
Status: 2.0.0
""",
    subject="Successful Mail Delivery Report",
)

POSTFIX_NO_HOST = report(
    """\
Reporting-MTA: dns; mx.relay.example

Final-Recipient: rfc822; zoe@nope.example
Original-Recipient: rfc822;zoe@nope.example
Action: failed
Status: 5.4.4
Diagnostic-Code: X-Postfix; Host or domain name not found. Name service error
    for name=nope.example type=A: Host not found
""",
    copy="text/rfc822-headers",
)

EXIM = (
    b"""\
Return-path: <>
Received: from Debian-exim by relay.example with local (Exim 4.96) id 1abc-000
X-Failed-Recipients: zoe@customer.example
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@relay.example>
To: bounces@shop.example
References: <m_42@shop.example>
Content-Type: multipart/report; report-type=delivery-status; boundary=1763-eximdsn-804289383
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1abc-000@relay.example>
Date: Fri, 20 Nov 2026 09:05:07 +0000

--1763-eximdsn-804289383
Content-type: text/plain; charset=us-ascii

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  zoe@customer.example
    host mx.customer.example [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<zoe@customer.example>:
    550 5.7.1 Message rejected, sending IP 192.0.2.99 is listed in DNSBL
--1763-eximdsn-804289383
Content-type: message/delivery-status

Reporting-MTA: dns; relay.example

Action: failed
Final-Recipient: rfc822;zoe@customer.example
Status: 5.0.0
Remote-MTA: dns; mx.customer.example
Diagnostic-Code: smtp; 550 5.7.1 Message rejected, sending IP 192.0.2.99 is listed in DNSBL

--1763-eximdsn-804289383
Content-type: message/rfc822

"""
    + ORIGINAL.encode()
    + b"\n--1763-eximdsn-804289383--\n"
)

EXIM_OLD = plain(
    "Mail Delivery System <Mailer-Daemon@relay.example>",
    "Mail delivery failed: returning message to sender",
    f"""\
This message was created automatically by mail delivery software (Exim).

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  zoe@customer.example
    Unrouteable address
  ada@full.example
    SMTP error from remote mail server after RCPT TO:<ada@full.example>:
    host mx.full.example [192.0.2.8]: 552 5.2.2 Mailbox full

------ This is a copy of the message, including all the headers. ------

{ORIGINAL}""",
    "X-Failed-Recipients: zoe@customer.example,",
    "  ada@full.example",
)

EXIM_WARNING = plain(
    "Mail Delivery System <Mailer-Daemon@relay.example>",
    "Warning: message 1abc-000 delayed 24 hours",
    """\
This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on relay.example.

The message identifier is:     1abc-000
The subject of the message is: Your cart is waiting

The address to which the message has not yet been delivered is:

  zoe@customer.example
    Delay reason: Connection timed out

No action is required on your part. Delivery attempts will continue for
some time, and this warning may be repeated at intervals if the message
remains undelivered.
""",
)

SENDMAIL = report(
    """\
Reporting-MTA: dns; relay.example
Received-From-MTA: DNS; localhost
Arrival-Date: Fri, 20 Nov 2026 09:05:00 GMT

Final-Recipient: RFC822; zoe@customer.example
X-Actual-Recipient: RFC822; zoe@mail.customer.example
Action: failed
Status: 5.2.1
Remote-MTA: DNS; mx.customer.example
Diagnostic-Code: SMTP; 550 5.2.1 <zoe@customer.example>... Mailbox disabled for this recipient
Last-Attempt-Date: Fri, 20 Nov 2026 09:05:06 GMT
""",
    sender="Mail Delivery Subsystem <MAILER-DAEMON@relay.example>",
    subject="Returned mail: see transcript for details",
)

SENDMAIL_OLD = plain(
    "Mail Delivery Subsystem <MAILER-DAEMON@relay.example>",
    "Returned mail: User unknown",
    f"""\
The original message was received at Fri, 20 Nov 2026 09:05:00 GMT
from localhost [127.0.0.1]

   ----- The following addresses had permanent fatal errors -----
<zoe@customer.example>

   ----- Transcript of session follows -----
... while talking to mx.customer.example.:
>>> RCPT To:<zoe@customer.example>
<<< 550 <zoe@customer.example>... User unknown
550 <zoe@customer.example>... User unknown

   ----- Original message follows -----

{ORIGINAL}""",
)

QMAIL = plain(
    "MAILER-DAEMON@relay.example",
    "failure notice",
    f"""\
Hi. This is the qmail-send program at relay.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<zoe@customer.example>:
192.0.2.7 does not like recipient.
Remote host said: 550 5.1.1 unknown or illegal alias: zoe@customer.example
Giving up on 192.0.2.7.

<ada@nope.example>:
Sorry, I couldn't find any host named nope.example. (#5.1.2)

--- Below this line is a copy of the message.

Return-Path: <bounces@shop.example>
{ORIGINAL}""",
)

EXCHANGE_ONLINE = report(
    """\
Reporting-MTA: dns;DB9PR01MB1234.eurprd01.prod.exchangelabs.example
Received-From-MTA: dns;mail.shop.example
Arrival-Date: Fri, 20 Nov 2026 09:05:00 +0000

Final-Recipient: rfc822;zoe@customer.example
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient
 zoe@customer.example not found by SMTP address lookup
""",
    sender="Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@customer.example>",
    subject="Non remis : Your cart is waiting",
    text="zoe@customer.example est introuvable.",
)

EXCHANGE_2003 = plain(
    "System Administrator <postmaster@customer.example>",
    "Undeliverable: Your cart is waiting",
    """\
Your message

  To:      all@customer.example
  Subject: Your cart is waiting
  Sent:    Fri, 20 Nov 2026 09:00:00 -0000

did not reach the following recipient(s):

zoe@customer.example on Fri, 20 Nov 2026 09:05:00 -0000
    The e-mail account does not exist at the organization this message was
sent to. Check the e-mail address, or contact the recipient directly.
    <mx.customer.example #5.1.1>
""",
)

EXCHANGE_2010 = plain(
    "postmaster@customer.example",
    "Undeliverable: Your cart is waiting",
    """\
Delivery has failed to these recipients or groups:

Zoe Martin<mailto:zoe@customer.example>
The recipient's mailbox is full and can't accept messages now. Please try
resending this message later, or contact the recipient directly.

Diagnostic information for administrators:

Generating server: ex1.customer.example

zoe@customer.example
#550 5.2.2 STOREDRV.Deliver: mailbox full. The following information should help.

Original message headers:

Received: from mail.shop.example by ex1.customer.example
Message-ID: <m_42@shop.example>
To: zoe@customer.example
""",
)

GMAIL = report(
    """\
Reporting-MTA: dns; googlemail.com
Arrival-Date: Fri, 20 Nov 2026 01:05:00 -0800 (PST)
X-Original-Message-ID: <m_42@shop.example>

Final-Recipient: rfc822; zoe@customer.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; gmail-smtp-in.l.google.com.
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please
 550-5.1.1 try double-checking the recipient's email address for typos or
 550 5.1.1  https://support.google.com/mail/?p=NoSuchUser 5b1f17b1804b1-4779 - gsmtp
Last-Attempt-Date: Fri, 20 Nov 2026 01:05:01 -0800 (PST)
""",
    sender="Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
    subject="Delivery Status Notification (Failure)",
    text="** Address not found **\n\nYour message wasn't delivered to zoe@customer.example",
)

GMAIL_OLD = plain(
    "Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
    "Delivery Status Notification (Failure)",
    """\
Delivery to the following recipient failed permanently:

     zoe@customer.example

Technical details of permanent failure:
Google tried to deliver your message, but it was rejected by the server for the
recipient domain customer.example by mx.customer.example. [192.0.2.7].

The error that the other server returned was:
550 5.7.1 This message was rejected as spam

----- Original message -----

Message-ID: <m_42@shop.example>
To: zoe@customer.example
""",
)

DOMINO = plain(
    "Postmaster@corp.example",
    "DELIVERY FAILURE: User zoe (zoe@corp.example) not listed in Domino Directory",
    """\
Your message

  Subject: Your cart is waiting

was not delivered to:

  zoe@corp.example

because:

  User zoe (zoe@corp.example) not listed in Domino Directory
""",
)

GMX = plain(
    "GMX Mailer Daemon <mailer-daemon@gmx.example>",
    "Mail delivery failed: returning message to sender",
    """\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of
its recipients. This is a permanent error. The following address
failed:

zoe@customer.example:
SMTP error from remote server for RCPT TO command, host: mx.customer.example
 (192.0.2.7) reason: 554 5.7.1 <zoe@customer.example>: Relay access denied

--- The header of the original message is following. ---

Received: from [192.0.2.1] by mail.gmx.example
Message-ID: <m_42@shop.example>
""",
)

IMAIL = plain(
    '"Postmaster" <postmaster@relay.example>',
    "Undeliverable Mail",
    """\
User mailbox exceeds allowed size: zoe@customer.example

Original message follows.

From: hello@shop.example
""",
    "X-Mailer: <SMTP32 v8.15>",
)

GERMAN = plain(
    "Mail-Zustellsystem <mailer-daemon@anbieter.example>",
    "=?utf-8?q?Unzustellbar=3A_Ihr_Warenkorb?=",
    """\
Ihre Nachricht konnte nicht zugestellt werden an:

  zoe@customer.example

Grund: Der Empfänger ist unbekannt.
""",
    "Content-Type: text/plain; charset=utf-8",
)

ARF = report(
    """\
Feedback-Type: abuse
User-Agent: Provider-FBL/1.0
Version: 1
Original-Mail-From: <bounces@shop.example>
Original-Rcpt-To: zoe@customer.example
Arrival-Date: Fri, 20 Nov 2026 09:01:00 +0000
Source-IP: 192.0.2.1
Reported-Domain: shop.example
""",
    sender="feedback@fbl.provider.example",
    subject="FW: Your cart is waiting",
    text="This is an email abuse report for an email message.",
    kind="message/feedback-report",
    kept="feedback-report",
)

JMRP = f"""\
From: staff@hotmail.com
To: fbl@shop.example
Subject: complaint about message from 192.0.2.1
Date: Fri, 20 Nov 2026 09:05:07 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"

--b1
Content-Type: message/rfc822
Content-Disposition: inline

X-HmXmrOriginalRecipient: zoe@outlook.example
{ORIGINAL}
--b1--
""".encode()

AWAY = plain(
    "Zoe Martin <zoe@customer.example>",
    "Automatic reply: Your cart is waiting",
    "I am out of office until Monday. My mailbox is full of mail; user unknown.\n",
    "Auto-Submitted: auto-generated",
    "X-Auto-Response-Suppress: All",
    "In-Reply-To: <m_42@shop.example>",
)

ABSENCE = plain(
    "Zoé <zoe@customer.example>",
    "=?utf-8?B?UsOpcG9uc2UgYXV0b21hdGlxdWUgOiBWb3RyZSBwYW5pZXI=?=",
    "Je suis en congés.\n",
)

SIEVE_REJECT = report(
    """\
Reporting-UA: mail.customer.example; Dovecot Mail Delivery Agent
Final-Recipient: rfc822; zoe@customer.example
Original-Message-ID: <m_42@shop.example>
Disposition: automatic-action/MDN-sent-automatically; deleted
""",
    sender="Mail Delivery Subsystem <postmaster@customer.example>",
    subject="Automatically rejected mail",
    text="Your message to <zoe@customer.example> was automatically rejected:\nQuota exceeded",
    kind="message/disposition-notification",
    kept="disposition-notification",
)

READ = report(
    """\
Reporting-UA: laptop; Thunderbird
Final-Recipient: rfc822; zoe@customer.example
Disposition: manual-action/MDN-sent-manually; displayed
""",
    sender="Zoe <zoe@customer.example>",
    subject="Read: Your cart is waiting",
    kind="message/disposition-notification",
    kept="disposition-notification",
)

QUESTION = b"""\
Return-Path: <zoe@customer.example>
From: Zoe Martin <zoe@customer.example>
To: hello@shop.example
Subject: Re: Your cart is waiting
Date: Fri, 20 Nov 2026 09:05:07 +0000

Hi, my last order was rejected and the card user unknown? Please call me.
On Fri, hello@shop.example wrote:
> Hello Zoe
"""

FORWARDED = b"""\
Return-Path: <zoe@customer.example>
From: Zoe Martin <zoe@customer.example>
To: hello@shop.example
Subject: Fwd: Undelivered Mail Returned to Sender
Date: Fri, 20 Nov 2026 09:05:07 +0000

What does this mean?

> <ada@elsewhere.example>: 550 5.1.1 user unknown
"""

LEAVE = b"""\
Return-Path: <zoe@customer.example>
From: Zoe Martin <zoe@customer.example>
To: unsubscribe+abc@shop.example
Subject: unsubscribe
Date: Fri, 20 Nov 2026 09:05:07 +0000

"""
