"""What `tidegate replay` prints: its findings and commands on stdout, the sums on stderr.

A person reads what is new: openings, rises of severity, ends, and commands that are no renewals; a program reads all.
"""

# ruff: noqa: T201  (printing is what a command line is for)

from __future__ import annotations

import sys
from typing import Final

from actions.wording import is_renewal
from schemas.outputs import Command, Finding
from streams import narration
from streams.core_stage import encode
from streams.courses import Courses, Turn
from streams.options import Output
from streams.replay import Replay

MOST_NAMED: Final = 10  # fields that nobody reads; a map with a name for each event would have thousands


def warn_of_ignored(file: str, names: list[str]) -> None:
    """Fields that no event of the kind has: a typing error in an optional one is easily made."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    text = f"{file}: ignored: {', '.join(names[:MOST_NAMED])}{more}"
    print(narration.printable(text), file=sys.stderr)


def warn_of_disorder(job: Replay) -> None:
    """Some events are late in every log; most of them are only in one that is not in order."""
    for topic, file in job.files.items():
        late = job.counts[topic, "late"]
        read = late + job.counts[topic, "accepted"]
        if 2 * late > read:
            text = f"{file}: {late:,} of {read:,} events were late: are the files in order of time?"
            print(narration.printable(text), file=sys.stderr)


class Printer:
    """Prints one after the other, and counts them; `every`: a person is to read all of them too."""

    def __init__(self, output: Output, *, every: bool) -> None:
        self._is_json = output is Output.JSON
        self._every = every
        self._courses = Courses()
        self.found = self.commanded = 0

    def take(self, value: Finding | Command) -> None:
        turn = self._counted(value)
        if self._is_json:
            sys.stdout.buffer.write(encode(value) + b"\n")
        elif self._every or turn is not Turn.GOES_ON:
            print(narration.sentence(value, turn))

    def left_open(self) -> str:
        """How many episodes have not ended."""
        still = self._courses.open
        return f"{still or 'no'} episode{' is' if still == 1 else 's are'} still open"

    def _counted(self, value: Finding | Command) -> Turn:
        if isinstance(value, Finding):
            self.found += 1
            return self._courses.take(value)
        self.commanded += 1
        return Turn.GOES_ON if is_renewal(value) else Turn.OPENS
