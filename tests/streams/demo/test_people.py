"""The persons whom the demo's tidegate asks, and the files with its secrets."""

from __future__ import annotations

from pathlib import Path

import msgspec

from schemas.orders import Order, Verb
from schemas.signatures import PublicKey, refused
from schemas.topics import APPROVALS
from schemas.units import US
from streams.demo import script
from streams.demo.outside import write_secret
from streams.demo.people import People
from tests.streams.demo.outputs import START_US, command, finding, proposal


def test_each_person_says_yes_once_a_moment_after_the_question_with_their_own_key() -> None:
    """What does not wait for approval is no question, and a question that comes again is the same."""
    people, asked = People(), proposal(finding(script.SURGING))
    for heard in (command(finding(script.RUNAWAY)), asked, asked):
        people.hear(heard, START_US)
    assert people.say(START_US + US // 2) == []
    said = [people.say(START_US + us) for us in (US, 2 * US, 3 * US)]
    assert [len(records) for records in said] == [1, 1, 0]
    orders = [msgspec.json.decode(record.value, type=Order) for records in said for record in records]
    assert [(order.who, order.verb, order.command_id) for order in orders] == [
        ("alice", Verb.APPROVE, asked.id),
        ("bob", Verb.APPROVE, asked.id),
    ]
    assert {record.topic for records in said for record in records} == {APPROVALS}
    for order in orders:
        key = PublicKey.parse(people.operators()[order.who]["public_key"])
        assert refused(order, [key]) is None


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    """From the moment at which its file is there."""
    file = write_secret(tmp_path / "it", "s3cret")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == "s3cret"
