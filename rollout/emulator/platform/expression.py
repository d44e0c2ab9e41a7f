"""The platform's search language, as far as its pages describe it.

    expression  =  and-part { "or" and-part }
    and-part    =  factor { "and" factor }
    factor      =  "not" factor  |  "(" expression ")"  |  "exists" "(" field ")"  |  comparison
    comparison  =  field ( "=" | "!=" | "like" ) literal   |   field "in" "(" literal { "," literal } ")"
    literal     =  'text' | "text" | number | true | false

Each API knows some fields, and for each field some operators. Anything else is refused with 99400, and so is an expression
that nests deeper or is longer than the bounds below. The pages say nothing about parentheses and precedence; they are
read as usual. `like` means "contains", upper or lower case: the pages only call it fuzzy, so a client must compare
exactly by itself.

`constraints` finds which values of single fields an expression requires. From these the search over tasks knows which
jobs and statuses it must look at, and whether the counters alone are enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from rollout.emulator.platform.refusal import invalid

LENGTH_MAX = 1_000_000
"""Characters of one expression; ours: room for about 50,000 job ids in one list, still read in a second."""
NESTING_MAX = 50
"""Nested parentheses and negations. Ours: far above any real query, far below the interpreter's recursion limit."""

FieldOperators = Mapping[str, frozenset[str]]
"""Field → operators it takes. A name that ends in `.*` stands for all names that begin so."""

Value = str | None
ValueOf = Callable[[str], str | None]
"""Returns a record's value of a field; None if it has none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator values`: one value, several for `in`. Numbers and booleans are kept as text."""

    field: str
    operator: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Presence:
    """`exists(field)`."""

    field: str


@dataclass(frozen=True, slots=True)
class Negation:
    """`not part`."""

    part: Expression


@dataclass(frozen=True, slots=True)
class All:
    """`a and b and …`; without parts it matches every record."""

    parts: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Some:
    """`a or b or …`."""

    parts: tuple[Expression, ...]


