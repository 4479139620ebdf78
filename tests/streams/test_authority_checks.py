"""A configuration in which nobody could say yes, or one person could say it twice, is not taken for a good one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from detectors import SETTINGS
from schemas.signatures import PrivateKey
from streams.configuration import check

ALICE, BOB, WORKER = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
OPERATORS: Final = {"alice": {"public_key": str(ALICE.public)}, "bob": {"public_key": str(BOB.public)}}
READER: Final = {"carol": {"public_key": str(ALICE.public), "approves": False}}
TWO: Final = [{"actions": ["shutdown"], "approve": {"persons": 2}}]


def said(folder: Path, config: dict[str, Any]) -> list[str]:
    """The problems, without their places."""
    file = folder / "tidegate.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    return [f"{one.severity}: {one.path}: {one.message}" for one in check(file, SETTINGS, {})]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"operators": {"alice": {"public_key": "ed25519:nonsense"}}}, "error: operators.alice.public_key: expected a"),
        (
            {"operators": {**OPERATORS, "carol": OPERATORS["alice"]}},
            "error: operators.carol.public_key: is the key of alice, too",
        ),
        ({"signing": {"trusted": ["x"]}}, "error: signing.trusted[0]: expected a public key"),
        ({"signing": {"key": "x"}}, "error: signing.key: expected an Ed25519 private key"),
        (
            {"operators": {"alice": OPERATORS["alice"]}, "approvals": TWO},
            "error: approvals[0].approve.persons: needs 2 persons, and of the operators 1 may approve",
        ),
        ({"operators": READER, "mode": "approve"}, "error: mode: approve: none of the operators may approve"),
        (
            {"operators": READER, "endpoints": {"acme/bert": {"mode": "approve"}}},
            "error: endpoints.acme/bert.mode: approve: none of the operators",
        ),
        ({"mode": "approve"}, "warning: mode: nobody can approve: there are no `operators`"),
        ({"approvals": TWO}, "warning: approvals[0]: nobody can approve"),
        (
            {"operators": OPERATORS, "approvals": [{"actions": ["restore"], "approve": "auto"}]},
            "warning: approvals[0].actions[0]: 'restore' matches no action",
        ),
        ({"signing": {"key": WORKER.pem().reveal()}}, "warning: signing.key: its public key is not in signing.trusted"),
    ],
)
def test_what_cannot_work_is_named(tmp_path: Path, config: dict[str, Any], told: str) -> None:
    """One problem, at its own key."""
    (problem,) = said(tmp_path, config)
    assert problem.startswith(told)


def test_a_key_in_a_file_is_checked_too(tmp_path: Path) -> None:
    """The problem stands where the file is named, and shows nothing of what is in it."""
    (tmp_path / "worker.key").write_text("hunter2", encoding="utf-8")
    (problem,) = said(tmp_path, {"signing": {"key_file": "worker.key"}})
    assert problem.startswith("error: signing.key_file: expected an Ed25519 private key")
    assert "hunter2" not in problem


def test_two_operators_two_persons_and_a_trusted_key_are_good(tmp_path: Path) -> None:
    """Nothing to say."""
    signing = {"key": WORKER.pem().reveal(), "trusted": [str(ALICE.public), str(WORKER.public)]}
    config = {"operators": OPERATORS, "approvals": TWO, "mode": "approve", "signing": signing}
    assert said(tmp_path, config) == []
