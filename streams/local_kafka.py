"""A real Apache Kafka (KRaft, one node, loopback only) for the demo, the tests and the benchmarks.

It lives in a folder and processes of its own, and leaves nothing behind: a watchdog outlives this process,
even under `kill -9`, for as long as it takes to kill the broker and remove the folder.

    with LocalKafka() as kafka:
        print(kafka.address)
"""

from __future__ import annotations

import base64
import logging
import os
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from streams.kafka_distribution import KafkaUnavailableError, Notify, class_path, java

HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 120.0  # of a broker on a busy machine; 4 s is usual
STOP_TIMEOUT_S: Final = 15.0  # from SIGTERM to SIGKILL
PORT_ATTEMPTS: Final = 5
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
NO_LIMIT_MS: Final = 2**63 - 1

# Below the ports that systems give to outgoing connections, so that nobody takes the broker's port while
# it is down, and no client that tries to reconnect becomes connected to itself.
_PORTS: Final = range(15_000, 32_000)

_PROPERTIES: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",  # who forgets to declare a topic shall notice it here
    "num.partitions": "4",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "message.max.bytes": str(MAX_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES),
    # Histories and simulated futures are played here: a record's time is no reason to refuse or to delete it.
    "log.message.timestamp.before.max.ms": str(NO_LIMIT_MS),
    "log.message.timestamp.after.max.ms": str(NO_LIMIT_MS),
    "log.retention.ms": "-1",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),  # the default is half of a small heap
    "broker.session.timeout.ms": "4000",  # a killed broker may come back only when its old session is over
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
}

_CLIENT: Final = b"tidegate"
# Metadata, version 2, correlation 1, of no topic: answered with the live brokers and the cluster's id.
_METADATA: Final = struct.pack(f">hhih{len(_CLIENT)}si", 3, 2, 1, len(_CLIENT), _CLIENT, 0)
# ApiVersions, version 0, correlation 1: answered before anybody has said who they are.
_API_VERSIONS: Final = struct.pack(f">hhih{len(_CLIENT)}s", 18, 0, 1, len(_CLIENT), _CLIENT)

# A line on stdin dismisses the watchdog; the end of stdin means that its parent is gone.
_WATCHDOG: Final = """\
read -r dismissed && exit 0
kill -s KILL -- "-$1"
for attempt in 1 2 3 4 5; do rm -rf -- "$2" && exit 0; sleep 0.2; done
"""

_log = logging.getLogger(__name__)


class Listener(NamedTuple):
    """How clients come in. `format_options` make the users that there are from the beginning.

    With `tls` the broker is knocked at over TLS, and by nobody: it answers as soon as it lets clients in.
    """

    protocol: str = "PLAINTEXT"
    properties: Mapping[str, str] = {}
    format_options: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None


PLAIN: Final = Listener()


