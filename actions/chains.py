"""A brake as people see it: one command and its renewals, each of which takes the place of the one before.

A renewal asks for the same and ends later. What asks for more, or for less, is another brake.
"""

from __future__ import annotations

from typing import NamedTuple

from actions.lifecycle import CARRIED_OUT, IN_FORCE, UNFINISHED, Life, Lives, furthest
from schemas.outputs import Command, State
from schemas.units import HOUR_US, from_rfc3339


class Link(NamedTuple):
    """A life whose command was read."""

    life: Life
    command: Command


class Chain(NamedTuple):
    """The links of one brake, oldest first. Where the log does not go back to the first, it is the oldest known."""

    links: tuple[Link, ...]

    @property
    def first(self) -> Command:
        return self.links[0].command

    @property
    def last(self) -> Command:
        return self.links[-1].command

    @property
    def end(self) -> Life:
        """The life of the last link, which is that of the whole brake."""
        return self.links[-1].life

    @property
    def state(self) -> State:
        """What is true of the last link; of one that only goes on with what was carried out, what was true of that."""
        state = self.end.state
        if state not in IN_FORCE:
            return state
        return furthest(State.ISSUED, (link.life.progress for link in self.links))

    @property
    def began_at(self) -> str:
        """When it was carried out; where nobody has said so, when it was issued."""
        said = (result for link in self.links for result in link.life.results if result.state in CARRIED_OUT)
        return min((result.at for result in said), default=self.first.issued_at)

    @property
    def ended_at(self) -> str | None:
        """When it was undone, as far as anybody has said; where nobody reports, when the restore was given."""
        end = self.end
        told = [result.at for result in end.results if result.state is State.RESTORED]
        if told or end.state is not State.RESTORED:
            return min(told, default=None)
        restore = end.restore
        return None if restore is None or restore.command is None else restore.command.issued_at

    @property
    def is_unfinished(self) -> bool:
        """Whether something of it may still be in force outside."""
        return self.end.is_real and self.end.state in UNFINISHED

    @property
    def was_carried_out(self) -> bool:
        """Whether somebody has said so."""
        return any(link.life.progress in CARRIED_OUT for link in self.links)

    def saved_usd(self, now_us: int) -> float | None:
        """What it has kept from being spent until now, or its end; None: nobody knows its price, or that it is done."""
        rate = self.last.cost.saves_usd_per_hour
        if rate is None or not self.was_carried_out or not self.end.is_real:
            return None
        end_us = now_us if self.ended_at is None else from_rfc3339(self.ended_at)
        return rate * max(0, end_us - from_rfc3339(self.began_at)) / HOUR_US


def chain_of(lives: Lives, life: Life) -> Chain:
    """The brake that a command belongs to. The command must have been read."""
    links = [*reversed(_back(lives, life)), *_on(life)]
    return Chain(tuple(Link(each, each.command) for each in links if each.command is not None))


def unfinished(lives: Lives) -> list[Chain]:
    """All brakes of which something may still be in force outside, the longest first."""
    ends = (life for life in lives if life.is_real and life.state in UNFINISHED)
    return sorted((chain_of(lives, life) for life in ends), key=lambda chain: (chain.first.issued_at, chain.first.id))


def renews(later: Command, earlier: Command) -> bool:
    """Whether a command that names another in `restores` only goes on with it."""
    same = (later.action, later.parameters, later.held) == (earlier.action, earlier.parameters, earlier.held)
    return same and later.restores == earlier.id and later.proposal is None


def _back(lives: Lives, life: Life) -> list[Life]:
    """The life and those that it goes on with, newest first. Ids are derived from content, so there are no rings."""
    found = [life]
    while (earlier := _renewed(lives, found[-1])) is not None:
        found.append(earlier)
    return found


def _renewed(lives: Lives, life: Life) -> Life | None:
    command = life.command
    earlier = None if command is None or command.restores is None else lives.get(command.restores)
    if command is None or earlier is None or earlier.command is None:
        return None
    return earlier if renews(command, earlier.command) else None


def _on(life: Life) -> list[Life]:
    """Those that go on with the life, oldest first."""
    found: list[Life] = []
    at = life
    while (later := at.successor) is not None and _goes_on(later, at):
        found.append(later)
        at = later
    return found


def _goes_on(later: Life, earlier: Life) -> bool:
    return later.command is not None and earlier.command is not None and renews(later.command, earlier.command)
