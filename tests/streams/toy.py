"""A toy stage that counts per key, and a worker: `python -m tests.streams.toy ADDRESS PREFIX SLOW_S [stock]`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import structs

from schemas.config import Config, Http, Kafka, Seconds
from schemas.outputs import derive_id
from schemas.topics import COMMANDS, REQUESTS, Record
from streams import logs, worker
from streams.stage import Applied, Fact, Outgoing

EACH = 10  # a record of output every so many records of a key


class ToyStage:
    """Sums the values of each key; what it writes depends on all that came before."""

    state_format = 1

    def __init__(self, partition: int, slow_s: float = 0.0) -> None:
        self.partition = partition
        self.slow_s = slow_s
        self.sums: dict[bytes, tuple[int, int]] = {}
        self.dirty: set[bytes] = set()
        self.applied = 0

    def apply(self, records: Sequence[Record]) -> Applied:
        """Fold, one by one."""
        outgoing: list[Outgoing] = []
        for record in records:
            if record.value == b"bug":
                raise ZeroDivisionError("a bug of the core")
            if record.value == b"forget":
                self._forget(record.key or b"")
            else:
                outgoing += self._count(record.key or b"", int(record.value or 0))
        self.applied += len(records)
        if self.slow_s:
            time.sleep(self.slow_s)
        return Applied(outgoing, Counter({("events", "applied"): len(records)}))

    def tick(self, now_us: int, read_us: int) -> list[Outgoing]:  # noqa: ARG002
        """Nothing."""
        return []

    def changed(self) -> list[Fact]:
        """The keys counted since."""
        dirty, self.dirty = self.dirty, set()
        return [Fact(key, self._state(key)) for key in sorted(dirty)]

    def position(self) -> bytes:
        """How many records were ever applied."""
        return msgspec.msgpack.encode(self.applied)

    def restore(self, position: bytes, facts: Sequence[Fact]) -> None:
        """The inverse of the two."""
        self.applied = msgspec.msgpack.decode(position, type=int)
        self.sums = {subject: msgspec.msgpack.decode(state, type=tuple[int, int]) for subject, state in facts if state}

    def reconfigure(self, config: Config) -> None:
        """Nothing to configure."""

    @property
    def event_time_us(self) -> int | None:
        """It knows no time."""
        return None

    def _state(self, key: bytes) -> bytes | None:
        return msgspec.msgpack.encode(self.sums[key]) if key in self.sums else None

    def _forget(self, key: bytes) -> None:
        del self.sums[key]
        self.dirty.add(key)

    def _count(self, key: bytes, value: int) -> list[Outgoing]:
        n, total = self.sums.get(key, (0, 0))
        n, total = n + 1, total + value
        self.sums[key] = n, total
        self.dirty.add(key)
        if n % EACH:
            return []
        found = {"id": derive_id(self.partition, key.decode(), n), "sum": total}
        return [Outgoing(COMMANDS, key, msgspec.json.encode(found))]


def toy_config(address: str, prefix: str) -> Config:
    """A quick configuration: short sessions, a free port."""
    kafka = Kafka(
        bootstrap_servers=address, group=prefix + "group", topic_prefix=prefix, session_timeout=Seconds(6),
        checkpoint_every=Seconds(0.5),
    )  # fmt: skip
    return structs.replace(Config(), kafka=kafka, http=Http(port=0))


def main(address: str, prefix: str, slow_s: str, *, stock: bool) -> int:
    """Run a worker of toy stages until a signal; `stock`: it reads by aiokafka's own means."""
    logs.configure()
    slow, config = float(slow_s), toy_config(address, prefix)
    return worker.run(
        structs.replace(config, kafka=structs.replace(config.kafka, lean_fetch=not stock)),
        lambda topic, partition, _: ToyStage(partition, slow if topic == REQUESTS else 0.0),
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4], stock="stock" in sys.argv[4:]))
