"""Stories that one receiver hears at once, and when the next notification of them is due."""

from __future__ import annotations

from typing import Final

from actions.alerting.routes import Pace
from actions.alerting.story import Reason, Story
from schemas.outputs import Id
from schemas.units import US

LOOK_AGAIN_US: Final = US  # at the least, between two looks at what is silenced or inhibited


class Group:
    """`news` are the stories with something to tell, longest waiting first; `hushed` those that may not be told now."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.stories: dict[Id, Story] = {}
        self.news: dict[Id, int] = {}  # since when
        self.hushed: frozenset[Id] = frozenset()
        self.told_us: int | None = None
        self.scheduled_us: int | None = None
        self._pace = Pace(0, 0, 0)
        self._labels: dict[str, str] = {}
        self._repeat_us: int | None = None
        self._not_before_us = 0

    @property
    def labels(self) -> dict[str, str]:
        return self._labels

    def put(self, episode: Id, story: Story, reason: Reason | None) -> None:
        """Take a story, or what is new about it."""
        self.stories[episode] = story
        self._pace, self._labels, self._not_before_us = story.pace, story.group_labels, 0
        self.note(episode, reason)
        if story.told is not None:
            self.told_us = max(self.told_us or 0, story.told.at_us)
            self._repeat_by(story.told.at_us + self._pace.repeat_us)

    def note(self, episode: Id, reason: Reason | None) -> None:
        """Whether there is something to tell of the story now."""
        if reason is None:
            self.news.pop(episode, None)
        else:
            self.news.setdefault(episode, self.stories[episode].since_us)

    def drop(self, episode: Id) -> None:
        self.stories.pop(episode, None)
        self.news.pop(episode, None)

    def due_us(self) -> int | None:
        """When to look at it next; None: there is nothing to tell, now or later."""
        due = [self._news_due_us()] if self.news else []
        due += [] if self._repeat_us is None else [self._repeat_us]
        return max(min(due), self._not_before_us) if due else None

    def is_repeated(self, story: Story, now_us: int) -> bool:
        """Whether what the receiver knows is to be told once more."""
        return story.ends_at is None and story.told is not None and now_us >= story.told.at_us + self._pace.repeat_us

    def look_again(self, now_us: int) -> None:
        """Nothing of what is due may be told: silences and inhibitions may end, though."""
        self._not_before_us = now_us + max(self._pace.interval_us, LOOK_AGAIN_US)

    def look_now(self) -> None:
        """What hushes may have changed."""
        self._not_before_us = 0

    def rest_until(self, until_us: int) -> None:
        """Let others go first: this one could not be told."""
        self._not_before_us = until_us

    def was_told(self, now_us: int, *, is_whole: bool) -> None:
        """The receiver took a notification; of one that did not hold all there was, the rest follows at once."""
        self.told_us = now_us if is_whole else now_us - self._pace.interval_us
        self.plan_repeats()

    def plan_repeats(self) -> None:
        """When the first of the stories is to be told once more."""
        self._repeat_us = None
        for story in self.stories.values():
            if story.ends_at is None and story.told is not None:
                self._repeat_by(story.told.at_us + self._pace.repeat_us)

    def pending(self) -> tuple[int, int | None]:
        """How many stories have news that may be told, and since when the oldest."""
        waiting = [since_us for episode, since_us in self.news.items() if episode not in self.hushed]
        return len(waiting), min(waiting, default=None)

    def _news_due_us(self) -> int:
        since_us = next(iter(self.news.values()))
        if self.told_us is None:
            return since_us + self._pace.wait_us
        return max(since_us, self.told_us + self._pace.interval_us)

    def _repeat_by(self, at_us: int) -> None:
        self._repeat_us = at_us if self._repeat_us is None else min(self._repeat_us, at_us)
