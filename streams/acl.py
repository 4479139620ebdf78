"""Which rights in Kafka each process needs, and no others: the table that the docs, the tests and the start itself use.

READ, WRITE and ALTER imply DESCRIBE. Who reads without a consumer group needs no right to one. An idempotent
producer needs no right of its own, since Apache Kafka 3.0: to write to one topic is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from shlex import quote
from typing import Final, Literal, NamedTuple

from schemas import topics
from schemas.config import Config


class Operation(StrEnum):
    """What may be done, in Kafka's words."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    ALTER = "Alter"


class Process(StrEnum):
    """Who connects to Kafka."""

    WORKER = "worker"
    EXECUTE = "execute"
    ALERT = "alert"
    OPERATOR = "operator"
    VIEWER = "viewer"
    DEAD_LETTERS = "dead-letters"
    TOPICS = "topics"
    INPUT = "input"


class Right(NamedTuple):
    """One thing that one process may do."""

    operation: Operation
    kind: Literal["topic", "group"]
    name: str

    def __str__(self) -> str:
        return f"{self.operation} on {self.kind} {self.name}"


class Needs(NamedTuple):
    """What a process does with topics (named without prefix), and its groups."""

    who: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    declare: tuple[str, ...] = ()  # create, and add partitions
    groups: tuple[str, ...] = ()  # {group}: `kafka.group`; {executor}: its name


_STATES: Final = tuple(name + topics.STATE for name in topics.STAGES)
_DEAD_LETTERS: Final = tuple(name + topics.DEAD_LETTERS for name in topics.STAGES)
_ALERT_STATE: Final = topics.ALERTS + topics.STATE
_OWN: Final = (topics.ROLLUPS, topics.FINDINGS, topics.COMMANDS, topics.RESULTS, topics.ALERTS)
_RECORD: Final = (topics.COMMANDS, topics.RESULTS, topics.APPROVALS)  # what was told, done and allowed
_TOLD: Final = (topics.FINDINGS, topics.ALERTS)

NEEDS: Final[Mapping[Process, Needs]] = {
    Process.WORKER: Needs(
        "`tidegate run`", (*topics.STAGES, *_STATES), (*_OWN, *_STATES, *_DEAD_LETTERS), groups=("{group}",)
    ),
    Process.EXECUTE: Needs(
        "`tidegate execute --executor NAME`", (topics.COMMANDS, topics.RESULTS), (topics.RESULTS,),
        groups=("{group}.execute.{executor}", "{group}.execute.{executor}.dry-run"),
    ),
    Process.ALERT: Needs(
        "`tidegate alert`", (topics.ALERTS, topics.APPROVALS, topics.RESULTS, _ALERT_STATE), (_ALERT_STATE,),
        groups=("{group}.alert",),
    ),
    Process.OPERATOR: Needs(
        "a person at `tidegate commands`, `pause-actions`, `resume-actions`, `silence`, and all that a viewer may",
        (*_RECORD, *_TOLD), (topics.APPROVALS,),
    ),
    Process.VIEWER: Needs("`tidegate status`, `commands ls` and `show`, `silence ls`, `explain`", (*_RECORD, *_TOLD)),
    Process.DEAD_LETTERS: Needs(
        "`tidegate dlq`, whose `replay` writes into every topic that a stage reads", _DEAD_LETTERS,
        (*topics.STAGES, *_DEAD_LETTERS),
    ),
    Process.TOPICS: Needs(
        "`tidegate topics create`",
        declare=(*topics.INPUTS, *_OWN, topics.APPROVALS, *_STATES, _ALERT_STATE, *_DEAD_LETTERS),
    ),
    Process.INPUT: Needs("gateways and collectors", write=topics.INPUTS),
}  # fmt: skip


def rights(config: Config, process: Process, executor: str | None = None) -> tuple[Right, ...]:
    """What a process must be allowed with this configuration; `executor` names the one that `execute` runs."""
    return tuple(_rights(config, NEEDS[process], executor))


def _rights(config: Config, needs: Needs, executor: str | None) -> Iterator[Right]:
    prefix = config.kafka.topic_prefix
    for operation, names in (
        (Operation.READ, needs.read),
        (Operation.WRITE, needs.write),
        (Operation.CREATE, needs.declare),
        (Operation.ALTER, needs.declare),
    ):
        yield from (Right(operation, "topic", prefix + name) for name in names)
    for group in needs.groups:
        yield Right(Operation.READ, "group", group.format(group=config.kafka.group, executor=executor))


def roles(config: Config) -> Iterator[tuple[Process, str | None]]:
    """Every process that this configuration may have; one of `execute` for each executor."""
    for process in Process:
        if process is Process.EXECUTE:
            yield from ((process, name) for name in sorted(config.executors))
        else:
            yield process, None


def principal(process: Process, executor: str | None) -> str:
    """Whom to give the rights if nobody is named.

    >>> principal(Process.EXECUTE, "hf")
    'User:tidegate-execute-hf'
    """
    return "User:" + "-".join(filter(None, ("tidegate", process.value, executor)))


def commands(config: Config, granted: tuple[Right, ...], to: str) -> Iterator[str]:
    """Lines of Kafka's own `kafka-acls.sh` that give these rights to a principal."""
    head = f"kafka-acls.sh --bootstrap-server {quote(config.kafka.bootstrap_servers)} --command-config admin.properties"
    wanted: dict[tuple[str, str], list[str]] = {}
    for right in granted:
        wanted.setdefault((right.operation.value, right.kind), []).append(right.name)
    for (operation, kind), names in wanted.items():
        on = " ".join(f"--{kind} {quote(name)}" for name in names)
        yield f"{head} --add --allow-principal {quote(to)} --operation {operation} {on}"


def page() -> str:
    """The table as a page of the docs has it."""
    lines = ["| process | who | Read | Write | group (Read) |", "|---|---|---|---|---|"]
    for process, needs in NEEDS.items():
        cells = (f"`{process}`", needs.who, _listed(needs.read), _listed(needs.write), _listed(needs.groups))
        if needs.declare:
            cells = (*cells[:2], "every topic: Create, Alter", "", "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _listed(names: tuple[str, ...]) -> str:
    """Topics in code; what is said of all stages is said once."""
    words = []
    for suffix in (topics.STATE, topics.DEAD_LETTERS):
        beside = {name + suffix for name in topics.STAGES}
        if beside <= set(names):
            names = tuple(name for name in names if name not in beside)
            words.append(f"`<read by a stage>{suffix}`")
    return ", ".join([f"`{name}`" for name in names] + words)
