"""Alerts of other systems become episodes: opened once, kept up while they fire, over in the end whatever is lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.external import KEPT_US, WEBHOOK_TIMEOUT_US, ExternalAlerts, heard
from schemas.alertmanager import read
from schemas.config import Config, External, ExternalAlert
from schemas.outputs import Finding, Severity, Status
from schemas.units import US, rfc3339

START_US = 1_795_341_600 * US
MINUTE = 60
LABELS = {"alertname": "HighLatency", "endpoint": "acme/bert", "severity": "critical"}
MAPPED = ExternalAlert(action="throttle", max_replicas=3, severity=Severity.ERROR)
PLAIN = Config(version="v1")
MAPPING = Config(external=External(alerts={"HighLatency": MAPPED}), version="v1")


def time(at_s: float) -> str:
    return rfc3339(START_US + round(at_s * US))


class Watch:
    """The alerts of one process; what is written is written."""

    def __init__(self, config: Config = PLAIN, **most: int) -> None:
        self.config, self.alerts = config, ExternalAlerts(**most)

    def post(self, at_s: float, *posted: dict[str, Any]) -> list[Finding]:
        """As Prometheus does."""
        return self._hear(at_s, list(posted))

    def hook(self, at_s: float, status: str, **more: Any) -> list[Finding]:
        """As Alertmanager's webhook does, with one alert."""
        alert = {"status": status, "labels": LABELS, "startsAt": time(0), "endsAt": "0001-01-01T00:00:00Z", **more}
        return self._hear(at_s, {"version": "4", "status": status, "alerts": [alert]})

    def tick(self, at_s: float) -> list[Finding]:
        told = self.alerts.tick(self.config, START_US + round(at_s * US))
        self.alerts.take(told)
        return told.findings

    def _hear(self, at_s: float, body: Any) -> list[Finding]:
        now_us = START_US + round(at_s * US)
        told = self.alerts.hear(heard(read(msgspec.json.encode(body)), now_us), self.config, now_us)
        self.alerts.take(told)
        return told.findings


def alert(starts_s: float = 0, ends_s: float | None = 4 * MINUTE, **labels: str) -> dict[str, Any]:
    ends = {} if ends_s is None else {"endsAt": time(ends_s)}
    return {"labels": {**LABELS, **labels}, "startsAt": time(starts_s), **ends, "annotations": {"summary": "slow"}}


def statuses(findings: list[Finding]) -> list[Status]:
    return [finding.status for finding in findings]


def test_an_alert_is_opened_updated_once_a_minute_and_resolved() -> None:
    """One episode, whose findings say what any rule's say."""
    watch = Watch()
    (opened,) = watch.post(1, alert())
    assert watch.post(30, alert(ends_s=270)) == []
    assert watch.tick(59) == []
    (update,) = watch.tick(61)
    assert watch.post(100, alert(ends_s=340)) == []
    (over,) = watch.post(130, alert(ends_s=125))
    assert watch.post(190, alert(ends_s=125)) == []  # told again for a while, as Prometheus does
    assert {finding.episode for finding in (opened, update, over)} == {opened.episode}
    assert [f.status for f in (opened, update, over)] == [Status.OPEN, Status.UPDATE, Status.RESOLVED]
    assert (opened.rule, opened.endpoint, opened.severity) == ("external", "acme/bert", Severity.CRITICAL)
    assert (opened.opened_at, opened.at, over.at) == (time(0), time(1), time(130))
    assert (opened.score > 1, over.score > 1, opened.value, over.value) == (True, False, 1.0, 0.0)
    assert opened.evidence["annotations"] == {"summary": "slow"}
    assert opened.evidence["clock"] == "wall"
    assert "action" not in opened.evidence


def test_who_is_heard_of_no_more_is_over_when_its_end_comes() -> None:
    """And opens a new episode if it goes on after that: an episode that is over cannot be opened again."""
    watch = Watch()
    (first,) = watch.post(0, alert())
    assert statuses(watch.tick(239)) == [Status.UPDATE]
    assert statuses(watch.tick(240)) == [Status.RESOLVED]
    assert watch.tick(300) == []
    (second,) = watch.post(600, alert(ends_s=900))
    assert second.status is Status.OPEN
    assert second.episode != first.episode
    assert second.opened_at == time(600)


