"""Asks the brokers, before a process begins, for its topics and for what it may do there: one request for all of them.

What may not be written would else be noticed when it is needed first, which may be in the middle of an episode. A
broker without an authorizer allows everything; one that is too old to say counts as one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from streams.acl import Operation, Right

NOT_SAID: Final = -(2**31)
BITS: Final = {Operation.READ: 3, Operation.WRITE: 4, Operation.CREATE: 5, Operation.ALTER: 7}  # of AclOperation

_TEXT: Final = String("utf-8")


class Seen(NamedTuple):
    """Topic -> its number of partitions, of those that there are and may be seen; and the rights that are lacking."""

    partitions: Mapping[str, int]
    lacking: Sequence[Right]


class _Topic(NamedTuple):
    partitions: int
    operations: Collection[Operation]


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequest(RequestStruct):
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(_TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


_AUTO_CREATION: Final = (False,)
_ABOUT_TOPICS: Final = (False, True)  # operations authorized on the cluster, and on the topics


class _Topics(Request[MetadataRequest_v5 | _MetadataRequest]):
    """Asking for a topic by its name must not create it."""

    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: Any) -> Any:
        if request_struct_class is _MetadataRequest:
            return _MetadataRequest(self._names, *_AUTO_CREATION, *_ABOUT_TOPICS)
        return MetadataRequest_v5(self._names, *_AUTO_CREATION)


async def look(admin: Any, wanted: Iterable[Right]) -> Seen:
    """What there is of the topics that these rights are about, and which of the rights this process lacks."""
    rights = list(wanted)
    topics = await _topics(admin, sorted({right.name for right in rights if right.kind == "topic"}))
    lacking = [right for right in rights if right.kind == "topic" and _denies(topics.get(right.name), right)]
    groups = [right for right in rights if right.kind == "group"]
    lacking += [right for right in groups if not await _may_join(admin, right.name)]
    return Seen({name: topic.partitions for name, topic in topics.items() if topic.partitions}, lacking)


def _denies(topic: _Topic | None, right: Right) -> bool:
    return topic is not None and right.operation not in topic.operations


async def _topics(admin: Any, names: list[str]) -> dict[str, _Topic]:
    """Those that there are, and those that this process may not see."""
    answer = (await admin._send_request(_Topics(names))).to_object()["topics"]
    return {topic["topic"]: told for topic in answer if (told := _told(topic)) is not None}


def _told(topic: Mapping[str, Any]) -> _Topic | None:
    error = for_code(topic["error_code"])
    if error is TopicAuthorizationFailedError:
        return _Topic(0, frozenset())
    if error is UnknownTopicOrPartitionError:
        return None
    return _Topic(len(topic["partitions"]), operations(topic.get("authorized_operations", NOT_SAID)))


def operations(bits: int) -> frozenset[Operation]:
    """What a broker's bit field allows.

    >>> sorted(operations(1 << 3 | 1 << 8))
    [<Operation.READ: 'Read'>]
    """
    if bits == NOT_SAID:
        return frozenset(BITS)
    return frozenset(operation for operation, bit in BITS.items() if bits >> bit & 1)


async def _may_join(admin: Any, group: str) -> bool:
    try:
        await admin.find_coordinator(group)
    except GroupAuthorizationFailedError:
        return False
    except KafkaError:
        pass  # there may be none yet: the consumer will wait for it
    return True
