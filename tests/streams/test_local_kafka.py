"""The local Kafka is a real one, survives its own death, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams import local_kafka
from streams.local_kafka import KafkaUnavailableError, LocalKafka

PATIENCE_S = 90.0
TOPIC = "letters"

PARENT = """\
import sys, time
from streams.local_kafka import LocalKafka
kafka = LocalKafka(heap_mib=256)
kafka.start()
print(kafka._broker.pid, kafka.folder, flush=True)
time.sleep(600)
"""

NEW_KAFKA = Callable[[], LocalKafka]


async def _write(address: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=address, max_request_size=2 * len(value))
    await producer.start()
    await producer.send_and_wait(TOPIC, value)
    await producer.stop()


async def _read(address: str) -> bytes | None:
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), PATIENCE_S)
    finally:
        await consumer.stop()
    value: bytes | None = record.value
    return value


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _is_gone(pid: int) -> bool:
    """Whether the process has ended; an orphan that nobody reaps has ended, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_what_was_acknowledged_survives_a_kill(new_kafka: NEW_KAFKA) -> None:
    """After `kill -9` and a start the address is the same, and so is a record of several MiB."""
    kafka = new_kafka()
    address, letter = kafka.address, os.urandom(5 * 1024 * 1024)
    asyncio.run(_write(address, letter))
    kafka.kill()
    assert not kafka.running
    kafka.start()
    assert kafka.running
    assert kafka.address == address
    assert asyncio.run(_read(address)) == letter


def test_a_stop_is_orderly_and_closing_leaves_nothing(new_kafka: NEW_KAFKA) -> None:
    """`stop` keeps the folder for the next start; `close` removes it, and may be called twice."""
    kafka = new_kafka()
    folder = kafka.folder
    assert folder is not None
    kafka.start()  # it runs already: nothing happens
    kafka.stop()
    assert not kafka.running
    assert (folder / "data").is_dir()
    kafka.close()
    kafka.close()
    assert not folder.exists()
    with pytest.raises(KafkaUnavailableError, match="not been started"):
        _ = kafka.address


def test_a_broker_dies_with_its_parent(new_kafka: NEW_KAFKA) -> None:
    """A parent that is killed, and so cannot clean up, leaves neither the process nor the folder."""
    new_kafka().close()  # skips where no Kafka can be had
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
    finally:
        parent.kill()
        parent.communicate(timeout=PATIENCE_S)
    assert _eventually(lambda: _is_gone(int(pid)))
    assert _eventually(lambda: not Path(folder).exists())


def test_a_port_that_was_taken_meanwhile_is_given_up(new_kafka: NEW_KAFKA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another pair of ports is tried when the broker cannot bind the first."""
    busy = int(new_kafka().address.rpartition(":")[2])
    free_ports, tried = local_kafka._free_ports, []

    def first_a_taken_one() -> tuple[int, int]:
        ports = free_ports()
        tried.append(ports)
        return (busy, ports[1]) if len(tried) == 1 else ports

    monkeypatch.setattr(local_kafka, "_free_ports", first_a_taken_one)
    kafka = new_kafka()
    assert len(tried) == 2
    assert not kafka.address.endswith(f":{busy}")


def test_a_bad_property_is_named(new_kafka: NEW_KAFKA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka's own words reach the user, and the folder is gone."""
    new_kafka().close()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    kafka = LocalKafka(properties={"num.io.threads": "many"})
    with pytest.raises(KafkaUnavailableError, match=r"num\.io\.threads"):
        kafka.start()
    assert list(tmp_path.iterdir()) == []


class FakeJava:
    """A Java that formats at once and then does as the script says instead of being a broker."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "java"

    def behaves(self, script: str) -> None:
        self.path.write_text(f'#!/bin/sh\ncase "$*" in *StorageTool*) exit 0 ;; esac\n{script}\n')
        self.path.chmod(0o755)


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeJava:
    fake = FakeJava(tmp_path)
    monkeypatch.setattr(local_kafka, "java", lambda: fake.path)
    monkeypatch.setattr(local_kafka, "class_path", lambda _: "jars/*")
    return fake


def test_a_broker_that_never_answers_is_given_up(fake_java: FakeJava) -> None:
    """After the time-out the error carries the end of its log, and the process is gone."""
    fake_java.behaves("echo $$ still thinking; exec sleep 600")
    kafka = LocalKafka(start_timeout_s=1.0)
    with pytest.raises(KafkaUnavailableError, match=r"did not answer within 1 s\n  \d+ still thinking") as caught:
        kafka.start()
    assert _is_gone(int(str(caught.value).split()[-3]))
    assert kafka.folder is None


def test_a_broker_that_stops_says_why(fake_java: FakeJava) -> None:
    """Its status and the end of its log are the message."""
    fake_java.behaves("echo out of luck; exit 3")
    with pytest.raises(KafkaUnavailableError, match="Kafka stopped with status 3\n  out of luck"):
        LocalKafka().start()


def test_a_broker_that_stops_without_a_word(fake_java: FakeJava) -> None:
    """An empty log is said to be empty."""
    fake_java.behaves("exit 4")
    with pytest.raises(KafkaUnavailableError, match="Kafka stopped with status 4 and left no log"):
        LocalKafka().start()


def test_ports_that_are_always_taken_end_in_an_error(fake_java: FakeJava) -> None:
    """Trying other ports has an end."""
    fake_java.behaves('echo x >> "$(dirname "$0")/attempts"; echo Address already in use; exit 1')
    with pytest.raises(KafkaUnavailableError, match="Address already in use"):
        LocalKafka().start()
    attempts = (fake_java.path.parent / "attempts").read_text().split()
    assert len(attempts) == local_kafka.PORT_ATTEMPTS


def test_a_broker_that_ignores_sigterm_is_killed(fake_java: FakeJava, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping has an end, too."""
    fake_java.behaves("trap '' TERM; echo ready; while :; do sleep 0.1; done")
    monkeypatch.setattr(local_kafka, "STOP_TIMEOUT_S", 2.0)
    kafka = LocalKafka()
    monkeypatch.setattr(local_kafka, "_answers", lambda *_: _log_of(kafka) == "ready\n")
    kafka.start()
    broker = kafka._broker
    assert broker is not None
    kafka.close()
    assert broker.returncode == -signal.SIGKILL


def _log_of(kafka: LocalKafka) -> str:
    assert kafka.folder is not None
    return (kafka.folder / "kafka.log").read_text()


def test_an_open_port_alone_is_no_answer() -> None:
    """Whoever listens must speak Kafka, have a live broker, and be the cluster that was started."""
    correlation, brokers = b"\0\0\0\1", b"\0\0\0\1"
    assert local_kafka._names_a_live_broker(correlation + brokers + b"..mine..", "mine")
    assert not local_kafka._names_a_live_broker(correlation + brokers + b"..other..", "mine")
    assert not local_kafka._names_a_live_broker(correlation + b"\0\0\0\0" + b"..mine..", "mine")
    assert not local_kafka._names_a_live_broker(b"", "mine")


def test_a_broker_that_died_by_itself_starts_again_on_what_it_had(new_kafka: NEW_KAFKA) -> None:
    """Its watchdog, which would remove the folder, is dismissed first."""
    kafka = new_kafka()
    folder = kafka.folder
    assert folder is not None
    assert kafka.pid is not None
    os.kill(kafka.pid, signal.SIGKILL)
    assert _eventually(lambda: not kafka.running)
    kafka.start()
    gc.collect()  # a pipe that nobody holds any more is closed
    assert kafka.running
    assert (folder / "data").is_dir()
    asyncio.run(_write(kafka.address, b"letter" * 100))