def test_alertmanager_s_webhook_fires_until_it_says_so() -> None:
    """It repeats itself after hours; if it never does, the alert is over after five."""
    watch = Watch()
    assert statuses(watch.hook(0, "firing")) == [Status.OPEN]
    assert statuses(watch.tick(4 * 3600)) == [Status.UPDATE]
    assert statuses(watch.hook(4 * 3600 + 1, "firing")) == []
    assert statuses(watch.hook(4 * 3600 + 2, "resolved", endsAt=time(4 * 3600))) == [Status.RESOLVED]
    other = Watch()
    other.hook(0, "firing")
    assert statuses(other.tick(WEBHOOK_TIMEOUT_US / US)) == [Status.RESOLVED]


def test_an_alert_without_times_is_one_episode_for_five_minutes() -> None:
    """Whoever posts by hand may leave them out."""
    watch = Watch()
    bare = {"labels": LABELS}
    (first,) = watch.post(0, bare)
    (update,) = watch.post(200, bare)
    assert update.episode == first.episode
    assert statuses(watch.tick(499)) == [Status.UPDATE]
    assert statuses(watch.tick(500)) == [Status.RESOLVED]


def test_a_pair_of_prometheus_is_one_episode() -> None:
    """Their `startsAt` differ; what one of them says of an end before the episode began means nothing."""
    watch = Watch()
    (opened,) = watch.post(0, alert(starts_s=-7))
    assert watch.post(1, alert(starts_s=-3)) == []
    assert statuses(watch.post(70, alert(starts_s=-3, ends_s=300))) == [Status.UPDATE]
    assert statuses(watch.post(80, alert(starts_s=-7, ends_s=75))) == [Status.RESOLVED]
    (again,) = watch.post(90, alert(starts_s=-3, ends_s=330))
    assert again.status is Status.OPEN
    assert again.episode != opened.episode
    assert watch.post(95, alert(starts_s=-7, ends_s=75)) == []


def test_a_process_that_begins_anew_goes_on_with_the_episode() -> None:
    """The id depends on the alert alone, also when all that is left to tell is that it is over."""
    before = Watch().post(0, alert())[0]
    assert Watch().post(120, alert(ends_s=360))[0].episode == before.episode
    (over,) = Watch().post(130, alert(ends_s=125))
    assert (over.episode, over.status) == (before.episode, Status.RESOLVED)


def test_two_alerts_about_one_endpoint_are_two_subjects() -> None:
    """At most one episode of a subject is open at a time, so they must not share one."""
    watch = Watch()
    opened = watch.post(0, alert(), alert(pod="a"), alert(alertname="Other"), alert(endpoint=""))
    assert len({finding.subject for finding in opened}) == len({finding.episode for finding in opened}) == 4
    assert [finding.endpoint for finding in opened] == ["acme/bert"] * 3 + [None]
    assert opened[0].subject.startswith("HighLatency acme/bert ")


@pytest.mark.parametrize(
    ("word", "severity"), [("critical", "critical"), ("Info", "info"), ("page", "warning"), ("", "warning")]
)
def test_the_severity_is_the_label_s_unless_it_is_mapped(word: str, severity: str) -> None:
    """A word that is none of the four is a warning; a change of it is told at once."""
    assert Watch().post(0, alert(severity=word))[0].severity == severity
    assert Watch(MAPPING).post(0, alert(severity=word))[0].severity is Severity.ERROR


def test_a_change_of_the_mapping_is_told_with_the_next_word() -> None:
    """The evidence says what is to be done, so that who acts need not know of the mapping."""
    watch = Watch()
    watch.post(0, alert())
    watch.config = MAPPING
    (update,) = watch.post(10, alert())
    assert (update.status, update.severity) == (Status.UPDATE, Severity.ERROR)
    assert (update.evidence["action"], update.evidence["max_replicas"]) == ("throttle", 3)
    assert "max_requests_per_second" not in update.evidence


