from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from actions.alerting.backlog import MOST_AT_ONCE
from actions.alerting.dispatch import Came
from actions.alerting.recent import MOST
from schemas.config import Config
from schemas.outputs import Severity
from schemas.receivers import Alerting, Alertmanager, Route, Slack
from schemas.section import Seconds
from schemas.units import US
from tests.actions.alerting.alerts import START_US, alert, command, config, over
from tests.actions.alerting.world import Answer, Crash, World

MINUTE_S = 60
EPISODES = 3_000
HOUR_S = 3600
BOTH = Route(receiver="pager", routes=(Route(receiver="slack", continue_=True), Route(receiver="pager")))


def world(*receivers: str, **own: Any) -> World:
    return World(config(*(receivers or ("pager",)), **own))


def both() -> World:
    return world("pager", "slack", route=BOTH)


def test_an_episode_is_told_at_once_and_its_end() -> None:
    """One trigger, one resolve; the end waits for the group's interval."""
    told = world()
    told.write(alert("e"))
    told.run(1)
    told.write(over("e"))
    told.run(MINUTE_S)
    assert told.told("pager") == ["+it burns", "-it is over"]
    assert [post.at_us - START_US for post in told.posts["pager"]] == [0, 10 * US]


def test_what_comes_together_is_told_together_in_its_newest_words() -> None:
    """That it burns, and that the brake is on, are one notification."""
    told = world()
    told.write(alert("e"), command("e", "throttle"))
    told.run(MINUTE_S)
    assert told.told("pager") == ["+throttle None"]


def test_further_lines_are_told_once_in_an_interval() -> None:
    """The first at once, the newest of the others ten seconds later."""
    told = world()
    told.write(alert("e", "one"))
    told.run(1)
    told.write(alert("e", "two"), alert("e", "three"))
    told.run(8.9)
    assert told.told("pager") == ["+one"]
    told.run(0.1)
    assert told.told("pager") == ["+one", "+three"]


def test_the_highest_severity_is_told_though_the_newest_line_is_milder() -> None:
    """What was critical stays so until it is over."""
    told = world()
    told.write(alert("e", severity=Severity.CRITICAL), command("e", "throttle", severity=Severity.WARNING))
    told.run()
    (fired,) = told.news("pager")
    assert (fired.severity, fired.alert.severity) == (Severity.CRITICAL, Severity.WARNING)


