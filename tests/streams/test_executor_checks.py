"""What is wrong with executors, and what reaches nobody, is found before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors import SETTINGS
from streams.configuration import check

HOOK = "type: webhook, url: 'https://hooks/', secret: s"
TRUSTED = "signing: {trusted: ['ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']}"
ACTS = "safety: {cooldown: 5m}\nmode: auto"


def says(folder: Path, text: str) -> list[str]:
    """The problems in a file of this text, without its name."""
    file = folder / "tidegate.yaml"
    file.write_text(text)
    return [str(problem).partition(": ")[2] for problem in check(file, SETTINGS, {})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("executors: {w: {type: webhook}}", "error: executors.w.url: is required, or url_file"),
        ("executors: {w: {type: webhook, url: hunter2}}", "error: executors.w.url: expected an address that begins"),
        ("executors: {w: {type: litellm, url: 'hunter2:4000'}}", "error: executors.w.url: expected an address that be"),
        (
            "executors: {w: {type: webhook, url: 'http://h/'}}",
            "warning: executors.w: has neither secret nor secret_file",
        ),
        (f"{ACTS}\nexecutors: {{w: {{{HOOK}}}}}", "warning: signing.trusted: is empty: executors will refuse every"),
        (
            f"{ACTS}\n{TRUSTED}\nexecutors: {{w: {{{HOOK}, actions: [throttle]}}}}\nendpoints: {{a/b: {{}}}}",
            "warning: endpoints.a/b: no executor takes shutdown of it",
        ),
        (
            f"{ACTS}\n{TRUSTED}\nexecutors: {{w: {{{HOOK}, endpoints: ['c/*']}}}}\nendpoints: {{a/b: {{}}}}",
            "warning: endpoints.a/b: no executor takes throttle or shutdown of it",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_said(tmp_path: Path, text: str, message: str) -> None:
    """Once, with its place, and without the address."""
    found = says(tmp_path, text)
    assert [problem.startswith(message) for problem in found] == [True], found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        f"{ACTS}\n{TRUSTED}\nexecutors: {{w: {{{HOOK}}}}}\nendpoints: {{a/b: {{}}}}",
        f"executors: {{w: {{{HOOK}, endpoints: ['c/*']}}}}\nendpoints: {{a/b: {{}}}}",
        f"{ACTS}\n{TRUSTED}\nexecutors: {{w: {{{HOOK}, endpoints: ['c/*']}}}}\nendpoints: {{a/b: {{mode: shadow}}}}",
    ],
)
def test_what_reaches_somebody_or_is_in_shadow_is_no_doubt(tmp_path: Path, text: str) -> None:
    """Nothing is said where nothing would be lost."""
    assert says(tmp_path, text) == []
