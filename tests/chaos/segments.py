"""What a machine that loses its power takes from a log: the batches that the broker had not flushed to the disk."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Final, NamedTuple

HEADER: Final = struct.Struct(">qi")  # of a batch: its first offset, and its length from there
CHECKPOINT: Final = "recovery-point-offset-checkpoint"
MOST: Final = 12  # batches


class Batch(NamedTuple):
    """Where a batch begins in its file, and which offset it begins with."""

    position: int
    base_offset: int


def cut_tail(data: Path, partition: str, rng: random.Random) -> int:
    """Tear off up to `MOST` of the last batches of `topic-number` that were not flushed: how many."""
    segment = max((data / partition).glob("*.log"))
    flushed = flushed_until(data, partition)
    loose = [batch for batch in batches(segment) if batch.base_offset >= flushed]
    if not loose:
        return 0
    lost = rng.randint(1, min(MOST, len(loose)))
    first = loose[-lost].position
    size = segment.stat().st_size
    end = loose[-lost + 1].position if lost > 1 else size
    with segment.open("r+b") as file:
        file.truncate(rng.randrange(first, end))  # the first lost one may be there in part
    return lost


def batches(segment: Path) -> list[Batch]:
    """All whole batches of a segment."""
    content, position, found = segment.read_bytes(), 0, []
    while position + HEADER.size <= len(content):
        base_offset, length = HEADER.unpack_from(content, position)
        if length <= 0 or position + HEADER.size + length > len(content):
            break
        found.append(Batch(position, base_offset))
        position += HEADER.size + length
    return found


def flushed_until(data: Path, partition: str) -> int:
    """The offset below which the broker knows everything to be on the disk."""
    topic, _, number = partition.rpartition("-")
    for line in (data / CHECKPOINT).read_text().splitlines():
        if line.startswith(f"{topic} {number} "):
            return int(line.split()[2])
    return 0
