"""Keys are made once, for their owner alone, and a person is who holds the key."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.config import Config, Operator
from schemas.orders import Verb
from schemas.section import Secret
from schemas.signatures import PrivateKey, PublicKey, refused
from streams.cli import app
from streams.errors import TidegateError, UsageError
from streams.operate.identity import NotAnOperator, identify
from streams.operate.keys import KeyNotWritten
from streams.operate.speaking import new_order

ALICE, BOB = PrivateKey.generate(), PrivateKey.generate()
TWO = Config(operators={n: Operator(public_key=str(k.public)) for n, k in (("alice", ALICE), ("bob", BOB))})


def keys(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["keys", *arguments])
    if isinstance(done.exception, TidegateError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def written(folder: Path, key: PrivateKey, mode: int = 0o600) -> Path:
    file = folder / "own.key"
    file.write_text(key.pem().reveal(), encoding="utf-8")
    file.chmod(mode)
    return file


def test_a_key_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """The private half in a file that nobody else can read, the public one as a line for the configuration."""
    told = keys("create", "alice", "--out", str(tmp_path))
    private, public = tmp_path / "alice.key", (tmp_path / "alice.pub").read_text("utf-8").strip()
    assert private.stat().st_mode & 0o777 == 0o600
    own = PrivateKey.parse(Secret(private.read_text("utf-8")))
    assert PublicKey.parse(public) == own.public
    assert f'operators: {{alice: {{public_key: "{public}"}}}}' in told
    assert f'trusted: ["{public}"]' in told
    assert "PRIVATE" not in told


def test_no_key_is_ever_overwritten(tmp_path: Path) -> None:
    """Neither the private nor the public file, and nothing is left behind."""
    keys("create", "alice", "--out", str(tmp_path))
    before = (tmp_path / "alice.key").read_bytes()
    with pytest.raises(KeyNotWritten):
        keys("create", "alice", "--out", str(tmp_path))
    (tmp_path / "alice.pub").unlink()
    with pytest.raises(KeyNotWritten):
        keys("create", "alice", "--out", str(tmp_path))
    assert (tmp_path / "alice.key").read_bytes() == before
    assert not (tmp_path / "alice.pub").exists()


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_a_name_is_a_name(tmp_path: Path, name: str) -> None:
    """No key ends up in another folder."""
    with pytest.raises(UsageError):
        keys("create", name, "--out", str(tmp_path))


def test_the_public_half_is_shown_of_either_file(tmp_path: Path) -> None:
    """With the id that signatures name; of what is no key, the message shows nothing."""
    made = json.loads(keys("create", "alice", "--out", str(tmp_path), "--output", "json"))
    for suffix in ("key", "pub"):
        shown = json.loads(keys("show", str(tmp_path / f"alice.{suffix}"), "-o", "json"))
        assert shown == {"id": made["id"], "public_key": made["public_key"]}
    (tmp_path / "other").write_text("hunter2", encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        keys("show", str(tmp_path / "other"))
    assert "hunter2" not in str(raised.value)


def test_a_person_is_who_holds_the_key(tmp_path: Path) -> None:
    """The name may be left out; an order of theirs is good by their key alone."""
    speaker = identify(TWO, None, written(tmp_path, BOB))
    assert (speaker.name, speaker.warnings) == ("bob", ())
    order = new_order(speaker, Verb.PAUSE, "because", 0)
    assert (order.who, refused(order, [BOB.public]), refused(order, [ALICE.public]) is None) == ("bob", None, False)


@pytest.mark.parametrize(
    ("name", "key", "told"),
    [
        ("alice", BOB, "is not the key of alice: it is that of bob"),
        ("alice", PrivateKey.generate(), "it is of nobody in the configuration"),
        ("alice", None, "an order of alice needs their key: --key FILE, or TIDEGATE_OPERATOR_KEY"),
        ("mallory", BOB, "mallory is not among the operators: alice, bob"),
    ],
)
def test_nobody_speaks_for_another(tmp_path: Path, name: str, key: PrivateKey | None, told: str) -> None:
    """What would be refused is not sent."""
    with pytest.raises(NotAnOperator) as raised:
        identify(TWO, name, None if key is None else written(tmp_path, key))
    assert told in str(raised.value)


def test_without_operators_a_word_is_unsigned_and_that_is_said() -> None:
    """The login's name stands for the person."""
    speaker = identify(Config(), None, None)
    assert speaker.name == getpass.getuser()
    assert "no operators are configured" in speaker.warnings[0]
    assert new_order(speaker, Verb.PAUSE, "because", 0).signature is None


def test_a_key_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    """With the command that mends it."""
    (warning,) = identify(TWO, None, written(tmp_path, BOB, 0o644)).warnings
    assert "chmod 600" in warning


def test_a_reason_is_needed() -> None:
    """An empty one is a mistake of usage."""
    with pytest.raises(UsageError):
        new_order(identify(Config(), "x", None), Verb.PAUSE, "", 0)
