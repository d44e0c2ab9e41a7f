"""The search language: what it accepts, what it means, what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.emulator.platform.expression import LENGTH_MAX, NESTING_MAX, constraints, matches, parse
from rollout.emulator.platform.refusal import Refusal

FIELDS = {
    "a": frozenset({"=", "in"}),
    "b": frozenset({"=", "!=", "like", "exists"}),
    "name.en_US": frozenset({"like"}),
    "tags.*": frozenset({"=", "exists"}),
}

RECORD = {"a": "1", "b": "Pump House", "name.en_US": "x", "tags.site": "ulm"}


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("", True),
        ("   ", True),
        ("a = '1'", True),
        ('a="1"', True),
        ("a='2'", False),
        ("a = 1", True),
        ("a in ('0', \"1\")", True),
        ("a IN ('2')", False),
        ("b like 'pump'", True),
        ("b like 'mph'", False),
        ("b != 'x'", True),
        ("tags.none = 'x'", False),
        ("exists(b) and exists(tags.site)", True),
        ("not exists(tags.none)", True),
        ("a='2' or a='1' and b like 'house'", True),
        ("(a='2' or a='1') and b like 'shed'", False),
        ("not (a='1' and b='x')", True),
        ("not not a='1'", True),
        ("name.en_US like 'x'", True),
        ("b = 'it is (not) = and, or in'", False),
    ],
)
def test_meaning(text, true):
    """Comparisons, `and` and `or` with their usual precedence, parentheses, either quote, keywords in any case."""
    assert matches(parse(text, FIELDS), RECORD.get) is true


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a =",
        "a = b",
        "a like '1'",
        "c = '1'",
        "other.site = '1'",
        "a == '1'",
        "a > '1'",
        "a in '1'",
        "a in ()",
        "a in ('1',)",
        "a = '1",
        "a = '1' and",
        "a = '1' b = '2'",
        "(a = '1'",
        "a = '1')",
        "exists a",
        "exists(a)",
        "and",
        "= '1'",
        "a = 'it's'",
        "(" * (NESTING_MAX + 2) + "a='1'" + ")" * (NESTING_MAX + 2),
        "not " * (NESTING_MAX + 2) + "a='1'",
        "a='" + "x" * LENGTH_MAX + "'",
    ],
)
def test_refusal(text):
    """An unknown syntax, field or operator, or an expression beyond the bounds, is 99400."""
    with pytest.raises(Refusal, match=r"^99400 Invalid Argument"):
        parse(text, FIELDS)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    """Any text is parsed or refused with 99400."""
    try:
        parse(text, FIELDS)
    except Refusal as refusal:
        if refusal.code != 99400:
            raise


@pytest.mark.parametrize(
    ("text", "values", "exact"),
    [
        ("a='1'", {"a": {"1"}}, True),
        ("a in ('1','2') and a in ('2','3') and b='x'", {"a": {"2"}, "b": {"x"}}, True),
        ("a='1' and (b='x' or b='y')", {"a": {"1"}}, False),
        ("a='1' or b='x'", {}, False),
        ("not a='1'", {}, False),
        ("a='1' and b like 'x'", {"a": {"1"}}, False),
        ("", {}, True),
    ],
)
def test_constraints(text, values, exact):
    """Constraints joined by `and` are found and combined; anything else makes them inexact."""
    found = constraints(parse(text, FIELDS))
    assert ({field: set(wanted) for field, wanted in found.values.items()}, found.exact) == (values, exact)


_literals = st.sampled_from(["'0'", "'1'", "'2'"])
_comparisons = st.one_of(
    st.builds("a = {}".format, _literals),
    st.builds("a in ({}, {})".format, _literals, _literals),
    st.builds("b = {}".format, _literals),
    st.builds("b != {}".format, _literals),
)
_expressions = st.recursive(
    _comparisons,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=8,
)


@given(_expressions, st.sampled_from("012"), st.sampled_from("012"))
def test_constraints_never_exclude_a_match(text, a, b):
    """Every record that matches has the values of the constraints; if they are exact, no other record has."""
    expression = parse(text, FIELDS)
    record = {"a": a, "b": b}
    found = constraints(expression)
    meets = all(record[field] in wanted for field, wanted in found.values.items())
    matched = matches(expression, record.get)
    assert meets or not matched
    assert not found.exact or meets == matched
