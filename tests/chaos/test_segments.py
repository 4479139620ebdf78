from __future__ import annotations

import random
from pathlib import Path

from tests.chaos.segments import CHECKPOINT, HEADER, batches, cut_tail


def write(data: Path, sizes: list[int], flushed: int) -> Path:
    """A segment of such batches, one offset each, and how far the broker has flushed it."""
    segment = data / "t-0" / "00000000000000000000.log"
    segment.parent.mkdir()
    segment.write_bytes(b"".join(HEADER.pack(n, size) + b"x" * size for n, size in enumerate(sizes)))
    (data / CHECKPOINT).write_text(f"0\n1\nt 0 {flushed}\n")
    return segment


def test_what_was_flushed_is_never_cut(tmp_path: Path) -> None:
    """However the dice fall, and the rest is gone from the batch on that was torn."""
    segment = write(tmp_path, [30, 40, 50, 60], flushed=2)
    lost = cut_tail(tmp_path, "t-0", random.Random(1))  # noqa: S311 -- no secret
    assert lost in {1, 2}
    assert [batch.base_offset for batch in batches(segment)] == list(range(4 - lost))


def test_where_all_was_flushed_nothing_is_cut(tmp_path: Path) -> None:
    """The file stays as it is."""
    segment = write(tmp_path, [30, 40], flushed=2)
    size = segment.stat().st_size
    assert cut_tail(tmp_path, "t-0", random.Random(1)) == 0  # noqa: S311 -- no secret
    assert segment.stat().st_size == size
