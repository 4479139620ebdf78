"""Records that the operator says to pass over (`input.skip`): kept as dead letters, never seen by the fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from schemas.decode import bad_event
from schemas.events import Why
from schemas.topics import Record
from streams.dead_letters import DeadLetters
from streams.stage import Applied, Outgoing

REASON: Final = "named in input.skip"

Apply = Callable[[Sequence[Record]], Applied]


def passing_over(apply: Apply, offsets: frozenset[int], letters: DeadLetters) -> Apply:
    """`apply` (a stage's) for all records but these; the same function where there are none, at no cost."""
    if not offsets:
        return apply

    def applied(records: Sequence[Record]) -> Applied:
        skipped = [i for i, record in enumerate(records) if record.offset in offsets]
        outgoing: list[Outgoing] = []
        counts: Counter[tuple[str, ...]] = Counter()
        begin = 0
        for end in (*skipped, len(records)):  # each stretch by itself: so that everything stays in the log's order
            if end > begin:
                part = apply(records[begin:end])
                outgoing += part.outgoing
                counts.update(part.counts)
            if end < len(records):
                outgoing.append(letters.letter(bad_event(records[end], Why.SKIPPED, REASON)))
                counts["events", Why.SKIPPED] += 1
            begin = end + 1
        return Applied(outgoing, counts)

    return applied