def test_what_could_not_be_written_is_not_known() -> None:
    """Posted again it is told again."""
    alerts, now_us = ExternalAlerts(), START_US
    posted = heard(read(msgspec.json.encode([alert()])), now_us)
    lost = alerts.hear(posted, MAPPING, now_us).findings
    assert statuses(alerts.hear(posted, MAPPING, now_us + US).findings) == statuses(lost) == [Status.OPEN]
    assert len(alerts) == 0


def test_what_is_over_is_forgotten_after_a_day() -> None:
    """Until then it is known, since it may be told of again."""
    watch = Watch()
    watch.post(0, alert())
    watch.tick(240)
    watch.tick(240 + KEPT_US / US - 1)
    assert len(watch.alerts) == 1
    watch.tick(240 + KEPT_US / US)
    assert len(watch.alerts) == 0


def test_what_fires_is_renewed_and_ended_however_many_others_come() -> None:
    """A label that is never twice the same must not take the brake off what still fires, nor close the door."""
    watch = Watch(most_firing=2, most_known=3)
    assert statuses(watch.post(0, alert(pod="a"))) == [Status.OPEN]
    for number in range(9):
        churn = alert(number, number + 30, pod=f"churn{number}")
        found = watch.post(number, alert(0, 240 + number, pod="a"), churn)
        assert statuses(found) == ([Status.OPEN] if number == 0 else [])
    watch.tick(60)
    assert statuses(watch.post(61, alert(61, pod="b"))) == [Status.OPEN]
    assert statuses(watch.post(90, alert(90, 95, pod="c"), alert(0, 89, pod="a"))) == [Status.RESOLVED]
    for number in range(9):
        watch.post(100 + number, alert(100 + number, 200, pod=f"d{number}"))
        assert len(watch.alerts) <= 3
        watch.tick(201 + number)


@given(st.lists(st.tuples(st.integers(1, 150), st.sampled_from(["fires", "over", "tick"])), max_size=40))
def test_episodes_are_opened_before_they_are_updated_and_end_once(steps: list[tuple[int, str]]) -> None:
    """Whatever is posted when: of each episode first an opening, at most one end, and nothing after that; in time."""
    watch, now_s, found = Watch(), 0, list[Finding]()
    for pause_s, what in steps:
        now_s += pause_s
        ends_s = now_s + 240 if what == "fires" else now_s - 1
        found += watch.tick(now_s) if what == "tick" else watch.post(now_s, alert(-5, ends_s))
    assert len({finding.id for finding in found}) == len(found)
    assert [finding.at for finding in found] == sorted(finding.at for finding in found)
    open_now: str | None = None
    over = set[str]()
    for number, finding in enumerate(found):
        if finding.status is Status.OPEN:
            assert open_now is None
            assert finding.episode not in over
            open_now = finding.episode
        elif number > 0 or finding.status is not Status.RESOLVED:  # the end of one that opened before all this
            assert finding.episode == open_now
        if finding.status is Status.RESOLVED:
            open_now = None
            over.add(finding.episode)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "expected an array of alerts"),
        (b"{}", "missing required field `version`"),
        (b'{"version": "3", "alerts": []}', "Invalid enum value '3'"),
        (b'[{"annotations": {}}]', "missing required field `labels`"),
        (b'[{"labels": {"a": "b"}}]', "expected a label `alertname`"),
        (b'[{"labels": {"alertname": "A", "n": 1}}]', "Expected `str`, got `int`"),
        (b'[{"labels": {"alertname": "A"}, "startsAt": "2026-11-27T10:00:00"}]', "timezone"),
        (b'[{"labels": {"alertname": "' + b"A" * 66_000 + b'"}}]', "at most 65536 bytes"),
        (b"\xff[]", "expected an array of alerts"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_was_expected(body: bytes, message: str) -> None:
    """By a ValueError."""
    with pytest.raises(ValueError, match="expected") as raised:
        read(body)
    assert message in str(raised.value)
