"""What the status says, from records alone, without a broker."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from msgspec import structs
from rich.console import Console, RenderableType

from schemas.config import Config, Safety
from schemas.orders import Order, Verb
from schemas.outputs import Command, Held, Mode, Refusal, Result, State
from schemas.topics import APPROVALS, COMMANDS, RESULTS
from streams.operate import listing
from streams.operate.page import page
from streams.operate.present import Present
from streams.operate.status import Status, status_of
from streams.operate.trail import trail_of
from streams.operate.watching import sentences
from tests.actions.findings import at
from tests.actions.lives import command, issued, proposal, refusal, renewal, restore, result
from tests.actions.orders import KEYS, operators, order

Said = Command | Result | Order
CONFIG = Config(operators=operators("alice", "bob"))


def present_of(*said: Said, config: Config = CONFIG) -> Present:
    """After these records; an order is in the log as soon as it was given."""
    present = Present(config)
    for one in said:
        topic = COMMANDS if isinstance(one, Command) else RESULTS if isinstance(one, Result) else APPROVALS
        logged_us = at(float(one.why)) if isinstance(one, Order) else at(0)
        present.take(topic, msgspec.json.encode(one), logged_us)
    return present


def said_by(who: str, verb: Verb, at_s: float, **fields: object) -> Order:
    """An order whose `why` is when it was given."""
    return order(verb, who, at_s, why=str(at_s), **fields)


def status(*said: Said, at_s: float = 10.0, config: Config = CONFIG) -> Status:
    return status_of(present_of(*said, config=config), config, at(at_s))


def printed(shown: RenderableType) -> str:
    console = Console(width=200, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def test_nothing_in_force_is_said() -> None:
    """In words."""
    assert printed(page(status())) == "nothing is in force\n"


def test_all_of_it_is_on_the_page() -> None:
    """A person reads what is in force, what waits for whom, who pressed the switch, and what went wrong."""
    own, asked = command(), proposal("acme/b", 1)
    told = printed(
        page(
            status(
                own, asked, result(own, State.VERIFIED), result(asked, State.AWAITING_APPROVAL, 2, by=("alice",)),
                said_by("bob", Verb.PAUSE, 3, until="2099-01-01T00:00:00Z"),
                said_by("bob", Verb.SILENCE, 4, matchers=('rule="latency"',), until="2099-01-01T00:00:00Z"),
                refusal(own, Refusal.UNSIGNED, 5), command("acme/s", 1, held=Held.SHADOW, mode=Mode.SHADOW),
            )
        )
    )  # fmt: skip
    for part in (
        "KILL SWITCH ON for 7 s", "by bob: 3", "in force: 1, saving $36.00 per hour", "throttle acme/bert to at most 4",
        "verified by hf", "14 min 50 s", "waiting for approval: 1", "1 of 2 (alice)", "rejected in 9 min 51 s",
        'rule="latency"', "refused: unsigned", "in mode shadow: 1 more would be in force",
    ):  # fmt: skip
        assert part in told


@pytest.mark.parametrize(
    ("said", "at_s", "told"),
    [
        ([command()], 30, None),
        ([command()], 120, "nobody has begun: is `tidegate execute --executor hf` running?"),
        ([command(executor=None)], 120, None),
        ([command(), result(command(), State.VERIFIED)], 1000, "is past its end by 1 min 40 s: no worker seems to run"),
        ([command(), result(command(), State.VERIFIED), restore(command(), 20)], 60, None),
        ([command(), result(command(), State.VERIFIED), restore(command(), 20)], 100, "was to be restored 1 min 20 s"),
        ([proposal()], 650, None),
        ([proposal()], 700, "should have been decided 1 min 40 s ago: no worker seems to run"),
    ],
)
def test_who_seems_to_be_away_is_a_warning(said: list[Said], at_s: float, told: str | None) -> None:
    """A minute late is late; until then nothing is said."""
    warnings = status(*said, at_s=at_s).warnings
    assert [told in warning for warning in warnings if told] == ([] if told is None else [True])
    assert bool(warnings) is (told is not None)


def test_many_warnings_leave_room_for_the_rest() -> None:
    """Where a worker is away it is late with everything."""
    told = printed(page(status(*(command(f"acme/{n}") for n in range(9)), at_s=2000)))
    assert told.count("warning: ") == 5
    assert "and 4 more warnings" in told


def test_the_newest_word_about_the_kill_switch_counts_while_it_lasts() -> None:
    """Whatever order the records come in, and until when it says."""
    on, off = said_by("alice", Verb.PAUSE, 1), said_by("bob", Verb.RESUME, 5)
    for said in ((on, off), (off, on), (on, off, on)):
        assert not status(*said).pauses
    assert [pause.by for pause in status(off, said_by("alice", Verb.PAUSE, 6)).pauses] == ["alice"]
    short = said_by("alice", Verb.PAUSE, 1, until="2026-11-22T10:00:00Z")
    assert not status(short).pauses
    assert [pause.by for pause in status(config=Config(safety=Safety(kill_switch=True))).pauses] == [
        "the configuration"
    ]


def test_only_the_words_of_operators_count() -> None:
    """Neither a stranger's, nor one that bears another's name, nor one that was changed."""
    forged = structs.replace(said_by("alice", Verb.PAUSE, 1), why="1.0 ")
    present = present_of(
        said_by("carol", Verb.PAUSE, 1),
        KEYS["bob"].sign(said_by("alice", Verb.PAUSE, 2)),
        forged,
        structs.replace(said_by("bob", Verb.PAUSE, 3), signature=None),
    )
    assert present.pause(at(10)) is None
    assert len(present.orders) == 4


def test_an_order_that_is_played_again_changes_nothing() -> None:
    """A copy is no second word, and one that is too old by then takes nothing from the first."""
    given = said_by("alice", Verb.REJECT, 1, command_id=proposal().id)
    present = present_of(given, given)
    present.take(APPROVALS, msgspec.json.encode(given), at(9999))
    assert [heard.refusal for heard in present.about[proposal().id]] == [None]


def test_a_silence_ends_by_itself_or_when_somebody_says_so() -> None:
    """Until then it is listed."""
    until = "2099-01-01T00:00:00Z"
    long = said_by("alice", Verb.SILENCE, 1, matchers=('rule="latency"',), until=until)
    over = said_by("alice", Verb.SILENCE, 2, matchers=('rule="x"',), until="2020-01-01T00:00:00Z")
    assert [one.id for one in present_of(long, over).silences(at(10))] == [long.id]
    ended = said_by("bob", Verb.UNSILENCE, 3, silence_id=long.id)
    assert present_of(ended, long, over).silences(at(10)) == []
    assert len(present_of(ended, long, over).all_silences()) == 2


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"\xff", b'{"id": 5}', msgspec.json.encode(command(issued_at="x"))]
)
def test_what_cannot_be_read_is_counted_and_stops_nobody(value: bytes) -> None:
    """Whatever stands in the topics, operators must see the rest."""
    present = present_of(command())
    for topic in (COMMANDS, RESULTS, APPROVALS):
        assert present.take(topic, value, at(0)) is None
    told = status_of(present, CONFIG, at(10))
    assert told.warnings == ("records that cannot be read: 3",)
    assert len(told.in_force) == 1


def test_the_trail_tells_who_why_and_what_it_was_worth_from_proposal_to_restore() -> None:
    """Whichever of its commands is asked for."""
    asked = proposal()
    first = KEYS["worker"].sign(issued(asked, 20, "alice", "bob"))
    last = KEYS["worker"].sign(renewal(first, 470))
    off = restore(last, 3620)
    said: Sequence[Said] = (
        asked, said_by("alice", Verb.APPROVE, 10, command_id=asked.id), first, last, off,
        result(asked, State.AWAITING_APPROVAL, 11, by=("alice",), executor=None, reason="1 of 2"),
        said_by("bob", Verb.APPROVE, 19, command_id=asked.id), result(first, State.VERIFIED, 20, after={"max": 4}),
        result(off, State.VERIFIED, 3620), result(last, State.RESTORED, 3621),
    )  # fmt: skip
    config = structs.replace(CONFIG, signing=structs.replace(CONFIG.signing, trusted=(str(KEYS["worker"].public),)))
    present = present_of(*said, config=config)
    for own in (asked, first, last, off):
        life = present.lives.get(own.id)
        assert life is not None
        trail = trail_of(present, config, life, at(9999))
        assert [(entry.says.partition(":")[0], entry.who) for entry in trail.entries] == [
            ("held, it waits for approval", "the worker"), ("approve", "alice"), ("awaiting_approval", "alice"),
            ("approve", "bob"), ("issued", "alice and bob"), ("verified", "hf"), ("renewed", "alice and bob"),
            ("issued", "the worker"), ("verified", "hf"), ("restored", "hf"),
        ]  # fmt: skip
        assert trail.saved_usd == pytest.approx(36.01)
    signatures = [entry.signature for entry in trail.entries if entry.kind == "command"]
    assert signatures == ["", *[f"good, key {KEYS['worker'].public.id}"] * 2, "none"]
    assert "saved so far $36.01" in printed(listing.story(trail, every=False))


def test_a_command_that_was_changed_after_it_was_signed_is_shown_as_such() -> None:
    """So is one that somebody else signed."""
    good = KEYS["worker"].sign(command())
    changed = structs.replace(good, endpoint="acme/other")
    config = structs.replace(CONFIG, signing=structs.replace(CONFIG.signing, trusted=(str(KEYS["worker"].public),)))
    for own, told in ((changed, "BAD: bad_signature"), (KEYS["bob"].sign(command()), "BAD: unknown_key")):
        present = present_of(own, config=config)
        life = present.lives.get(own.id)
        assert life is not None
        assert [entry.signature for entry in trail_of(present, config, life, at(10)).entries] == [told]


def test_many_renewals_are_one_line_unless_all_are_asked_for() -> None:
    """The first and the last are always there."""
    links = [command()]
    for n in range(1, 10):
        links.append(renewal(links[-1], 450.0 * n))
    present = present_of(*links)
    life = present.lives.get(links[4].id)
    assert life is not None
    trail = trail_of(present, CONFIG, life, at(4100))
    few, every = (printed(listing.story(trail, every=flag)) for flag in (False, True))
    assert (few.count("renewed: throttle"), every.count("renewed: throttle")) == (1, 9)
    assert "8 renewals between the first and the last are not shown (--all)" in few


def test_names_that_would_move_the_cursor_are_escaped() -> None:
    """An endpoint's name may hold any character, and a reason anybody's text."""
    told = printed(page(status(command("acme/\x1b[2J", reason="[red]\n\x07"), proposal("acme/\r", reason="\x1b]0;x"))))
    assert not {"\x1b", "\x07", "\r"} & set(told)
    assert "[red]" in told


def test_a_change_is_one_line() -> None:
    """For a pipe: time, kind, the beginning of the command's id, what, who, why."""
    own = command()
    (first,) = sentences(own)
    (second,) = sentences(result(own, State.FAILED, reason="403"))
    (third,) = sentences(said_by("alice", Verb.PAUSE, 1))
    assert first.partition("  ")[2] == (
        f"command  {own.id[:8]}  Command sent: throttle acme/bert to at most 4 replicas, saving $36.00 per hour"
    )
    assert second.endswith(f"result   {own.id[:8]}  failed, by hf: 403")
    assert third.endswith("order    --------  pause, by alice: 1")
