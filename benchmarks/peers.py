"""The same job in other programs. Each is optional: what it needs is had with `python -m benchmarks peers`.

The Python ones live in an environment of their own, as their requirements and tidegate's exclude each other; the Java
one has its jars from Maven Central and is compiled by Eclipse's compiler, which needs no more than a runtime.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.process import BenchmarkFailed, Figures, figures, program
from benchmarks.site import Site
from streams.kafka_distribution import VERSION, java

FOLDER: Final = Path(__file__).parent.parent / ".cache" / "benchmarks"
PROGRAMS: Final = Path(__file__).parent / "programs"
PYTHON: Final = FOLDER / "python" / "bin" / "python"
PACKAGES: Final = ("quixstreams==3.28.*", "bytewax[kafka]==0.21.*")
JARS: Final = FOLDER / f"kafka-streams-{VERSION}"
COORDINATES: Final = (
    f"org.apache.kafka:kafka-streams:{VERSION}+com.fasterxml.jackson.core:jackson-databind:2.19.0"
    "+org.eclipse.jdt:ecj:3.40.0"
)
JAVA_CLASS: Final = "KafkaStreamsJob"
INSTALL: Final = "python -m benchmarks peers"


class Skipped(Exception):
    """What a peer needs is not there; the message says what."""


class Peer(NamedTuple):
    """`events` is how much of a log it is given at most: slow ones get a part. `run(site, events, partitions)`."""

    name: str
    events: int
    run: Callable[[Site, int, int], Figures]


def install() -> None:
    """Get what the peers need, from PyPI and Maven Central."""
    venv.create(PYTHON.parent.parent, with_pip=True, clear=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    _fetch_jars()


def _fetch_jars() -> None:
    from jgo.env import EnvironmentBuilder  # noqa: PLC0415 -- only who installs needs it
    from jgo.maven import MavenContext  # noqa: PLC0415

    shutil.rmtree(JARS, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder) / "repository")
        builder = EnvironmentBuilder(context=context, cache_dir=Path(folder) / "environments")
        JARS.mkdir(parents=True)
        for jar in builder.from_endpoint(COORDINATES).all_jars:
            shutil.copy(jar, JARS)


def _kafka_streams(site: Site, events: int, _: int) -> Figures:
    if not JARS.is_dir():
        raise Skipped(f"no jars of Kafka Streams: {INSTALL}")
    jars = f"{JARS}/*"
    with tempfile.TemporaryDirectory() as folder:
        compiler = [str(java()), "-cp", jars, "org.eclipse.jdt.internal.compiler.batch.Main", "-21", "-nowarn"]
        source = PROGRAMS / f"{JAVA_CLASS}.java"
        done = subprocess.run(
            [*compiler, "-cp", ":".join(map(str, JARS.glob("*.jar"))), "-d", folder, source],
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchmarkFailed(f"{source.name} does not compile\n{done.stderr.decode()[-2000:]}")
        command = [
            str(java()),
            "-Xmx1g",
            "-cp",
            f"{folder}:{jars}",
            JAVA_CLASS,
            site.address,
            site.requests,
            str(events),
        ]
        return figures([*command, f"{folder}/state"])


def _foreign(name: str) -> Callable[[Site, int, int], Figures]:
    def run(site: Site, events: int, _: int) -> Figures:
        if not PYTHON.exists():
            raise Skipped(f"not installed: {INSTALL}")
        with tempfile.TemporaryDirectory() as folder:
            return program(name, site.address, site.requests, events, folder, python=PYTHON)

    return run


def _faust(site: Site, events: int, partitions: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        return program("faust_table", site.address, site.requests, events, partitions, folder)


PEERS: Final = (
    Peer(f"Kafka Streams {VERSION}, suppress", 1_000_000, _kafka_streams),
    Peer("Quix Streams, final windows", 200_000, _foreign("quix")),
    Peer("Bytewax, fold_window", 100_000, _foreign("bytewax_flow")),
    Peer("Faust, windowed table", 20_000, _faust),
)
