"""What is wrong with receivers, templates and the mapping of other systems' alerts is found before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors import SETTINGS
from streams.configuration import check

KEY = "k" * 32


def says(folder: Path, text: str) -> list[str]:
    """The problems in a file of this text, without its name."""
    file = folder / "tidegate.yaml"
    file.write_text(text)
    return [str(problem).partition(": ")[2] for problem in check(file, SETTINGS, {})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("receivers: {p: {type: pagerduty}}", "receivers.p.routing_key: is required, or routing_key_file"),
        (
            "receivers: {p: {type: pagerduty, routing_key: hunter2}}",
            "receivers.p.routing_key: expected the 32 characters",
        ),
        (f"receivers: {{p: {{type: pagerduty, routing_key: {KEY}, url: events}}}}", "or https://, got 'events'"),
        ("receivers: {s: {type: slack}}", "receivers.s.url: is required, or url_file"),
        ("receivers: {s: {type: slack, url: hunter2}}", "receivers.s.url: expected an address"),
        ("receivers: {w: {type: webhook, url: 'ftp://hunter2/'}}", "receivers.w.url: expected an address"),
        ("receivers: {w: {type: webhook, url: 'http://[hunter2/'}}", "receivers.w.url: expected an address"),
        ("receivers: {w: {type: webhook, url: 'http://u:hunter2@h\u2100/'}}", "receivers.w.url: expected an address"),
        ("receivers: {w: {type: webhook, url: 'http://h:hunter2/'}}", "receivers.w.url: expected an address"),
        ("executors: {w: {type: webhook, secret: x, url: 'http://[hunter2/'}}", "executors.w.url: expected an address"),
        ("receivers: {a: {type: alertmanager, url: 'localhost:9093'}}", "or https://, got 'localhost:9093'"),
        ("alerting: {templates: {text: '{labels}'}}", "alerting.templates.text: unknown field {labels}"),
        ("alerting: {templates: {body: x}}", "alerting.templates.body: unknown template; known are text, title"),
        ("actions: {externl: throttle}", "did you mean 'external'?"),
    ],
)
def test_what_cannot_deliver_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    """At its key, and without the secret that may be the cause."""
    (problem,) = says(tmp_path, text)
    assert problem.startswith("error: ")
    assert message in problem
    assert "hunter2" not in problem


def test_a_key_that_its_file_lacks_is_told_once(tmp_path: Path) -> None:
    """That the file cannot be read is enough."""
    (problem,) = says(tmp_path, "receivers: {p: {type: pagerduty, routing_key_file: nowhere}}")
    assert "cannot read 'nowhere'" in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alerts: {A: {action: none}}", "external: without token or token_file no alerts are taken"),
        ("token: t, alerts: {A: {action: throttle}}", "external.alerts.A: says not how far to throttle"),
        ("token: t, alerts: {A: {action: overflow}}", "external.alerts.A.action: there is nowhere to overflow to"),
    ],
)
def test_a_mapping_that_does_nothing_is_a_warning(tmp_path: Path, text: str, message: str) -> None:
    """At its key."""
    (problem,) = says(tmp_path, f"external: {{{text}}}")
    assert problem.startswith("warning: ")
    assert message in problem


def test_what_is_complete_is_without_a_problem(tmp_path: Path) -> None:
    """Receivers of each kind, templates, a mapping, and the rule's name among the actions."""
    text = f"""
receivers:
  p: {{type: pagerduty, routing_key: {KEY}}}
  a: {{type: alertmanager, url: "http://localhost:9093"}}
  s: {{type: slack, url: "https://hooks.slack.com/services/x"}}
  w: {{type: webhook, url: "https://example.com/hook", token: t}}
alerting:
  templates: {{title: "{{rule}} of {{labels.team}}"}}
  route: {{receiver: p, routes: [{{receiver: a}}, {{receiver: s}}, {{receiver: w}}]}}
external: {{token: t, alerts: {{HighLatency: {{action: throttle, max_replicas: 3}}}}}}
actions: {{external: none}}
endpoints: {{acme/bert: {{actions: {{external: shutdown}}}}}}
"""
    assert says(tmp_path, text) == []
