"""What every test may ask for: a real Kafka, topic names of its own, and the real data where it is at hand.

`TIDEGATE_TEST_KAFKA=HOST:PORT` uses that Kafka, `TIDEGATE_TEST_KAFKA=testcontainers` one in a container;
otherwise each worker of pytest starts its own. Where none can be had, tests that need it are skipped with the
reason; with `CI` set they fail.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from streams.local_kafka import KafkaUnavailableError, LocalKafka
from tests import secure_kafka
from tests.running import Starter
from tests.secure_kafka import Cluster

T = TypeVar("T")

ROOT: Final = Path(__file__).parent.parent
CONTAINER_IMAGE: Final = "confluentinc/cp-kafka:8.1.0"  # Apache Kafka 4.1 as testcontainers can start it
HEAP_MIB: Final = 384

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background, and all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a loaded machine does to the pace of an example says nothing about the code.
QUIET: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("tidegate", QUIET, max_examples=40)
settings.register_profile("thorough", QUIET, max_examples=1000)  # HYPOTHESIS_PROFILE=thorough
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "tidegate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a Kafka, so that `-m "not kafka"` leaves out all of it."""
    for item in items:
        if {"kafka", "new_kafka", "cluster"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """HOST:PORT of a Kafka that tests share: name topics with `topic_prefix`."""
    with _available(_shared_kafka(os.environ.get("TIDEGATE_TEST_KAFKA", ""))) as address:
        yield address


@pytest.fixture
def new_kafka() -> Iterator[Callable[[], LocalKafka]]:
    """Starts a Kafka that belongs to the test alone, to be stopped and killed at will."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(_available(LocalKafka(heap_mib=HEAP_MIB)))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kafka that lets in only whom it knows, with the topics and the rights of every process."""
    listener, ca_file = secure_kafka.listener(tmp_path_factory.mktemp("keys"), secure_kafka.PASSWORDS)
    with _available(LocalKafka(heap_mib=HEAP_MIB, listener=listener)) as started:
        made = Cluster(started.address, ca_file)
        asyncio.run(made.prepare())
        yield made


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for the names of this test's topics, readable in a broker's log and never used twice."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", request.node.nodeid.removeprefix("tests/")).strip("-")
    return f"{readable[-80:]}-{uuid.uuid4().hex[:8]}."


@pytest.fixture
def start_program(tmp_path: Path) -> Iterator[Starter]:
    """Starts programs in processes of their own, for as long as the test lasts."""
    starter = Starter(tmp_path)
    yield starter
    starter.close()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the archives of real data (`TIDEGATE_DATA`)."""
    folder = Path(os.environ.get("TIDEGATE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set TIDEGATE_DATA")
    return folder


@pytest.fixture(scope="session")
def unpack(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpacks NAME.tar.xz, once a session, and returns the folder with its contents."""
    done: dict[str, Path] = {}

    def unpacked(name: str) -> Path:
        if name not in done:
            done[name] = _extracted(data_folder / f"{name}.tar.xz", tmp_path_factory.mktemp(name))
        return done[name]

    return unpacked


def _extracted(archive: Path, folder: Path) -> Path:
    if not archive.is_file():
        pytest.skip(f"no {archive.name} in {archive.parent}")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder


@contextmanager
def _shared_kafka(wanted: str) -> Iterator[str]:
    if wanted == "testcontainers":
        with _container() as address:
            yield address
    elif wanted:
        yield wanted
    else:
        with LocalKafka(heap_mib=HEAP_MIB) as started:
            yield started.address


@contextmanager
def _container() -> Iterator[str]:
    from docker.errors import DockerException  # noqa: PLC0415 (only who asks for a container pays for this)
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415

    try:
        container = KafkaContainer(CONTAINER_IMAGE).with_kraft().start()
    except DockerException as error:
        message = f"cannot start {CONTAINER_IMAGE}: {error}"
        raise KafkaUnavailableError(message) from error
    try:
        yield container.get_bootstrap_server()
    finally:
        container.stop()


@contextmanager
def _available(broker: AbstractContextManager[T]) -> Iterator[T]:
    """Enter the context, or skip (in CI: fail) with the reason why there is no Kafka."""
    with ExitStack() as stack:
        try:
            entered = stack.enter_context(broker)
        except KafkaUnavailableError as error:
            _give_up(f"no Kafka: {error}")
        yield entered
