"""What a reader of findings was told of each open episode: whether another one is news."""

from __future__ import annotations

from enum import Enum

from schemas.outputs import Finding, Severity, Status


class Turn(Enum):
    """What a finding means to somebody who has read the ones before it."""

    OPENS = "opens"
    RISES = "rises"  # to a severity that the episode has not had
    GOES_ON = "goes on"
    ENDS = "ends"


class Courses:
    """The episodes that are open, each with the worst severity that was told."""

    def __init__(self) -> None:
        self._worst: dict[str, Severity] = {}

    @property
    def open(self) -> int:
        """How many have not ended."""
        return len(self._worst)

    def take(self, finding: Finding) -> Turn:
        """The findings of an episode come in their order; of one that began before, the first is its opening."""
        if finding.status is Status.RESOLVED:
            self._worst.pop(finding.episode, None)
            return Turn.ENDS
        worst = self._worst.get(finding.episode)
        if worst is not None and finding.severity.rank <= worst.rank:
            return Turn.GOES_ON
        self._worst[finding.episode] = finding.severity
        return Turn.OPENS if worst is None else Turn.RISES
