"""The present, from the records of three topics: commands, what became of them, and what operators said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from actions.commands import is_sealed
from actions.lifecycle import Lives
from actions.passed_on import refused
from schemas.config import Config
from schemas.orders import Order, Verb
from schemas.outputs import Command, Held, Id, Refusal, Result, State
from schemas.topics import APPROVALS, COMMANDS, RESULTS
from schemas.units import from_rfc3339
from schemas.unreadable import UNREADABLE

TOPICS: Final = (COMMANDS, RESULTS, APPROVALS)
KINDS: Final[Mapping[str, type[Command | Result | Order]]] = {COMMANDS: Command, RESULTS: Result, APPROVALS: Order}

Record = Command | Result | Order


class Heard(NamedTuple):
    """An order, and why it does not count, if it does not."""

    order: Order
    refusal: tuple[Refusal, str] | None


class Present:
    """What is known after some records. `config` says whose word counts."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.lives = Lives()
        self.orders: dict[Id, Heard] = {}
        self.about: dict[Id, list[Heard]] = defaultdict(list)  # id of a command -> orders about it
        self.troubles: dict[Id, Result] = {}  # what failed, and what was refused
        self.unreadable = 0
        self._take: Mapping[str, Callable[[bytes, int], Record]] = {
            COMMANDS: self._command, RESULTS: self._result, APPROVALS: self._order
        }  # fmt: skip

    def take(self, topic: str, value: bytes | None, logged_us: int) -> Record | None:
        """A record of a topic, which took it at that time: what it says; None: nothing that could be read."""
        try:
            return self._take[topic](value or b"", logged_us)
        except (*UNREADABLE, ValueError, TypeError):  # no JSON, not ours, or a time that is none
            self.unreadable += 1
            return None

    def newest_turn(self) -> Order | None:
        """The newest word about the kill switch, by its own clock: no older one counts."""
        said = self._counting(Verb.PAUSE, Verb.RESUME)
        return max(said, key=lambda order: (from_rfc3339(order.at), order.id), default=None)

    def pause(self, now_us: int) -> Order | None:
        """The kill switch, if it is on: the newest word about it, while its time lasts."""
        newest = self.newest_turn()
        return newest if newest is not None and newest.verb is Verb.PAUSE and _lasts(newest, now_us) else None

    def silences(self, now_us: int) -> list[Order]:
        """Those that last, by their end."""
        ended = {order.silence_id for order in self._counting(Verb.UNSILENCE)}
        lasting = [o for o in self._counting(Verb.SILENCE) if o.id not in ended and _lasts(o, now_us)]
        return sorted(lasting, key=lambda order: (order.until or "", order.id))

    def all_silences(self) -> list[Order]:
        """Those that are over, too, by their beginning."""
        return sorted(self._counting(Verb.SILENCE), key=lambda order: (order.at, order.id))

    def _counting(self, *verbs: Verb) -> list[Order]:
        return [heard.order for heard in self.orders.values() if heard.refusal is None and heard.order.verb in verbs]

    def _command(self, value: bytes, _: int) -> Command:
        command = msgspec.json.decode(value, type=Command)
        _check_times(command.issued_at, command.expires_at)
        if command.held is Held.AWAITING_APPROVAL and not is_sealed(command):
            raise ValueError("persons agree to an id: what it does not stand for must not be shown to them under it")
        self.lives.add_command(command)
        return command

    def _result(self, value: bytes, _: int) -> Result:
        result = msgspec.json.decode(value, type=Result)
        _check_times(result.at)
        self.lives.add_result(result)
        if result.refusal is not None or result.state is State.FAILED:
            self.troubles[result.id] = result
        return result

    def _order(self, value: bytes, logged_us: int) -> Order:
        order = msgspec.json.decode(value, type=Order)
        _check_times(order.at, order.until)
        heard = Heard(order, refused(order, logged_us, self._config))
        if order.id not in self.orders:  # the first record counts: a copy may be an old word, played again
            self.orders[order.id] = heard
            if order.command_id is not None:
                self.about[order.command_id].append(heard)
        return order


def _check_times(*times: str | None) -> None:
    """Raises ValueError or TypeError for what is no time, or has no offset."""
    for time in times:
        if time is not None:
            from_rfc3339(time)


def _lasts(order: Order, now_us: int) -> bool:
    return order.until is None or from_rfc3339(order.until) > now_us