class LocalKafka:
    """One broker: `start`, `stop` and `kill` keep its folder and its port, `close` removes everything.

    `properties` are added to the broker's own and win over them. All calls block.
    """

    def __init__(
        self,
        *,
        heap_mib: int = 512,
        properties: Mapping[str, str] | None = None,
        listener: Listener = PLAIN,
        notify: Notify = _log.info,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self.heap_mib = heap_mib
        self.folder: Path | None = None
        self._properties = {**listener.properties, **(properties or {})}
        self._listener = listener
        self._notify = notify
        self._start_timeout_s = start_timeout_s
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._port = 0
        self._broker: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT for clients; the same for as long as the folder lives."""
        if not self._port:
            message = "this Kafka has not been started yet"
            raise KafkaUnavailableError(message)
        return f"{HOST}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._broker is not None and self._broker.poll() is None

    @property
    def pid(self) -> int | None:
        """The broker's process; None while it is down."""
        return None if self._broker is None else self._broker.pid

    def start(self) -> None:
        """Start the broker, on the folder and the port it had before, if any; return when it answers."""
        if self.running:
            return
        self.kill()  # of one that died by itself the watchdog still waits, to remove the folder
        try:
            if self.folder is None:
                self._start_new()
            else:
                self._launch(self.folder)
        except BaseException:  # an interrupt, too, must leave nothing behind; it is raised again
            self.close()
            raise

    def stop(self) -> None:
        """Stop the broker in good order; after a limit, by force."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the broker as a crash would (`kill -9`)."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop the broker and remove its folder. To call it again is harmless."""
        self.stop()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start_new(self) -> None:
        command = self._java_command("-XX:TieredStopAtLevel=1")
        folder = self.folder = Path(tempfile.mkdtemp(prefix="tidegate-kafka-"))
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._configure(folder)
            if attempt == 1:
                _format(command, folder, (f"--cluster-id={self._cluster_id}", *self._listener.format_options))
            try:
                return self._launch(folder)
            except _PortTakenError:
                if attempt == PORT_ATTEMPTS:
                    raise
        return None

    def _configure(self, folder: Path) -> None:
        self._port, controller = _free_ports()
        own = {
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listeners": f"{self._listener.protocol}://{HOST}:{self._port},CONTROLLER://{HOST}:{controller}",
            "log.dirs": str(folder / "data"),
        }
        lines = (f"{key}={value}\n" for key, value in {**_PROPERTIES, **own, **self._properties}.items())
        (folder / "server.properties").write_text("".join(lines))

    def _java_command(self, *options: str) -> list[str]:
        jars = class_path(self._notify)
        return [
            str(java()), f"-Xmx{self.heap_mib}m", *options, "-XX:+UseSerialGC", "-XX:-UsePerfData",
            "-XX:+ExitOnOutOfMemoryError", "-Dlog4j2.level=WARN", "-cp", jars,
        ]  # fmt: skip

    def _launch(self, folder: Path) -> None:
        command = self._java_command(f"-Djava.io.tmpdir={folder}", f"-XX:ErrorFile={folder}/crash.log")
        with (folder / "kafka.log").open("wb") as log:
            self._broker = subprocess.Popen(
                [*command, "kafka.Kafka", folder / "server.properties"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
            )  # fmt: skip
        self._watchdog = _watch(self._broker.pid, folder)
        self._wait_until_it_answers(self._broker, folder / "kafka.log")

    def _wait_until_it_answers(self, broker: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while not self._answers():
            if broker.poll() is not None:
                self.kill()
                raise _why_it_stopped(broker.returncode, log)
            if time.monotonic() > deadline:
                self.kill()
                message = f"Kafka did not answer within {self._start_timeout_s:g} s{_tail(log)}"
                raise KafkaUnavailableError(message)
            time.sleep(0.1)

    def _answers(self) -> bool:
        if self._listener.tls is not None:
            return _lets_in(self._port, self._listener.tls)
        return _answers(self._port, self._cluster_id)

    def _end(self, with_signal: signal.Signals) -> None:
        broker, watchdog = self._broker, self._watchdog
        self._broker = self._watchdog = None
        try:
            if broker is not None:
                _end(broker, with_signal)
        finally:
            if watchdog is not None:
                watchdog.communicate(b"dismissed\n", timeout=STOP_TIMEOUT_S)


class _PortTakenError(KafkaUnavailableError):
    """Somebody took the port between our choice and the broker's bind."""


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on, at this moment."""
    free: list[int] = []
    while len(free) < 2:  # noqa: PLR2004 (the broker's and the controller's)
        port = random.choice(_PORTS)  # noqa: S311 (no secret; processes that start together should differ)
        if port not in free and _is_free(port):
            free.append(port)
    return free[0], free[1]


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker does
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def _format(command: list[str], folder: Path, options: tuple[str, ...]) -> None:
    done = subprocess.run(
        [*command, "kafka.tools.StorageTool", "format", *options, "--config", folder / "server.properties"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        message = f"Kafka refused to format its storage:\n{done.stdout}{done.stderr}".rstrip()
        raise KafkaUnavailableError(message)


def _watch(broker: int, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(broker), folder],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def _end(broker: subprocess.Popen[bytes], with_signal: signal.Signals) -> None:
    if broker.poll() is not None:
        return
    os.killpg(broker.pid, with_signal)
    try:
        broker.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(broker.pid, signal.SIGKILL)
        broker.wait(STOP_TIMEOUT_S)


def _answers(port: int, cluster_id: str) -> bool:
    """Whether the broker of this cluster is live and serves clients: more than an open port."""
    try:
        with _connected(port) as connection:
            return _names_a_live_broker(_asked(connection, _METADATA), cluster_id)
    except OSError:
        return False


def _lets_in(port: int, tls: ssl.SSLContext) -> bool:
    """Whether a broker of this certificate talks to clients that have yet to say who they are."""
    try:
        with _connected(port) as connection, tls.wrap_socket(connection, server_hostname=HOST) as secured:
            return bool(_asked(secured, _API_VERSIONS))
    except OSError:
        return False


def _connected(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=1)


def _asked(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(struct.pack(">i", len(request)) + request)
    return _reply(connection)


def _reply(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        size = stream.read(4)
        return stream.read(int.from_bytes(size, "big")) if len(size) == 4 else b""  # noqa: PLR2004 (an int32)


def _names_a_live_broker(reply: bytes, cluster_id: str) -> bool:
    brokers = int.from_bytes(reply[4:8], "big")  # after the correlation id
    return brokers > 0 and cluster_id.encode() in reply


def _why_it_stopped(status: int, log: Path) -> KafkaUnavailableError:
    tail = _tail(log)
    taken = "Address already in use" in tail or "Failed to bind" in tail
    kind = _PortTakenError if taken else KafkaUnavailableError
    return kind(f"Kafka stopped with status {status}{tail}")


def _tail(log: Path, lines: int = 30) -> str:
    """The end of the broker's log, to be appended to a message."""
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "".join(f"\n  {line}" for line in last) or " and left no log"


__all__ = ["KafkaUnavailableError", "Listener", "LocalKafka"]
