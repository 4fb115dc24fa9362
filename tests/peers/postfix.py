"""A Postfix of the tests' own: private configuration, queue and ports, nothing leaves loopback."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.peers.authority import Authority
from tests.peers.programs import PATH, free_port, program

START_SECONDS: Final = 30.0
DELIVERY_SECONDS: Final = 30.0
MESSAGE_MAX: Final = 2_000_000
SMALL_MESSAGE_MAX: Final = 20_000
ERRORS_MAX: Final = 3
CONNECTIONS_MAX: Final = 2
MESSAGES_MAX: Final = 3
USER: Final = "tom@shop.example"
PASSWORD: Final = "correct horse & bätterÿ 5"

MAIN: Final = """\
compatibility_level = 3.7
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/log/mail.log
maillog_file_prefixes = {root}/log
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.peer.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_dns_support_level = disabled

# What a strict receiver may ask of a client.
smtpd_delay_reject = no
smtpd_helo_required = yes
strict_rfc821_envelopes = yes
disable_vrfy_command = yes
smtpd_forbid_unauth_pipelining = yes
smtpd_forbid_bare_newline = yes
smtpd_forbid_bare_newline_exclusions =
smtpd_helo_restrictions = reject_invalid_helo_hostname
smtpd_data_restrictions = reject_unauth_pipelining, reject_multi_recipient_bounce
smtpd_sender_restrictions = check_sender_access texthash:{root}/senders,
    reject_non_fqdn_sender
smtpd_recipient_restrictions = check_recipient_access texthash:{root}/recipients,
    reject_non_fqdn_recipient, reject_unauth_destination
smtpd_end_of_data_restrictions = check_recipient_access texthash:{root}/endings
header_checks = regexp:{root}/headers
message_size_limit = {message_max}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtputf8_enable = yes
strict_7bit_headers = no
smtpd_soft_error_limit = 1000
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_junk_command_limit = 1000
smtpd_client_event_limit_exceptions =
smtpd_client_connection_count_limit = 0

# To be read back: a maildir, byte for byte, or the next hop.
virtual_mailbox_domains = example.com, xn--bcher-kva.example
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
transport_maps = inline:{{
    {{ next.example = relay:[127.0.0.1]:{next_hop} }},
    {{ bounce.shop.example = relay:[127.0.0.1]:{intake} }},
    {{ inbox.example = relay:[127.0.0.1]:{inbox} }},
    {{ remote.example = relay:[127.0.0.1]:{remote} }} }}
relay_domains = next.example, inbox.example, remote.example
default_transport = error:5.1.2 nothing leaves

# Its guard against machines that do not speak SMTP, with every test that it has.
postscreen_access_list =
postscreen_cache_map = btree:{root}/data/postscreen
postscreen_greet_wait = 1s
postscreen_greet_action = enforce
postscreen_pipelining_enable = yes
postscreen_pipelining_action = enforce
postscreen_non_smtp_command_enable = yes
postscreen_non_smtp_command_action = enforce
postscreen_bare_newline_enable = yes
postscreen_bare_newline_action = enforce

