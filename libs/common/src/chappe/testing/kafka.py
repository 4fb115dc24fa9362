"""A real Apache Kafka, one KRaft node on loopback, from Maven Central's jars.

``make kafka`` keeps one running; a test that kills brokers starts its own, on a free port and
in its own directory. Everything here blocks: call it from a fixture, or through
``asyncio.to_thread``.
"""

import base64
import contextlib
import fcntl
import functools
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from pathlib import Path

from chappe.clock import monotonic

CHECKOUT = Path(__file__).resolve().parents[5]
POM = CHECKOUT / "deploy" / "kafka" / "pom.xml"
LOGGING = CHECKOUT / "deploy" / "kafka" / "log4j2.properties"
BUILD = CHECKOUT / "build" / "kafka"
LIBS = BUILD / "libs"

HOST = "127.0.0.1"
DEFAULT_PORT = 29092
TEST_PORTS = range(20_000, 29_000)
OLDEST_JAVA = 17
START_SECONDS = 90.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
LOG_TAIL_LINES = 15
HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC")

# A killed broker's session lasts 3 s instead of 9, so that a restarted one takes writes soon.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=CLIENT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=CLIENT://{host}:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
"""


class BrokerUnavailable(Exception):
    """No broker to be had; the message says why, and what to do."""


class KafkaBroker:
    """One broker with its own directory. Knows its process by a pid file, so another can stop it.

    ``port`` 0 takes a free one at construction; it stays the same over restarts.
    """

    def __init__(self, directory: Path, libs: Path = LIBS, port: int = 0) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()
        self._libs = libs
        self._data = self.directory / "data"
        self._settings = self.directory / "server.properties"
        self._pid_file = self.directory / "broker.pid"
        self._log = self.directory / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """What ``CHAPPE_KAFKA_BOOTSTRAP`` takes."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The running broker's process, else None."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        return pid if _is_broker_of(pid, self._settings) else None

    def start(self) -> None:
        """Start, and return when it answers. Starting a running broker changes nothing."""
        if self.pid is not None:
            self.port = self._port_it_runs_on()
            self._await_answer()
            return
        if not is_free(self.port):
            raise BrokerUnavailable(
                f"Port {self.port} is taken: stop what listens there, or name another port"
                " (KAFKA_PORT=29192 make kafka)."
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._settings.write_text(
            PROPERTIES.format(
                host=HOST, port=self.port, controller_port=free_port(), data=self._data
            ),
            encoding="utf-8",
        )
        if not (self._data / "meta.properties").exists():
            self._format()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._settings)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        self._pid_file.write_text(str(self._process.pid), encoding="ascii")
        self._await_answer()

    def stop(self) -> None:
        """Shut down cleanly; kill what does not obey in time. The data stay."""
        self._end(signal.SIGTERM)
        self._end(signal.SIGKILL)

    def kill(self) -> None:
        """``kill -9``, as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same port and data, after a stop or a kill."""
        self.stop()
        self.start()

    def _port_it_runs_on(self) -> int:
        found = re.search(r"listeners=CLIENT://[^:]+:(\d+)", self._settings.read_text("utf-8"))
        return int(found[1]) if found else self.port

    def _end(self, how: signal.Signals) -> None:
        pid = self.pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        deadline = monotonic() + STOP_SECONDS
        while not self._is_gone(pid):
            if monotonic() > deadline:
                return
            time.sleep(POLL_SECONDS)
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def _is_gone(self, pid: int) -> bool:
        """Tell whether the process has ended altogether: a dying one still holds its port."""
        if self._process is not None:
            return self._process.poll() is not None
        return not _is_alive(pid)

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        arguments = ("format", f"--cluster-id={cluster}", "-c", str(self._settings))
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", *arguments),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerUnavailable(f"Kafka could not format {self._data}: {done.stderr.strip()}")

    def _java(self, *main: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={LOGGING}"
        return ["java", *HEAP, logging, "-cp", f"{self._libs}/*", *main]

    def _await_answer(self) -> None:
        deadline = monotonic() + START_SECONDS
        while not answers(self.port):
            if self.pid is None or monotonic() > deadline:
                tail = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
                raise BrokerUnavailable(
                    f"Kafka did not start; {self._log} ends with:\n"
                    + "\n".join(tail[-LOG_TAIL_LINES:])
                )
            time.sleep(POLL_SECONDS)


@functools.cache
def available() -> str | None:
    """Why no broker can be started on this machine, in a sentence; None when one can."""
    if shutil.which("java") is None:
        return f"Kafka needs Java {OLDEST_JAVA} or newer: install a JRE (default-jre-headless)."
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        return f"Kafka needs Java {OLDEST_JAVA} or newer; `java -version` says {said.strip()!r}."
    if shutil.which("mvn") is None and not _is_current(LIBS):
        return "Kafka's jars come through Maven: install it (the package maven)."
    return None


def ensure_libs(libs: Path = LIBS) -> Path:
    """Fetch Kafka's jars into ``libs`` once; returns ``libs``. Safe for several at a time."""
    reason = available()
    if reason is not None:
        raise BrokerUnavailable(reason)
    libs.parent.mkdir(parents=True, exist_ok=True)
    with (libs.parent / "libs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(libs):
            _fetch(libs)
    return libs


def answers(port: int) -> bool:
    """Tell whether a broker at ``port`` lists a live broker in its metadata.

    Speaks Kafka's Metadata request, version 1, for no topic: a bare connection would also be
    taken by a broker that does not serve yet.
    """
    client_id_null, no_topics = -1, 0
    body = struct.pack(">hhihi", 3, 1, 7, client_id_null, no_topics)
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            with connection.makefile("rb") as reply:
                head = reply.read(12)
    except OSError:
        return False
    if len(head) < struct.calcsize(">iii"):
        return False
    _size, _correlation, brokers = struct.unpack(">iii", head)
    return brokers > 0


def free_port() -> int:
    """Pick a loopback port that nobody listens on just now.

    Below the range that the system lends to clients: a client that reconnects to a killed
    broker's port could otherwise be lent that very port, connect to itself, and keep it.
    """
    while True:
        port = TEST_PORTS.start + secrets.randbelow(len(TEST_PORTS))
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on ``port``."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _is_current(libs: Path) -> bool:
    stamp = libs / "made-from"
    return stamp.exists() and stamp.read_text(encoding="ascii") == _pom_digest()


def _pom_digest() -> str:
    return hashlib.sha256(POM.read_bytes()).hexdigest()


def _fetch(libs: Path) -> None:
    shutil.rmtree(libs, ignore_errors=True)
    goal = "dependency:copy-dependencies"
    where = (f"-DoutputDirectory={libs}", "-DincludeScope=runtime")
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM), goal, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokerUnavailable(f"Maven could not fetch Kafka's jars: {done.stdout[-2000:]}")
    (libs / "made-from").write_text(_pom_digest(), encoding="ascii")


def _is_broker_of(pid: int, settings: Path) -> bool:
    """Tell whether ``pid`` runs, and is not somebody else's by now."""
    if not _is_alive(pid):
        return False
    if not Path("/proc/self").exists():
        return True
    try:
        return str(settings).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    """Tell whether ``pid`` still runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (ProcessLookupError, PermissionError):
        return False
    except FileNotFoundError:  # a system without /proc
        return True
    return state.rpartition(")")[2].split()[0] != "Z"


def main(arguments: list[str]) -> None:
    """``start`` or ``stop`` the broker of this checkout."""
    port = int(os.environ.get("KAFKA_PORT", DEFAULT_PORT))
    broker = KafkaBroker(BUILD, LIBS, port)
    try:
        match arguments:
            case ["start"]:
                ensure_libs()
                broker.start()
                print(f"CHAPPE_KAFKA_BOOTSTRAP={broker.bootstrap}")
            case ["stop"]:
                broker.stop()
            case _:
                sys.exit("usage: python -m chappe.testing.kafka start|stop")
    except BrokerUnavailable as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main(sys.argv[1:])
