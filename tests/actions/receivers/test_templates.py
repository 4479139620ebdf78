"""Templates say what an alert is, in the words of the configuration."""

from __future__ import annotations

import pytest

from actions.receivers import templates
from actions.receivers.templates import FIELDS, Template
from tests.actions.receivers.notifications import ENDS_AT, STARTS_AT, fired


def test_fields_labels_and_details_are_put_in() -> None:
    """What the alert does not have is empty; doubled braces are braces."""
    text = "{status} {severity} {labels.team} {labels.none}{details.value} {{x}} {starts_at}"
    assert Template(text).render(fired()) == f"firing critical search 45.0 {{x}} {STARTS_AT}"
    assert Template("{status} {ends_at}").render(fired(ends_at=ENDS_AT)) == f"resolved {ENDS_AT}"


def test_every_field_can_be_rendered() -> None:
    """By its name, for an alert that fires and for one that is over."""
    for name in FIELDS:
        assert isinstance(Template(f"{{{name}}}").render(fired()), str)
        assert Template(f"{{{name}}}").render(fired(ends_at=ENDS_AT))


@pytest.mark.parametrize(
    "text", ["{rules}", "{}", "{labels}", "{labels.}", "{rule.__class__}", "{rule!r}", "{rule:>9}", "{rule"]
)
def test_what_could_not_be_rendered_is_refused_before(text: str) -> None:
    """With a word about what is known, where it is a field."""
    (found,) = templates.wrong({"title": text})
    assert found[0] == "title"
    assert "labels.NAME" in found[1] or "expected '}'" in found[1]
    with pytest.raises(ValueError, match=r"field|expected"):
        templates.parse({"title": text})


def test_an_unknown_template_is_named() -> None:
    """There are two."""
    assert list(templates.wrong({"titel": "x"})) == [("titel", "unknown template; known are text, title")]


def test_what_is_not_given_is_as_shipped() -> None:
    """Each template stands for itself."""
    own = templates.parse({"title": "{rule}!"})
    assert own.title.render(fired()) == "request_surge!"
    assert own.text.render(fired()) == templates.DEFAULT.text.render(fired()) == fired().alert.summary
