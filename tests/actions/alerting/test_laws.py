"""Nothing is lost, nothing comes out of order, and nothing is told more often than a crash or a lost answer excuses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from actions.alerting.recent import Recent
from actions.receivers.interface import Fired
from schemas.outputs import Alert, Severity
from schemas.receivers import Route
from schemas.section import Seconds
from tests.actions.alerting.alerts import alert, config, over
from tests.actions.alerting.world import Answer, Crash, World

EPISODES = ("one", "two", "three")
RECEIVERS = ("pager", "slack", "team")
NEVER_S = Seconds(10 * 365 * 86400)  # repetitions would hide what is told twice
ROUTE = Route(
    receiver="pager",
    repeat_interval=NEVER_S,
    routes=(
        Route(receiver="slack", group_by=("rule",), group_wait=Seconds(3), continue_=True),
        Route(receiver="team", matchers=("severity=~critical|error",), group_by=("severity",), continue_=True),
        Route(receiver="pager"),
    ),
)


class Fires(NamedTuple):
    """A further line of the episode, which begins with it if it has not."""

    episode: str
    severity: Severity


class Ends(NamedTuple):
    """The episode's last line."""

    episode: str


class Answers(NamedTuple):
    """From now on the receiver does this."""

    receiver: str
    answer: Answer


class Repeats(NamedTuple):
    """The worker was killed, and writes its last lines again."""

    lines: int


Step = Fires | Ends | Answers | Repeats | Crash | float | None
episodes, receivers = st.sampled_from(EPISODES), st.sampled_from(RECEIVERS)
EXCUSED = (Answer.TAKE, Answer.UNREACHED, Answer.BUSY, Answer.CUT_OFF, Answer.LOST)
steps = st.lists(
    st.one_of(
        st.builds(Fires, episodes, st.sampled_from(Severity)),
        st.builds(Ends, episodes),
        st.builds(Answers, receivers, st.sampled_from(EXCUSED)),
        st.builds(Repeats, st.integers(1, 4)),
        st.sampled_from(Crash),
        st.sampled_from([0.0, 0.5, 4.0, 11.0, 100.0]),  # so much time passes
        st.none(),  # a checkpoint
    ),
    max_size=30,
)


class Story:
    """Plays steps, and knows what was written."""

    def __init__(self) -> None:
        self.world = World(config(*RECEIVERS, route=ROUTE))
        self.lines: dict[str, list[Alert]] = defaultdict(list)
        self.severest: dict[str, Severity] = {}
        self.is_over: set[str] = set()
        self.faults = 0

    def play(self, step: Step) -> None:
        match step:
            case Fires(episode, severity) if episode not in self.is_over:
                known = self.severest.get(episode, severity)
                self.severest[episode] = max(known, severity, key=lambda one: one.rank)
                self._write(episode, alert(episode, str(len(self.lines[episode])), severity=severity))
            case Ends(episode) if episode not in self.is_over and self.lines[episode]:
                self.is_over.add(episode)
                self._write(episode, over(episode))
            case Answers(receiver, answer):
                self.world.answers[receiver] = answer
                self.faults += answer is not Answer.TAKE
            case Repeats(lines):
                self.world.write(*[line for line, _ in self.world.log[-lines:]])
            case Crash():
                self.world.crash = step
                self.faults += 1
            case float():
                self.world.run(step)
            case None:
                self.world.checkpoint()

    def end(self) -> None:
        """All is well again, long enough for everything to be told."""
        self.world.crash = None
        self.world.answers = dict.fromkeys(RECEIVERS, Answer.TAKE)
        self.world.run(1000)

    def _write(self, episode: str, line: Alert) -> None:
        self.lines[episode].append(line)
        self.world.write(line)


def played(given_steps: Sequence[Step]) -> Story:
    story = Story()
    for step in given_steps:
        story.play(step)
    story.end()
    return story


def heard(story: Story, receiver: str, episode: str) -> list[Fired]:
    """What the receiver was told of the episode as news."""
    wanted = {line.dedup_key for line in story.lines[episode]}
    return [fired for fired in story.world.news(receiver) if fired.alert.dedup_key in wanted]


@given(steps)
def test_in_the_end_every_receiver_knows_how_things_are(given_steps: list[Step]) -> None:
    """Whatever failed meanwhile: what fires is told in its newest words, and what was told is told to be over."""
    story = played(given_steps)
    for receiver in ("pager", "slack"):
        for episode, lines in story.lines.items():
            told = heard(story, receiver, episode)
            if episode in story.is_over:
                assert not told or told[-1].ends_at is not None
            elif lines:
                assert (told[-1].alert, told[-1].severity) == (lines[-1], story.severest[episode])


@given(steps)
def test_nothing_comes_out_of_order(given_steps: list[Step]) -> None:
    """What one receiver hears of one episode is in the order of the log, and nothing comes after the end."""
    story = played(given_steps)
    for receiver in RECEIVERS:
        for episode, lines in story.lines.items():
            told = [lines.index(fired.alert) for fired in heard(story, receiver, episode)]
            assert told == sorted(told)


@given(steps)
def test_only_a_crash_or_a_lost_answer_tells_anything_twice(given_steps: list[Step]) -> None:
    """Without either, each line comes once at most."""
    calm = [step for step in given_steps if not isinstance(step, Crash) and _is_certain(step)]
    story = played(calm)
    for receiver in RECEIVERS:
        told = Counter(fired.alert.id for fired in story.world.news(receiver))
        assert set(told.values()) <= {1}


@given(steps)
def test_nothing_is_kept_of_what_is_over(given_steps: list[Step]) -> None:
    """Neither by the process nor in what it has written down."""
    story = played([*given_steps, *map(Ends, EPISODES)])
    story.world.checkpoint()
    assert story.world.kept == {}
    assert all(backlog.wake_us() is None for backlog in story.world.dispatch.backlogs.values())


@given(steps)
def test_a_restart_changes_nothing_that_is_told(given_steps: list[Step]) -> None:
    """Between two notifications, wherever in the log: the same is told, if not of all episodes in the same order."""
    calm = [step for step in given_steps if not isinstance(step, Crash)]
    undisturbed, restarted = played(calm), Story()
    for step in calm:
        restarted.play(step)
        if not any(answer is not Answer.TAKE for answer in restarted.world.answers.values()):
            restarted.world.start()
    restarted.end()
    for receiver in RECEIVERS:
        assert sorted(restarted.world.told(receiver)) == sorted(undisturbed.world.told(receiver))


def test_what_was_seen_is_known_until_so_many_others_came() -> None:
    """Bounded, whatever comes."""
    recent = Recent(2)
    ids = [f"{number:032x}" for number in range(3)]
    assert [recent.add(one) for one in (*ids, ids[1], ids[2], ids[0])] == [True, True, True, False, False, True]
    assert len(recent) == 2


def _is_certain(step: Step) -> bool:
    return not isinstance(step, Answers) or step.answer not in {Answer.CUT_OFF, Answer.LOST}
