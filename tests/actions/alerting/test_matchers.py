from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions.alerting.matchers import BadMatcher, Matcher

LABELS = {"rule": "error_rate", "team": "search", "subject": 'say "hi"'}


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ("rule=error_rate", True),
        ("rule = error_rate ", True),
        ('rule="error_rate"', True),
        ("rule=error", False),
        ("rule!=error", True),
        ('rule!="error_rate"', False),
        ('rule=~"error_.*"', True),
        ('rule=~"error"', False),
        ('rule=~"latency|error_rate"', True),
        ('rule!~"error"', True),
        ("rule!~.*", False),
        ("region=", True),
        ('region=""', True),
        ('region!=""', False),
        ('region=~".+"', False),
        (r'subject="say \"hi\""', True),
    ],
)
def test_a_matcher_means_what_alertmanager_means_by_it(text: str, is_match: bool) -> None:  # noqa: FBT001
    """Expressions are anchored at both ends, and a label that is not there is empty."""
    assert Matcher.parse(text).matches(LABELS) is is_match


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a label"),
        ("rule", "expected a label"),
        ("rule latency", "expected a label"),
        ("2nd=x", "expected a label"),
        ('rule="x', "expected quotes"),
        ('rule=x"', "expected quotes"),
        ('rule="x"y"', "expected quotes"),
        ('rule=~"("', "expected a regular expression"),
    ],
)
def test_what_is_no_matcher_is_answered_with_what_was_expected(text: str, expected: str) -> None:
    """Whoever wrote it sees their text, and what it should have been."""
    with pytest.raises(BadMatcher, match=f"{expected}.*{re.escape(repr(text))}"):
        Matcher.parse(text)


@given(st.text(), st.sampled_from(["=", "!="]))
def test_what_a_matcher_is_written_as_reads_as_the_same(value: str, operator: str) -> None:
    """Quotes, new lines and backslashes come back as they were."""
    matcher = Matcher("rule", operator, value)
    assert Matcher.parse(str(matcher)) == matcher