smtpd_tls_security_level = may
smtpd_tls_cert_file = {root}/server.pem
smtpd_tls_key_file = {root}/server.pem
smtpd_tls_loglevel = 1
tls_random_source = dev:/dev/urandom
smtpd_sasl_auth_enable = no
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = shop.example
smtpd_sasl_security_options = noanonymous
smtpd_sasl_authenticated_header = yes
"""

SERVICES: Final = {
    "strict": "",
    "small": f"-o message_size_limit={SMALL_MESSAGE_MAX}",
    "plain": "-o smtpd_tls_security_level=none",
    "implicit": "-o smtpd_tls_wrappermode=yes",
    "stranger": (
        "-o smtpd_tls_cert_file={root}/stranger.pem -o smtpd_tls_key_file={root}/stranger.pem"
    ),
    "old_tls": "-o smtpd_tls_protocols=TLSv1 -o smtpd_tls_mandatory_protocols=TLSv1",
    "submission": (
        "-o smtpd_sasl_auth_enable=yes -o smtpd_tls_security_level=encrypt"
        " -o mynetworks= -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
    ),
    "in_clear": (
        "-o smtpd_sasl_auth_enable=yes -o smtpd_tls_security_level=none"
        " -o mynetworks= -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
    ),
    "few_errors": f"-o smtpd_hard_error_limit={ERRORS_MAX}",
    "few_connections": f"-o smtpd_client_connection_count_limit={CONNECTIONS_MAX}",
    "few_messages": f"-o smtpd_client_message_rate_limit={MESSAGES_MAX}",
    "no_esmtp": (
        "-o smtpd_discard_ehlo_keywords=pipelining,8bitmime,size,smtputf8,starttls,chunking"
    ),
    "remote": (
        "-o myhostname=mx.remote.example -o smtpd_delay_reject=yes -o"
        " smtpd_recipient_restrictions=check_recipient_access,texthash:{root}/remote,reject"
    ),
    "busy": "-o smtpd_client_restrictions=static:{{421 4.3.2 come back later}}",
    "closed": "-o smtpd_client_restrictions=static:{{554 5.7.1 not you}}",
}
"""One ``smtpd`` each, by what it is strict about."""

MASTER: Final = """\
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
proxywrite unix - - n -     1 proxymap
relay     unix  - - n -     - smtp
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
virtual   unix  - n n -     1 virtual
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
tlsproxy  unix  - - n -     0 tlsproxy
dnsblog   unix  - - n -     0 dnsblog
passed    pass  - - n -     - smtpd
127.0.0.1:{screen} inet n - n - 1 postscreen -o smtpd_service_name=passed
"""

SENDERS: Final = """\
deferred@shop.example 450 4.7.1 the sender waits
refused@shop.example 550 5.7.1 the sender is not wanted
"""
RECIPIENTS: Final = """\
nobody@example.com 550 5.1.1 no such user
full@example.com 452 4.2.2 the mailbox is full
grey@example.com 450 4.7.1 greylisted, come back
gone@example.com 421 4.3.0 going down
"""
ENDINGS: Final = """\
later@example.com 451 4.3.0 try again later
spam@example.com 554 5.7.1 looks like spam
"""
REMOTE: Final = """\
dead@remote.example 550 5.1.1 The email account that you tried to reach does not exist
full@remote.example 552 5.2.2 Mailbox full
spam@remote.example 554 5.7.1 Message blocked as spam
"""
HEADERS: Final = "/^Subject: FORBIDDEN/ REJECT 5.7.1 that subject is forbidden\n"


@dataclass
class Postfix:
    """Its ports by service, and what it delivered."""

    root: Path
    next_hop: int
    intake: int
    """Where it takes what it returns to us."""
    inbox: int
    """Where it takes mail for ``inbox.example``."""
    ports: dict[str, int] = field(default_factory=dict[str, int])
    _found: dict[str, bytes] = field(default_factory=dict[str, bytes])
    _seen: set[Path] = field(default_factory=set[Path])

    @property
    def log(self) -> str:
        path = self.root / "log" / "mail.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def version(self) -> str:
        said = subprocess.run(
            [program("postconf"), "-dh", "mail_version"], capture_output=True, check=True, text=True
        )
        return said.stdout.strip()

    def delivered(self, message: str, seconds: float = DELIVERY_SECONDS) -> bytes:
        """The mail with this Chappe-Message, as it lies in the maildir, in CRLF again, without the
        lines that Postfix put on top.
        """
        until = time.monotonic() + seconds
        while message not in self._found and time.monotonic() < until:
            self._look()
            time.sleep(0.01)
        if message not in self._found:
            raise AssertionError(f"{message} was not delivered:\n{self.log[-4_000:]}")
        return self._found[message]

    def _look(self) -> None:
        for path in set((self.root / "mail" / "inbox" / "new").glob("*")) - self._seen:
            self._seen.add(path)
            raw = path.read_bytes()
            if (named := _NAME.search(raw)) is not None:
                self._found[named[1].decode()] = without_trace(raw).replace(b"\n", b"\r\n")

    def count(self) -> int:
        return len(list((self.root / "mail" / "inbox" / "new").glob("*")))


_NAME: Final = re.compile(rb"^Chappe-Message: (\S+)$", re.MULTILINE)
_TRACE: Final = re.compile(
    rb"\A(?:(?:Return-Path|X-Original-To|Delivered-To|Received):[^\n]*\n(?:[ \t][^\n]*\n)*)+"
)


def without_trace(raw: bytes) -> bytes:
    return _TRACE.sub(b"", raw)


@contextmanager
def postfix(authority: Authority, next_hop: int) -> Generator[Postfix]:
    """Started by root, who gives his rights up; stopped and gone at the end."""
    root = Path(tempfile.mkdtemp(prefix="chappe-postfix-"))
    try:
        server = _configured(root, authority, next_hop)
        command = [program("postfix"), "-c", str(root / "etc")]
        with (root / "said").open("wb") as said:
            foreground = subprocess.Popen(
                [*command, "start-fg"],
                env={"PATH": PATH, "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait(server, foreground)
            yield server
        finally:
            # The command is a shell around the master: ending it alone would leave the master.
            with suppress(OSError, ValueError):
                os.kill(int((root / "queue" / "pid" / "master.pid").read_text()), signal.SIGTERM)
            try:
                foreground.wait(10)
            except subprocess.TimeoutExpired:
                foreground.kill()
                foreground.wait()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _configured(root: Path, authority: Authority, next_hop: int) -> Postfix:
    root.chmod(0o755)
    for name in ("etc", "etc/sasl", "queue", "data", "log", "mail"):
        (root / name).mkdir()
    for name in ("data", "mail", "log"):
        shutil.chown(root / name, "postfix", "postfix")
    account = (root / "mail").stat()
    server = Postfix(root, next_hop, free_port(), free_port())
    server.ports["screen"] = free_port()
    lines = [MASTER.format(screen=server.ports["screen"])]
    for name, options in SERVICES.items():
        server.ports[name] = free_port()
        said = options.format(root=root)
        lines.append(f"127.0.0.1:{server.ports[name]} inet n - n - - smtpd {said}\n")
    (root / "etc" / "master.cf").write_text("".join(lines))
    (root / "etc" / "main.cf").write_text(
        MAIN.format(
            root=root,
            message_max=MESSAGE_MAX,
            uid=account.st_uid,
            gid=account.st_gid,
            next_hop=next_hop,
            intake=server.intake,
            inbox=server.inbox,
            remote=server.ports["remote"],
        )
    )
    (root / "senders").write_text(SENDERS)
    (root / "recipients").write_text(RECIPIENTS)
    (root / "endings").write_text(ENDINGS)
    (root / "remote").write_text(REMOTE)
    (root / "headers").write_text(HEADERS)
    (root / "server.pem").write_bytes(authority.server)
    (root / "stranger.pem").write_bytes(authority.stranger)
    (root / "etc" / "sasl" / "smtpd.conf").write_text(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
        f"sasldb_path: {root}/sasldb\nmech_list: PLAIN LOGIN CRAM-MD5\n"
    )
    user, _, realm = USER.partition("@")
    subprocess.run(
        [program("saslpasswd2"), "-c", "-p", "-f", str(root / "sasldb"), "-u", realm, user],
        input=PASSWORD.encode(),
        check=True,
        capture_output=True,
    )
    shutil.chown(root / "sasldb", "postfix", "postfix")
    return server


def _wait(server: Postfix, foreground: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and foreground.poll() is None:
        if "daemon started" in server.log:
            return
        time.sleep(0.02)
    said = (server.root / "said").read_text("utf-8", "replace")
    raise AssertionError(f"Postfix did not start: {said}\n{server.log}")
