"""A log of alerts, receivers that fail in every way, and a process that crashes anywhere: all on one virtual clock.

It does what `streams/alert` does, without Kafka, HTTP or waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from actions.alerting.dispatch import Came, Dispatch
from actions.failure import Failure
from actions.receivers.interface import Fired, Notification
from schemas.config import Config
from schemas.outputs import Alert
from schemas.units import to_us
from tests.actions.alerting.alerts import START_US


class Answer(Enum):
    """What a receiver does with a notification."""

    TAKE = auto()
    UNREACHED = auto()
    BUSY = auto()  # with a Retry-After
    CUT_OFF = auto()  # it took it, but the answer is lost
    LOST = auto()  # it did not, and nobody can tell
    REFUSE = auto()  # what was sent
    LOCKED = auto()  # whoever sends, until somebody mends the credential


class Crash(Enum):
    """Where the process dies during the next notification."""

    BEFORE_SENDING = auto()
    AFTER_SENDING = auto()


FAILURES = {
    Answer.UNREACHED: Failure("nobody there", retryable=True, nothing_done=True),
    Answer.BUSY: Failure("429", retryable=True, retry_after_s=5.0, nothing_done=True),
    Answer.CUT_OFF: Failure("no answer in time", retryable=True),
    Answer.LOST: Failure("no answer in time", retryable=True),
    Answer.REFUSE: Failure("400", retryable=False, status=400, nothing_done=True),
    Answer.LOCKED: Failure("401", retryable=False, status=401, nothing_done=True),
}


class Post(NamedTuple):
    """A notification that arrived."""

    at_us: int
    notification: Notification


class World:
    """`log` is what alerts.v1 holds, `posts` what arrived at each receiver."""

    def __init__(self, config: Config) -> None:
        self.config, self.now_us = config, START_US
        self.log: list[tuple[Alert, int]] = []
        self.posts: dict[str, list[Post]] = {name: [] for name in config.receivers}
        self.answers = dict.fromkeys(config.receivers, Answer.TAKE)
        self.crash: Crash | None = None
        self.pauses_s: list[float] = []
        self._kept: dict[str, bytes] = {}
        self._position = 0
        self.start()

    def start(self) -> None:
        """A new process: what was kept, then the log from there."""
        self.crash = None
        self.dispatch = Dispatch(self.config)
        self.dispatch.restore(self._kept.items())
        for alert, _ in self.log[: self._position]:
            self.dispatch.remember(alert)
        self._read = self._position
        self._catch_up()
        self.dispatch.route_again(self.now_us)

    def write(self, *alerts: Alert) -> None:
        self.log += [(alert, self.now_us) for alert in alerts]
        self._catch_up()

    def checkpoint(self) -> None:
        self._save()
        self._position = self._read

    def run(self, seconds: float = 0.0) -> None:
        """Let so much time pass; every moment at which something is due is a moment at which it is done."""
        until_us = self.now_us + to_us(seconds)
        while self._work():
            pass
        while (wake_us := self._wake_us()) is not None and wake_us <= until_us:
            self.now_us = max(self.now_us, wake_us)
            while self._work():
                pass
        self.now_us = until_us

    def told(self, receiver: str) -> list[str]:
        """The text of every alert that was news there, with the status in front."""
        return [f"{'-' if one.ends_at else '+'}{one.alert.summary}" for one in self.news(receiver)]

    def news(self, receiver: str) -> Iterator[Fired]:
        for post in self.posts[receiver]:
            yield from (fired for fired in post.notification.alerts if fired.is_news)

    def step(self, receiver: str) -> bool:
        """What the receiver's task does next; whether there was anything to do."""
        delivery = self.dispatch.take(receiver, self.now_us)
        if delivery is None:
            return False
        self._save()
        crash = self.crash
        if crash is Crash.BEFORE_SENDING:
            self.start()
            return True
        answer = self.answers[receiver]
        if answer in {Answer.TAKE, Answer.CUT_OFF}:
            self.posts[receiver].append(Post(self.now_us, delivery.notification))
        if crash is Crash.AFTER_SENDING:
            self.start()
            return True
        backlog = self.dispatch.backlogs[receiver]
        if answer is Answer.TAKE:
            backlog.delivered(self.now_us)
        else:
            self.pauses_s.append(backlog.failed(FAILURES[answer], self.now_us, jitter=1.0))
        self._save()
        return True

    @property
    def kept(self) -> dict[str, bytes]:
        return self._kept

    def _work(self) -> bool:
        """One step of each receiver's task; whether there was anything to do."""
        return sum(map(self.step, self.config.receivers)) > 0

    def _wake_us(self) -> int | None:
        woken = [backlog.wake_us() for backlog in self.dispatch.backlogs.values()]
        return min((at for at in woken if at is not None), default=None)

    def _save(self) -> None:
        for subject, state in self.dispatch.changed():
            if state is None:
                self._kept.pop(subject, None)
            else:
                self._kept[subject] = state

    def _catch_up(self) -> None:
        while self._read < len(self.log):
            alert, at_us = self.log[self._read]
            self.dispatch.hear(alert, Came(self._read, at_us))
            self._read += 1