def test_an_episode_that_lasts_is_told_again() -> None:
    """Every four hours, until it is over."""
    told = world()
    told.write(alert("e"))
    told.run(9 * HOUR_S)
    told.write(over("e"))
    told.run(9 * HOUR_S)
    assert [(post.at_us - START_US) // (HOUR_S * US) for post in told.posts["pager"]] == [0, 4, 8, 9]


def test_an_alert_that_is_written_twice_is_told_once() -> None:
    """A worker that was killed writes again what it wrote, also after the end."""
    told = world()
    lines = [alert("e"), command("e", "throttle"), over("e")]
    told.write(*lines[:2])
    told.run(MINUTE_S)
    told.write(*lines)
    told.run(MINUTE_S)
    told.write(*lines)
    told.checkpoint()
    told.start()
    told.run(HOUR_S)
    assert told.told("pager") == ["+throttle None", "-it is over"]


def test_a_receiver_that_is_down_for_ten_minutes_holds_up_nobody_else() -> None:
    """The other hears everything in time; this one hears each episode once, in its newest words."""
    told = both()
    told.answers["pager"] = Answer.UNREACHED
    told.write(alert("lasts", "one"), alert("passes"))
    told.run(5 * MINUTE_S)
    told.write(alert("lasts", "two", severity=Severity.CRITICAL), over("passes"))
    told.run(5 * MINUTE_S)
    assert sorted(told.told("slack")) == ["+it burns", "+one", "+two", "-it is over"]
    assert told.told("pager") == []
    told.answers["pager"] = Answer.TAKE
    told.run(MINUTE_S)
    assert told.told("pager") == ["+two"], "what was over before it was told is not told"


def test_pauses_after_failures_double_up_to_a_minute() -> None:
    """And begin anew once the receiver has taken something."""
    told = world()
    told.answers["pager"] = Answer.UNREACHED
    told.write(alert("e"))
    told.run(4 * MINUTE_S)
    assert told.pauses_s[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    told.answers["pager"] = Answer.TAKE
    told.run(MINUTE_S)
    told.pauses_s.clear()
    told.answers["pager"] = Answer.UNREACHED
    told.write(alert("other"))
    told.run()
    assert told.pauses_s == [1]


def test_a_receiver_says_itself_how_long_to_wait() -> None:
    """Retry-After goes before any pause of ours."""
    told = world()
    told.answers["pager"] = Answer.BUSY
    told.write(alert("e"))
    told.run(4.9)
    told.answers["pager"] = Answer.TAKE
    assert told.told("pager") == []
    told.run(0.1)
    assert told.told("pager") == ["+it burns"]


def test_what_is_refused_for_good_is_dropped_and_holds_up_nothing() -> None:
    """No repetition would help; a new line of it may."""
    told = world()
    told.answers["pager"] = Answer.REFUSE
    told.write(alert("bad"))
    told.run(MINUTE_S)
    assert told.pauses_s == [0.0]
    told.answers["pager"] = Answer.TAKE
    told.write(alert("good", "good"), alert("bad", "worse", severity=Severity.ERROR))
    told.run()
    assert sorted(told.told("pager")) == ["+good", "+worse"]


def test_no_page_is_lost_while_a_credential_is_refused() -> None:
    """A key that was rotated, a proxy that answers 403: once it is mended, what fires is told, each minute anew."""
    told = world()
    told.answers["pager"] = Answer.LOCKED
    told.write(alert("lasts"), alert("passes"))
    told.run(5 * MINUTE_S)
    assert set(told.pauses_s) == {60.0}
    told.write(over("passes"))
    told.answers["pager"] = Answer.TAKE
    told.run(MINUTE_S)
    assert told.told("pager") == ["+it burns"]


def test_an_end_that_is_refused_with_a_credential_is_told_once_that_is_mended() -> None:
    """An incident must not stay open for ever because a key was rotated in that minute."""
    told = world()
    told.write(alert("e"))
    told.run(MINUTE_S)
    told.answers["pager"] = Answer.LOCKED
    told.write(over("e"))
    told.run(MINUTE_S)
    told.start()
    told.answers["pager"] = Answer.TAKE
    told.run(MINUTE_S)
    assert told.told("pager") == ["+it burns", "-it is over"]


@pytest.mark.parametrize("answer", [Answer.CUT_OFF, Answer.LOST])
def test_the_end_of_what_may_have_been_told_is_told(answer: Answer) -> None:
    """An incident that nobody closes is worse than a resolve that closes nothing."""
    told = world()
    told.answers["pager"] = answer
    told.write(alert("e"))
    told.run()
    told.answers["pager"] = Answer.TAKE
    told.write(over("e"))
    told.run(MINUTE_S)
    assert told.told("pager")[-1] == "-it is over"


def test_that_an_answer_was_lost_is_not_forgotten_when_the_receiver_goes_down() -> None:
    """The first attempt may have arrived, however surely the second did not."""
    told = world()
    told.answers["pager"] = Answer.CUT_OFF
    told.write(alert("e"))
    told.run()
    told.answers["pager"] = Answer.UNREACHED
    told.run(MINUTE_S)
    told.answers["pager"] = Answer.TAKE
    told.write(over("e"))
    told.run(MINUTE_S)
    assert told.told("pager") == ["+it burns", "-it is over"]


def test_what_is_over_while_it_is_being_told_is_told_to_be_over() -> None:
    """The end comes after the trigger, never before, and never not at all."""
    told = world()
    told.write(alert("e"))
    delivery = told.dispatch.take("pager", told.now_us)
    assert delivery is not None
    told.write(over("e"))
    assert told.dispatch.take("pager", told.now_us + HOUR_S * US) is None, "one notification at a time"
    told.dispatch.backlogs["pager"].delivered(told.now_us)
    told.run(MINUTE_S)
    assert told.told("pager") == ["-it is over"]


def test_without_send_resolved_the_end_is_not_told() -> None:
    """And nothing is kept of the episode."""
    told = World(Config(receivers={"slack": Slack(send_resolved=False)}))
    told.write(alert("e"))
    told.run()
    told.write(over("e"))
    told.run(MINUTE_S)
    assert told.told("slack") == ["+it burns"]
    told.checkpoint()
    assert told.kept == {}


def test_a_line_about_an_endpoint_goes_to_its_team_and_so_does_the_end() -> None:
    """The team hears its own line, not the newest of the whole budget."""
    route = Route(receiver="all", routes=(Route(receiver="search", matchers=("team=search",), continue_=True), Route()))
    told = world("all", "search", route=route)
    budget: dict[str, Any] = {"rule": "daily_spend", "subject": "all"}
    told.write(alert("e", "spent", endpoint=None, **budget), command("e", "throttle", **budget))
    told.write(command("e", "shutdown", endpoint="acme/other", **budget))
    told.run()
    told.write(over("e"))
    told.run(MINUTE_S)
    assert told.told("all") == ["+shutdown None", "-it is over"]
    assert told.told("search") == ["+throttle None", "-it is over"]


def test_a_group_is_told_whole_and_what_is_news_in_it_is_marked() -> None:
    """Firing ones first; the group is over when all of it is."""
    told = world(route=Route(receiver="pager", group_by=("rule",), group_wait=Seconds(30)))
    told.write(alert("one", "one"))
    told.run(20)
    told.write(alert("two", "two"))
    told.run(10)
    told.write(over("one"))
    told.run(MINUTE_S)
    first, second = (post.notification for post in told.posts["pager"])
    assert [fired.alert.summary for fired in first.alerts] == ["one", "two"]
    assert [(fired.alert.summary, fired.is_news) for fired in second.alerts] == [("two", False), ("it is over", True)]
    assert (first.group_labels, second.is_resolved) == ({"rule": "latency"}, False)


def test_a_large_group_is_told_in_parts_of_which_none_says_that_it_is_over() -> None:
    """While one of it fires, whoever goes by the group's status must not think otherwise."""
    told = world(route=Route(receiver="pager", group_by=("rule",)))
    names = [str(number) for number in range(2 * MOST_AT_ONCE + 1)]
    told.write(*[alert(name) for name in names])
    told.run(MINUTE_S)
    told.write(*[over(name) for name in names[1:]])
    told.run(HOUR_S)
    assert len(list(told.news("pager"))) == 2 * len(names) - 1
    assert max(len(post.notification.alerts) for post in told.posts["pager"]) == MOST_AT_ONCE
    assert not any(post.notification.is_resolved for post in told.posts["pager"])


def test_what_one_notification_does_not_hold_follows_at_once() -> None:
    """The interval is between lines about the same, not between the parts of one."""
    told = world(route=Route(receiver="pager", group_by=("rule",)))
    told.write(*[alert(str(number)) for number in range(3 * MOST_AT_ONCE)])
    told.run(MINUTE_S)
    assert {post.at_us for post in told.posts["pager"]} == {START_US}
    assert len(list(told.news("pager"))) == 3 * MOST_AT_ONCE


def test_one_group_that_always_fails_lets_the_others_pass() -> None:
    """Its receiver is up: what is wrong is only this notification."""
    told = world()
    told.answers["pager"] = Answer.LOST
    told.write(alert("first", "first"))
    told.run()
    told.answers["pager"] = Answer.TAKE
    told.write(alert("second", "second"))
    told.run(MINUTE_S)
    assert told.told("pager") == ["+second", "+first"]


def test_an_alertmanager_is_told_again_before_it_forgets() -> None:
    """Every `resend_every` all that fires, in one request."""
    am = Alertmanager(url="http://x", resend_every=Seconds(60))
    told = World(Config(receivers={"am": am}, alerting=Alerting(route=Route(receiver="am"))))
    told.write(*[alert(str(number)) for number in range(5)])
    told.run(3 * MINUTE_S)
    assert [len(post.notification.alerts) for post in told.posts["am"]] == [5, 5, 5, 5]


@pytest.mark.parametrize("crash", Crash)
def test_an_end_is_told_though_the_process_died_over_the_beginning(crash: Crash) -> None:
    """Whether the trigger arrived nobody can know, so the resolve is sent in any case."""
    told = world()
    told.write(alert("e"))
    told.crash = crash
    told.step("pager")
    told.write(over("e"))
    told.run(MINUTE_S)
    begun = ["+it burns"] if crash is Crash.AFTER_SENDING else []
    assert told.told("pager") == [*begun, "-it is over"]


def test_a_restart_tells_nothing_again() -> None:
    """Also what lies below the place from which the log is read on."""
    told = both()
    told.write(alert("e"), command("e", "throttle"))
    told.run()
    for is_saved in (False, True, True):
        if is_saved:
            told.checkpoint()
        told.start()
        told.run(HOUR_S)
    assert told.told("pager") == told.told("slack") == ["+throttle None"]
    told.run(HOUR_S)
    assert len(told.posts["pager"]) == 2, "but the repetition is not forgotten"


def test_a_receiver_that_is_new_hears_of_what_is_open_and_one_that_is_gone_is_forgotten() -> None:
    """What is kept of an episode does not depend on who was to hear of it."""
    told = world()
    told.write(alert("e"))
    told.run()
    told.checkpoint()
    told.config = config("slack")
    told.posts["slack"], told.answers["slack"] = [], Answer.TAKE
    for _ in range(2):
        told.start()
        told.run(HOUR_S)
        told.checkpoint()
    assert told.told("slack") == ["+it burns"]
    assert not [subject for subject in told.kept if subject.endswith("/pager")]


def test_what_nobody_is_to_hear_the_end_of_may_end_while_it_is_being_told() -> None:
    """It is forgotten once the receiver has answered."""
    told = World(Config(receivers={"slack": Slack(send_resolved=False)}))
    told.write(alert("e"))
    assert told.dispatch.take("slack", told.now_us) is not None
    told.write(over("e"))
    told.dispatch.backlogs["slack"].delivered(told.now_us)
    told.checkpoint()
    assert told.kept == {}


def test_nothing_is_kept_of_episodes_that_are_over() -> None:
    """But the ids of the last ones, for they may be written again."""
    told = both()
    told.answers["slack"] = Answer.UNREACHED
    first, last = alert("0"), over("0")
    ids = ("dedup_key", "id")
    for number in range(EPISODES):
        of_this = dict.fromkeys(ids, f"{number:032x}")
        opened = structs.replace(first, **of_this)
        told.dispatch.hear(opened, Came(2 * number, told.now_us))
        told.run(0.001)
        closed = structs.replace(last, **of_this | {"id": f"{number + (1 << 64):032x}"})
        told.dispatch.hear(closed, Came(2 * number + 1, told.now_us))
    told.answers["slack"] = Answer.TAKE
    told.run(MINUTE_S)
    told.checkpoint()
    assert told.kept == {}
    assert len(told.dispatch._recent) == min(MOST, 2 * EPISODES)
    for backlog in told.dispatch.backlogs.values():
        assert (backlog.stories, backlog._groups, backlog._changed) == ({}, {}, set())
        assert len(backlog._schedule) < 200
