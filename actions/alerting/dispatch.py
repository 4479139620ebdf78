"""The fold: alerts and orders in, notifications out. Who is told what, and when; time is a parameter, in microseconds.

    alert ─► seen before? ─► labels ─► routes ─► a story for each receiver ─► groups ─► silenced? inhibited? ─► due

What is kept, and handed over by `changed`, is one fact for each open episode, for each story, and for each order about
silences that was heard and was signed: they and the log
from any place at which all of them were saved, or before it, give the same notifications but for those that a receiver
took and nobody wrote down. A fact guards itself by the offset of its newest line: a line read again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

import msgspec

from actions.alerting.backlog import Backlog, Delivery
from actions.alerting.episodes import Episode, Episodes, Line
from actions.alerting.inhibition import Inhibitor
from actions.alerting.labels import labels_of
from actions.alerting.recent import Recent
from actions.alerting.routes import Routes
from actions.alerting.silences import Silences
from actions.alerting.story import Story
from schemas.config import Config
from schemas.orders import Order, Verb
from schemas.outputs import Alert, Id, Refusal

EPISODE: Final = "episode"
STORY: Final = "story"
ORDER: Final = "order"
HEARD: Final = b"heard"

_encode = msgspec.msgpack.Encoder().encode
_episode = msgspec.msgpack.Decoder(Episode).decode
_story = msgspec.msgpack.Decoder(Story).decode


class Fact(NamedTuple):
    """What is to be kept of a subject: `episode/ID`, `story/ID/RECEIVER` or `order/ID`; None: nothing any more."""

    subject: str
    state: bytes | None


class Came(NamedTuple):
    """Where an alert lies in its log, and when the log took it."""

    offset: int
    at_us: int


class Dispatch:
    """Feed it what the logs hold, then `take` what is due for each receiver, whose answer goes to its backlog."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.backlogs: dict[str, Backlog] = {name: _backlog(name, config) for name in config.receivers}
        self._episodes, self._recent = Episodes(), Recent()
        self._routes, self._inhibitor = Routes(config), Inhibitor(config.alerting.inhibit)
        self._silences = Silences(config.operators)
        self._gone: list[Fact] = []

    def hear(self, alert: Alert, came: Came) -> None:
        """An alert, in its log's order."""
        if not self.remember(alert) or came.offset <= self._episodes.heard(alert.dedup_key):
            return
        if alert.status == "resolved":
            self._resolve(alert, came)
            return
        known, line = self._episodes.hear(alert, came.offset)
        self._tell(alert.dedup_key, known, line, came.at_us)

    def remember(self, alert: Alert) -> bool:
        """Whether it was not seen lately; for what lies before the place from which the log is read."""
        return self._recent.add(alert.id)

    def order(self, order: Order, now_us: int) -> Refusal | None:
        """An order, in its log's order; why it is not heard."""
        refusal = self._silences.hear(order, now_us)
        if order.verb is Verb.UNSILENCE:  # no other can let anything be told
            self._look_now()
        return refusal

    def take(self, receiver: str, now_us: int) -> Delivery | None:
        """What is due for a receiver; see `Backlog.take`."""
        return self.backlogs[receiver].take(now_us, partial(self._is_hushed, now_us))

    def route_again(self, now_us: int) -> None:
        """Every line that is known of an open episode, by the present configuration; once the log was read to its end.

        To whom it leads now, and did not before, they hear of it.
        """
        for episode, known in self._episodes:
            for line in sorted(known.lines.values(), key=lambda line: line.offset):
                self._tell(episode, known, line, now_us)
        self._look_now()

    def restore(self, facts: Iterable[tuple[str, bytes]]) -> None:
        """Become what the facts describe. Call once, when new."""
        for subject, state in facts:
            kind, episode, *receiver = subject.split("/", 2)
            if kind == ORDER:
                self._silences.trust(episode)
            elif kind == EPISODE:
                self._episodes.restore(episode, _episode(state))
            elif receiver[0] in self.backlogs:
                self.backlogs[receiver[0]].put(episode, _story(state))
            else:
                self._gone.append(Fact(subject, None))

    def changed(self) -> Iterator[Fact]:
        """What changed since the last call."""
        gone, self._gone = self._gone, []
        yield from gone
        for episode, known in self._episodes.changed():
            yield Fact(f"{EPISODE}/{episode}", None if known is None else _encode(known))
        for order, is_heard in self._silences.changed():
            yield Fact(f"{ORDER}/{order}", HEARD if is_heard else None)
        for name, backlog in self.backlogs.items():
            for episode, story in backlog.changed():
                yield Fact(f"{STORY}/{episode}/{name}", None if story is None else _encode(story))

    def mark_all(self) -> None:
        """Let `changed` name all there is."""
        self._episodes.mark_all()
        self._silences.mark_all()
        for backlog in self.backlogs.values():
            backlog.mark_all()

    def _resolve(self, alert: Alert, came: Came) -> None:
        known = self._episodes.is_over(alert.dedup_key)
        if known is not None:
            self._inhibitor.is_over(alert.dedup_key, known.lines)
        for backlog in self.backlogs.values():
            story = backlog.stories.get(alert.dedup_key)
            if story is not None and story.line < came.offset:
                story.resolve(alert, came.offset, came.at_us)
                backlog.put(alert.dedup_key, story)

    def _tell(self, episode: Id, known: Episode, line: Line, at_us: int) -> None:
        """Who the line is routed to gets it into their story, unless there is a newer one."""
        labels = labels_of(line.alert, self._config, line.action)
        self._inhibitor.fires(episode, line.alert.endpoint or "", labels)
        for target in self._routes.targets(labels):
            backlog = self.backlogs[target.receiver]
            story = backlog.stories.get(episode) or Story.begin(known.starts_at, target, line)
            if line.offset >= story.line:
                story.hear(line, labels, at_us)
                backlog.put(episode, story, target)

    def _look_now(self) -> None:
        for backlog in self.backlogs.values():
            backlog.look_now()

    def _is_hushed(self, now_us: int, episode: Id, story: Story) -> bool:
        return self._silences.is_silenced(story.labels, now_us) or self._inhibitor.is_inhibited(episode, story.labels)


def _backlog(receiver: str, config: Config) -> Backlog:
    send_resolved = config.receivers[receiver].send_resolved
    return Backlog(receiver, send_resolved=send_resolved, external_url=config.alerting.external_url)
