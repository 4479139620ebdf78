"""What one receiver is still to be told, and in which order. Each receiver has its own, so none waits for another.

At most one notification is under way at a time, so what one episode's receiver hears comes in order. What comes
meanwhile, or while the receiver is down, is folded: the next notification has the newest line of each episode.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from actions.alerting.group import Group
from actions.alerting.routes import Target
from actions.alerting.story import Reason, Story, Told
from actions.failure import Failure
from actions.receivers.interface import Notification
from schemas.outputs import Id
from schemas.units import to_us

MOST_AT_ONCE: Final = 100  # alerts in a notification; the others follow in the next
FIRST_PAUSE_S: Final = 1.0  # after a failure; each further one doubles it, up to
LONGEST_PAUSE_S: Final = 60.0
SHORTEST_PAUSE_S: Final = 0.1  # whatever the receiver asks for
SLACK: Final = 64  # entries of the schedule that may be out of date, beside as many as are not

Hushed = Callable[[Id, Story], bool]
Reasons = dict[Id, Reason]


class Delivery(NamedTuple):
    """A notification that is due. `told`: what the receiver knows of the episodes that are news, once it took it."""

    notification: Notification
    told: dict[Id, Told]
    reasons: Reasons

    @property
    def firsts(self) -> list[Id]:
        """Of which the receiver was told nothing before."""
        return [episode for episode, reason in self.reasons.items() if reason is Reason.FIRST]


class Backlog:
    """Of one receiver. `external_url` is linked in every notification."""

    def __init__(self, receiver: str, *, send_resolved: bool, external_url: str | None) -> None:
        self.receiver, self.send_resolved, self.external_url = receiver, send_resolved, external_url
        self.stories: dict[Id, Story] = {}
        self._groups: dict[str, Group] = {}
        self._schedule: list[tuple[int, str]] = []
        self._under_way: Delivery | None = None
        self._newly_tried: list[Id] = []
        self._failures, self._blocked_until_us = 0, 0
        self._changed: set[Id] = set()

    def put(self, episode: Id, story: Story, target: Target | None = None) -> None:
        """Take a story, or what is new about it; with a target it moves to that group."""
        known = self.stories.get(episode)
        self._changed.add(episode)
        if target is not None and known is not None and known.group_key != target.group_key:
            self._leave(episode, known)
        if target is not None:
            story.place(target)
        self.stories[episode] = story
        group = self._groups.setdefault(story.group_key, Group(story.group_key))
        group.put(episode, story, self._news(story))
        self._settle(episode)
        self._plan(group)

    def take(self, now_us: int, hushed: Hushed) -> Delivery | None:
        """The notification that is due, to be answered with `delivered` or `failed`; None: there is none now.

        What `changed` by this must be saved before it is sent: that it was tried, for who knows what a crash cuts off.
        """
        if self._under_way is not None or now_us < self._blocked_until_us:
            return None
        while (group := self._next()) is not None and self._schedule[0][0] <= now_us:
            heapq.heappop(self._schedule)
            group.scheduled_us = None
            delivery = self._gather(group, now_us, hushed)
            if delivery is not None:
                self._begin(delivery)
                return delivery
            self._plan(group)
        return None

    def delivered(self, now_us: int) -> None:
        """The receiver took it."""
        self._failures, self._blocked_until_us = 0, 0
        self._end(now_us)

    def failed(self, failure: Failure, now_us: int, jitter: float) -> float:
        """The receiver did not take it: the pause in seconds. `jitter`, from 0 to 1, keeps many from knocking as one.

        What the receiver will never take counts as told: it is dropped, and only a new line or a repetition is tried
        again. Where it is the credential or the address that is refused, somebody will mend that: nothing is dropped.
        """
        if failure.is_unfit:
            self._end(now_us)
            return 0.0
        self._failures += 1
        pause_s = self._pause_s(failure) * (0.5 + jitter / 2)
        pause_s = pause_s if failure.retry_after_s is None else max(failure.retry_after_s, SHORTEST_PAUSE_S)
        self._blocked_until_us = now_us + to_us(pause_s)
        self._give_back(is_certain=failure.nothing_done)
        return pause_s

    def wake_us(self) -> int | None:
        """When to `take` next; None: when something new comes."""
        if self._under_way is not None or self._next() is None:
            return None
        return max(self._schedule[0][0], self._blocked_until_us)

    def look_now(self) -> None:
        """What hushes may have changed."""
        for group in self._groups.values():
            group.look_now()
            self._plan(group)

    def changed(self) -> Iterator[tuple[Id, Story | None]]:
        """The stories that changed since the last call; None: it has ended."""
        changed, self._changed = self._changed, set()
        yield from ((episode, self.stories.get(episode)) for episode in sorted(changed))

    def mark_all(self) -> None:
        """Let `changed` name every story."""
        self._changed.update(self.stories)

    def pending(self) -> tuple[int, int | None]:
        """How many stories have news that may be told, and since when the oldest."""
        found = [group.pending() for group in self._groups.values()]
        oldest = (since_us for _, since_us in found if since_us is not None)
        return sum(count for count, _ in found), min(oldest, default=None)

    def _pause_s(self, failure: Failure) -> float:
        doubled_s = FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 10)
        return min(LONGEST_PAUSE_S, doubled_s) if failure.retryable else LONGEST_PAUSE_S

    def _next(self) -> Group | None:
        """The group that is due first. What was planned anew meanwhile is out of date, and goes."""
        while self._schedule:
            due_us, key = self._schedule[0]
            group = self._groups.get(key)
            if group is not None and group.scheduled_us == due_us:
                return group
            heapq.heappop(self._schedule)
        return None

    def _gather(self, group: Group, now_us: int, hushed: Hushed) -> Delivery | None:
        reasons: Reasons = {}
        known: list[Id] = []
        quiet: set[Id] = set()
        for episode, story in group.stories.items():
            reason = self._news(story) or (Reason.REPEAT if group.is_repeated(story, now_us) else None)
            if story.ends_at is None and hushed(episode, story):
                quiet.add(episode)
            elif reason is not None:
                reasons[episode] = reason
            elif story.ends_at is None:
                known.append(episode)
        group.hushed = frozenset(quiet)
        if reasons:
            return self._delivery(group, reasons, known, now_us)
        group.plan_repeats()
        if quiet:
            group.look_again(now_us)
        return None

    def _delivery(self, group: Group, reasons: Reasons, known: list[Id], now_us: int) -> Delivery:
        """What is news, and what else of the group still fires: one at least, so that it is not said to be over."""
        chosen = [*known[:1], *reasons, *known[1:]][:MOST_AT_ONCE]
        told = {episode: group.stories[episode].as_told(now_us) for episode in chosen if episode in reasons}
        chosen.sort(key=lambda episode: (group.stories[episode].ends_at is not None, group.stories[episode].starts_at))
        alerts = tuple(group.stories[episode].fired(is_news=episode in told) for episode in chosen)
        notification = Notification(self.receiver, group.key, group.labels, alerts, self.external_url)
        return Delivery(notification, told, {episode: reasons[episode] for episode in told})

    def _begin(self, delivery: Delivery) -> None:
        self._under_way = delivery
        self._newly_tried = [episode for episode in delivery.firsts if not self.stories[episode].tried]
        self._mark_tried(tried=True)

    def _end(self, now_us: int) -> None:
        delivery = self._answered()
        for episode, told in delivery.told.items():
            story = self.stories[episode]
            story.told, story.since_us = told, now_us  # what came meanwhile is news from now on
            self._groups[story.group_key].news.pop(episode, None)
            self._changed.add(episode)
        is_whole = len(delivery.notification.alerts) < MOST_AT_ONCE
        for group in self._touched(delivery):
            group.was_told(now_us, is_whole=is_whole)
            self._note_all(group, delivery)

    def _give_back(self, *, is_certain: bool) -> None:
        delivery = self._answered()
        if is_certain:
            self._mark_tried(tried=False)
        for group in self._touched(delivery):
            group.rest_until(self._blocked_until_us)
            self._note_all(group, delivery)

    def _mark_tried(self, *, tried: bool) -> None:
        """That of an earlier attempt stays: this one says nothing about it."""
        for episode in self._newly_tried:
            self.stories[episode].tried = tried
        self._changed.update(self._newly_tried)

    def _answered(self) -> Delivery:
        delivery, self._under_way = self._under_way, None
        if delivery is None:
            raise RuntimeError("no notification is under way")
        return delivery

    def _touched(self, delivery: Delivery) -> list[Group]:
        """The groups of what was told: a story may have moved meanwhile."""
        keys = dict.fromkeys(self.stories[episode].group_key for episode in delivery.told)
        keys[delivery.notification.group_key] = None
        return [self._groups[key] for key in keys if key in self._groups]

    def _note_all(self, group: Group, delivery: Delivery) -> None:
        for episode in delivery.told:
            if episode in group.stories:
                group.note(episode, self._news(group.stories[episode]))
                self._settle(episode)
        self._plan(group)

    def _news(self, story: Story) -> Reason | None:
        return story.news(send_resolved=self.send_resolved)

    def _settle(self, episode: Id) -> None:
        """Forget a story that has ended, unless it is just being told."""
        story = self.stories[episode]
        is_under_way = self._under_way is not None and episode in self._under_way.told
        if story.ends_at is not None and self._news(story) is None and not is_under_way:
            self._leave(episode, story)
            del self.stories[episode]
            self._changed.add(episode)

    def _leave(self, episode: Id, story: Story) -> None:
        group = self._groups[story.group_key]
        group.drop(episode)
        if not group.stories:
            del self._groups[group.key]

    def _plan(self, group: Group) -> None:
        self._tidy()
        is_under_way = self._under_way is not None and self._under_way.notification.group_key == group.key
        if self._groups.get(group.key) is not group or is_under_way:
            group.scheduled_us = None
            return
        due_us = group.due_us()
        if due_us != group.scheduled_us and due_us is not None:
            heapq.heappush(self._schedule, (due_us, group.key))
        group.scheduled_us = due_us

    def _tidy(self) -> None:
        """An entry that is out of date may lie hours ahead."""
        if len(self._schedule) > 2 * len(self._groups) + SLACK:
            planned = self._groups.values()
            self._schedule = [(one.scheduled_us, one.key) for one in planned if one.scheduled_us is not None]
            heapq.heapify(self._schedule)