Expression = Comparison | Presence | Negation | All | Some

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'[^']*'|"[^"]*")
      | (?P<mark>!=|=|\(|\)|,)
      | (?P<word>[^\s'"!=(),]+)
    )""",
    re.VERBOSE,
)


def parse(text: str, fields: FieldOperators) -> Expression:
    """Return the expression that `text` says; blank text matches every record.

    Raises: Refusal 99400 for a syntax, field or operator that the API does not have.
    """
    if len(text) > LENGTH_MAX:
        raise invalid(f"expression is longer than {LENGTH_MAX} characters")
    tokens: list[tuple[str, str]] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise invalid(f"expression cannot be read at character {position + 1}")
        kind = found.lastgroup
        assert kind is not None, "every alternative of the pattern is named"
        tokens.append((kind, found[kind]))
        position = found.end()
    if not tokens:
        return All()
    reader = _Reader(tokens, fields)
    expression = reader.expression(0)
    reader.finish()
    return expression


class _Reader:
    """A cursor over the tokens; one method per rule of the grammar."""

    def __init__(self, tokens: list[tuple[str, str]], fields: FieldOperators) -> None:
        self._tokens = tokens
        self._fields = fields
        self._at = 0

    def expression(self, depth: int) -> Expression:
        if depth > NESTING_MAX:
            raise invalid(f"expression nests deeper than {NESTING_MAX}")
        parts = [self._conjunction(depth)]
        while self._accept_word("or"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def finish(self) -> None:
        if self._at < len(self._tokens):
            raise invalid(f"expression goes on after its end with {self._tokens[self._at][1]!r}")

    def _conjunction(self, depth: int) -> Expression:
        parts = [self._factor(depth)]
        while self._accept_word("and"):
            parts.append(self._factor(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _factor(self, depth: int) -> Expression:
        if depth > NESTING_MAX:
            raise invalid(f"expression nests deeper than {NESTING_MAX}")
        if self._accept_word("not"):
            return Negation(self._factor(depth + 1))
        if self._accept_mark("("):
            inner = self.expression(depth + 1)
            self._expect_mark(")")
            return inner
        if self._accept_word("exists"):
            self._expect_mark("(")
            field = self._field()
            self._expect_mark(")")
            self._allow(field, "exists")
            return Presence(field)
        return self._comparison()

    def _comparison(self) -> Expression:
        field = self._field()
        kind, operator = self._next("an operator")
        operator = operator.lower()
        if (kind, operator) not in {("mark", "="), ("mark", "!="), ("word", "like"), ("word", "in")}:
            raise invalid(f"unknown operator {operator!r} in expression")
        self._allow(field, operator)
        if operator != "in":
            return Comparison(field, operator, frozenset((self._literal(),)))
        self._expect_mark("(")
        values = [self._literal()]
        while self._accept_mark(","):
            values.append(self._literal())
        self._expect_mark(")")
        return Comparison(field, operator, frozenset(values))

    def _allow(self, field: str, operator: str) -> None:
        operators = self._fields.get(field)
        if operators is None and "." in field:
            operators = self._fields.get(field.split(".", 1)[0] + ".*")
        if operators is None:
            raise invalid(f"unknown field {field!r} in expression")
        if operator not in operators:
            raise invalid(f"field {field!r} does not support {operator!r} in expression")

    def _field(self) -> str:
        kind, word = self._next("a field")
        if kind != "word":
            raise invalid(f"expected a field, found {word!r} in expression")
        return word

    def _literal(self) -> str:
        kind, word = self._next("a value")
        if kind == "text":
            return word[1:-1]
        if kind == "word" and (word in {"true", "false"} or re.fullmatch(r"-?\d+(\.\d+)?", word)):
            return word
        raise invalid(f"expected a quoted value, found {word!r} in expression")

    def _next(self, wanted: str) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise invalid(f"expression ends where {wanted} should stand")
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept_word(self, word: str) -> bool:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "word" and text.lower() == word:
                self._at += 1
                return True
        return False

    def _accept_mark(self, mark: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("mark", mark):
            self._at += 1
            return True
        return False

    def _expect_mark(self, mark: str) -> None:
        if not self._accept_mark(mark):
            raise invalid(f"expected {mark!r} in expression")


def matches(expression: Expression, value_of: ValueOf) -> bool:
    """Return whether the record whose values `value_of` returns matches the expression."""
    match expression:
        case Comparison(field, operator, values):
            value = value_of(field)
            if operator == "!=":
                return value not in values
            if value is None:
                return False
            if operator == "like":
                return any(wanted.casefold() in value.casefold() for wanted in values)
            return value in values
        case Presence(field):
            return value_of(field) is not None
        case Negation(part):
            return not matches(part, value_of)
        case All(parts):
            return all(matches(part, value_of) for part in parts)
        case Some(parts):
            return any(matches(part, value_of) for part in parts)
        case _:
            assert_never(expression)


@dataclass(frozen=True, slots=True)
class Constraints:
    """What an expression requires: field → the only values that a matching record can have there.

    `exact`: a record with such values matches. Otherwise it may still not match.
    """

    values: Mapping[str, frozenset[str]]
    exact: bool


def constraints(expression: Expression) -> Constraints:
    """Return which values of single fields every matching record has."""
    match expression:
        case Comparison(field, "=" | "in", values):
            return Constraints({field: values}, exact=True)
        case All(parts):
            demands: dict[str, frozenset[str]] = {}
            exact = True
            for part in parts:
                inner = constraints(part)
                exact = exact and inner.exact
                for field, values in inner.values.items():
                    demands[field] = demands[field] & values if field in demands else values
            return Constraints(demands, exact)
        case Comparison() | Presence() | Negation() | Some():
            return Constraints({}, exact=False)
        case _:
            assert_never(expression)


def fields_of(expression: Expression) -> frozenset[str]:
    """Return the fields on whose values it depends whether a record matches."""
    match expression:
        case Comparison(field, _, _) | Presence(field):
            return frozenset({field})
        case Negation(part):
            return fields_of(part)
        case All(parts) | Some(parts):
            return frozenset().union(*map(fields_of, parts))
        case _:
            assert_never(expression)
