# ruff: noqa: E501 - mails are as long as servers make them
"""Returned mails in plain words, as servers write them that know no reports; composed by us."""


def mail(
    sender: str,
    subject: str,
    text: str,
    extra: str = "",
    ctype: str = "text/plain; charset=utf-8",
) -> bytes:
    """A mail without a report in it, from a server that has none."""
    head = (
        "Return-Path: <>",
        f"From: {sender}",
        "To: b-token@bounce.shop.example",
        f"Subject: {subject}",
        "Date: Fri, 20 Nov 2026 09:05:07 +0000",
        "Message-ID: <x@mx>",
        f"{extra}Content-Type: {ctype}",
    )
    return "\n".join((*head, "", text, "")).encode()


MAILS: dict[str, tuple[str | None, str | None, bytes]] = {
    "sendmail": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "Mail Delivery Subsystem <MAILER-DAEMON@mx.customer.example>",
            "Returned mail: see transcript for details",
            """The original message was received at Fri, 20 Nov 2026 09:00:00 GMT
from mail.shop.example [192.0.2.1]

   ----- The following addresses had permanent fatal errors -----
<zoe@customer.example>
    (reason: 550 5.1.1 <zoe@customer.example>... User unknown)

   ----- Transcript of session follows -----
... while talking to mx.customer.example.:
>>> DATA
<<< 550 5.1.1 <zoe@customer.example>... User unknown
550 5.1.1 <zoe@customer.example>... User unknown
<<< 503 5.0.0 Need RCPT (recipient)
""",
        ),
    ),
    "qmail": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "MAILER-DAEMON@mx.relay.example",
            "failure notice",
            """Hi. This is the qmail-send program at mx.relay.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<zoe@customer.example>:
192.0.2.5 does not like recipient.
Remote host said: 550 5.1.1 <zoe@customer.example>: Recipient address rejected: User unknown in local recipient table
Giving up on 192.0.2.5.

--- Below this line is a copy of the message.

Return-Path: <b-token@bounce.shop.example>
From: Shop <hello@shop.example>
""",
        ),
    ),
    "exim": (
        "zoe@customer.example",
        "mailbox_full",
        mail(
            "Mail Delivery System <Mailer-Daemon@mx.relay.example>",
            "Mail delivery failed: returning message to sender",
            """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  zoe@customer.example
    SMTP error from remote mail server after RCPT TO:<zoe@customer.example>:
    host mx.customer.example [192.0.2.5]: 552 5.2.2 Mailbox full

------ This is a copy of the message, including all the headers. ------
""",
        ),
    ),
    "exim delay": (
        "zoe@customer.example",
        "connection",
        mail(
            "Mail Delivery System <Mailer-Daemon@mx.relay.example>",
            "Warning: message 1kfXyZ-0003Ab-CD delayed 24 hours",
            """This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.relay.example.

The address to which the message has not yet been delivered is:

  zoe@customer.example
    host mx.customer.example [192.0.2.5]: Connection timed out

No action is required on your part. Delivery attempts will continue for
some time.
""",
        ),
    ),
    "exchange online": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@customer.example>",
            "Undeliverable: Your cart is waiting",
            """<html><body><p>Your message to zoe@customer.example couldn't be delivered.</p>
<p>zoe wasn't found at customer.example.</p>
<table><tr><td>hello</td><td>Office 365</td><td>zoe</td></tr></table>
<p>How to Fix It<br>The address may be misspelled or may not exist.</p>
<p>Diagnostic information for administrators:<br>
Remote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient zoe@customer.example not found by SMTP address lookup'</p></body></html>""",
            ctype="text/html; charset=utf-8",
        ),
    ),
    "exchange 2003": (
        "zoe@customer.example",
        "mailbox_full",
        mail(
            "System Administrator <postmaster@customer.example>",
            "Undeliverable: Your cart is waiting",
            """Your message

  To:      zoe@customer.example
  Subject: Your cart is waiting
  Sent:    Fri, 20 Nov 2026 09:00:00 +0000

did not reach the following recipient(s):

zoe@customer.example on Fri, 20 Nov 2026 09:00:10 +0000
    The recipient's mailbox is full and can't accept messages now.
    <mx.customer.example #5.2.2>
""",
        ),
    ),
    "gmail": (
        "zoe@gmail.com",
        "invalid_recipient",
        mail(
            "Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
            "Delivery Status Notification (Failure)",
            """** Address not found **

Your message wasn't delivered to zoe@gmail.com because the address couldn't be found, or is unable to receive mail.

Learn more here: https://support.google.com/mail/?p=NoSuchUser

The response was:

550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos or unnecessary spaces.
""",
            "X-Failed-Recipients: zoe@gmail.com\n",
        ),
    ),
    "yahoo": (
        "zoe@yahoo.com",
        "inactive_mailbox",
        mail(
            "MAILER-DAEMON@yahoo.com",
            "Failure Notice",
            """Sorry, we were unable to deliver your message to the following address.

<zoe@yahoo.com>:
554: delivery error: dd This user's mailbox is disabled (554.30). - mta1.mail.yahoo.com

--- Below this line is a copy of the message.
""",
        ),
    ),
    "gmx": (
        "zoe@gmx.de",
        "mailbox_full",
        mail(
            "GMX Mailer Daemon <mailer-daemon@gmx.de>",
            "Mail delivery failed: returning message to sender",
            """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of
its recipients. This is a permanent error. The following address
failed:

zoe@gmx.de:
SMTP error from remote server for RCPT TO command, host: mx00.emig.gmx.net (212.227.15.9) reason: 552-Requested mail action aborted: exceeded storage allocation
552 Quota exceeded. The recipients mailbox is full.
""",
        ),
    ),
    "orange": (
        "zoe@orange.fr",
        "invalid_recipient",
        mail(
            "Mail Delivery System <MAILER-DAEMON@smtp.orange.fr>",
            "Message non distribué / Undelivered Mail Returned to Sender",
            """Bonjour,

Votre message n'a pas pu être remis à un ou plusieurs destinataires.

<zoe@orange.fr>: host smtp-in.orange.fr[193.252.22.65] said: 550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR204_416 [416] (in reply to RCPT TO command)
""",
        ),
    ),
    "laposte": (
        "zoe@laposte.net",
        "invalid_recipient",
        mail(
            "Mail Delivery System <MAILER-DAEMON@laposte.net>",
            "Echec de la remise de votre message",
            """Votre message n'a pas pu être délivré au destinataire suivant :

zoe@laposte.net

Raison : l'adresse de messagerie n'existe pas (550 5.1.1)
""",
        ),
    ),
    "free": (
        "zoe@free.fr",
        "inactive_mailbox",
        mail(
            "MAILER-DAEMON@free.fr (Mail Delivery System)",
            "Undelivered Mail Returned to Sender",
            """This is the mail system at host mx1-g20.free.fr.

<zoe@free.fr>: host mx.free.fr[212.27.42.58] said: 550 5.2.1 <zoe@free.fr>: Mailbox inactive, boite desactivee (in reply to RCPT TO command)
""",
        ),
    ),
    "domino": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "Postmaster@customer.example",
            "DELIVERY FAILURE: User zoe (zoe@customer.example) not listed in Domino Directory",
            """Your message

  Subject: Your cart is waiting

was not delivered to:

  zoe@customer.example

because:

  User zoe (zoe@customer.example) not listed in Domino Directory
""",
        ),
    ),
    "groupwise": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "Mailer-Daemon@customer.example",
            "Message status - undeliverable",
            """The message that you sent was undeliverable to the following:
	zoe@customer.example (user not found)
""",
        ),
    ),
    "imail": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "Postmaster <postmaster@customer.example>",
            "Undeliverable Mail",
            """Unknown user: zoe@customer.example

Original message follows.

Received: from mail.shop.example
""",
        ),
    ),
    "courier": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            '"Courier mail server at mx.customer.example" <@>',
            "NOTICE: mail delivery status.",
            """This is a delivery status notification from mx.customer.example,
running the Courier mail server, version 0.65.2.

The original message was received on Fri, 20 Nov 2026 09:00:00 +0000
from mail.shop.example (192.0.2.1)

---------------------------------------------------------------------------

                           UNDELIVERABLE MAIL

Your message to the following recipients cannot be delivered:

<zoe@customer.example>:
    mx.customer.example [192.0.2.5]:
>>> RCPT TO:<zoe@customer.example>
<<< 550 User unknown.

---------------------------------------------------------------------------
""",
        ),
    ),
    "kerio": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "postmaster@customer.example",
            "Undeliverable mail: Your cart is waiting",
            """Your message:

    Subject: Your cart is waiting

could not be delivered to the following recipients:

<zoe@customer.example>
    Delivery failed. 550 5.1.1 User unknown
""",
        ),
    ),
    "hmail": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "mailer-daemon@customer.example",
            "Message undeliverable: Your cart is waiting",
            """Your message did not reach some or all of the intended recipients.

   Sent: Fri, 20 Nov 2026 09:00:00 +0000
   Subject: Your cart is waiting

The following recipient(s) could not be reached:

zoe@customer.example
   Error Type: SMTP
   Remote server (192.0.2.5) issued an error.
   hMailServer sent: RCPT TO:<zoe@customer.example>
   Remote server replied: 550 Unknown user

hMailServer
""",
        ),
    ),
    "mailenable": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "Postmaster@customer.example",
            "Message Delivery Failure",
            """MailEnable: Message could not be delivered to some recipients.
The following recipient(s) could not be reached:

	Recipient: [SMTP:zoe@customer.example]
	Reason: The message could not be delivered because the recipient's mailbox does not exist.
""",
        ),
    ),
    "aol": (
        "zoe@aol.com",
        "invalid_recipient",
        mail(
            "MAILER-DAEMON@aol.com",
            "Mail System Error - Returned Mail",
            """This Message was undeliverable due to the following reason:

Your message was not delivered because the return address was refused or the
destination is unknown. 550 MAILBOX NOT FOUND

Please reply to <postmaster@aol.com> if you feel this message to be in error.

The following address(es) failed: zoe@aol.com
""",
        ),
    ),
    "symantec": (
        "zoe@customer.example",
        "spam",
        mail(
            "MAILER-DAEMON@messagelabs.com",
            "failure notice",
            """This is the mail delivery agent at messagelabs.com.
I was unable to deliver your message to the following addresses:

zoe@customer.example
Reason: 554 5.7.1 Message rejected as spam by content scanning
""",
        ),
    ),
    "icloud dsn less": (
        "zoe@icloud.com",
        "mailbox_full",
        mail(
            "Mail Delivery System <postmaster@icloud.com>",
            "Delivery Notification: Delivery has failed",
            """This report relates to a message you sent with the following header fields:

  Message-id: <m_42@shop.example>
  Subject: Your cart is waiting

Your message cannot be delivered to the following recipients:

  Recipient address: zoe@icloud.com
  Reason: Over quota
""",
        ),
    ),
    "zimbra": (
        "zoe@customer.example",
        "connection",
        mail(
            "Mail Delivery System <MAILER-DAEMON@zimbra.customer.example>",
            "Delayed Mail (still being retried)",
            """This is the mail system at host zimbra.customer.example.

####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message could not be delivered for more than 4 hour(s).
It will be retried until it is 5 day(s) old.

<zoe@customer.example>: connect to mx.customer.example[192.0.2.5]:25: Connection timed out
""",
        ),
    ),
    "german": (
        "zoe@kunde.example",
        "invalid_recipient",
        mail(
            "Mail-System <mailer-daemon@kunde.example>",
            "Unzustellbar: Ihr Warenkorb",
            """Ihre Nachricht konnte nicht zugestellt werden.

Empfänger: zoe@kunde.example
Grund: Der Benutzer ist unbekannt (550)
""",
        ),
    ),
    "vacation": (
        None,
        "autoreply",
        mail(
            "Zoe <zoe@customer.example>",
            "Réponse automatique : Votre panier",
            "Je suis absente jusqu'au 30 novembre.",
            "Auto-Submitted: auto-replied\n",
        ),
    ),
    "human": (
        None,
        None,
        mail(
            "Zoe <zoe@customer.example>", "Re: Your cart is waiting", "Thanks, what is the price?"
        ),
    ),
    "mailman-simple": (
        "zoe@customer.example",
        "invalid_recipient",
        mail(
            "postmaster@old.example",
            "Mail could not be delivered",
            """Error in RCPT:

    ***************** THE ERROR WAS ************
550 zoe@customer.example unknown user
""",
        ),
    ),
    "exim2": (
        "zoe@customer.example",
        "bad_domain",
        mail(
            "Mail Delivery System <mailer-daemon@a.example>",
            "Mail delivery failed",
            """A message that you sent could not be delivered to all of its recipients. The
following address(es) failed:

  zoe@customer.example:
    unrouteable mail domain "customer.example"
""",
        ),
    ),
    "smtp32": (
        "zoe@customer.example",
        "unknown",
        mail(
            "Postmaster@a.example",
            "Undeliverable Mail",
            """Failed mail to zoe@customer.example

delivery failed to zoe@customer.example
""",
        ),
    ),
}
