"""Event ↔ JSON text."""

import json
import math
from dataclasses import fields
from http import HTTPStatus
from types import NoneType
from typing import get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core import events as ev
from rollout.core.events import EPHEMERAL, EVENTS
from rollout.errors import JournalCorrupt, Phase
from rollout.journal import codec

BY_TYPE = {
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    # with surrogates: a foreign error message may hold any
    str: st.text(st.characters(exclude_categories=())),
    bool: st.booleans(),
}


def values_of(name, hint):
    if get_origin(hint) is tuple:
        return st.lists(values_of("", get_args(hint)[0]), max_size=3).map(tuple)
    parts = get_args(hint)
    if NoneType in parts:
        (inner,) = (part for part in parts if part is not NoneType)
        return st.none() | values_of("", inner)
    return st.integers(min_value=0) if name in {"batch", "wave", "group", "attempt"} else BY_TYPE[hint]


def events_of(cls):
    hints = get_type_hints(cls)
    return st.builds(cls, **{f.name: values_of(f.name, hints[f.name]) for f in fields(cls)})


KEPT = [cls for kind, cls in EVENTS.items() if kind not in EPHEMERAL]
any_event = st.one_of([events_of(cls) for cls in KEPT])


@pytest.fixture(params=["orjson", "json"])
def backend(request, monkeypatch):
    """The codec with the fast backend, and as it is without the `speed` extra."""
    if request.param == "json":
        monkeypatch.setattr(codec, "_dumps", codec._dumps_plainly)
        monkeypatch.setattr(codec, "_loads", json.loads)
    else:
        pytest.importorskip("orjson")


@given(event=any_event)
def test_round_trip(event):
    """Every event comes back equal, with the same types, whatever its fields hold; the text fits SQLite."""
    body = codec.encode(event)
    body.encode()
    back = codec.decode(event.kind, body)
    assert back == event
    assert [type(getattr(back, f.name)) for f in fields(back)] == [
        type(getattr(event, f.name)) for f in fields(event)
    ]


@given(event=any_event)
def test_backends_read_each_other(event):
    """What one backend wrote, the other reads; installing an extra does not change a journal."""
    record = {f.name: getattr(event, f.name) for f in fields(event)}
    plain = codec._dumps_plainly(record)
    assert codec.decode(event.kind, plain) == event
    assert codec._SHAPES[event.kind].build(json.loads(codec.encode(event))) == event


@pytest.mark.parametrize("cls", KEPT, ids=lambda cls: cls.kind)
def test_missing_defaults_are_filled(backend, cls):
    """A journal written before a field with a default was added stays readable."""
    hints = get_type_hints(cls)
    sample = {int: 3, float: 1.5, str: "x", bool: True}
    codes = codec._SHAPES[cls.kind].required
    record = {
        name: sample.get(hints[name], ["x"] if hints[name] == tuple[str, ...] else None) for name in codes
    }
    event = codec.decode(cls.kind, json.dumps(record))
    for f in fields(cls):
        assert f.name in codes or getattr(event, f.name) == f.default


@pytest.mark.parametrize(
    ("kind", "body", "code", "words"),
    [
        ("wave.exploded", '{"at":1}', "R703", "wave.exploded"),
        ("wave.opened", '{"at":1,"wave":0,"colour":"red"}', "R703", "colour"),
        ("wave.opened", '{"at":1}', "R705", "no wave"),
        ("wave.opened", '{"at":1,"wave":-1}', "R705", "wave is -1"),
        ("wave.opened", '{"at":1,"wave":true}', "R705", "wave is True"),
        ("wave.opened", '{"at":1,"wave":1.0}', "R705", "whole number"),
        ("wave.opened", '{"at":NaN,"wave":1}', "R705", "finite"),
        ("wave.opened", '{"at":1e400,"wave":1}', "R705", "finite"),
        ("wave.opened", '{"at":1' + "0" * 400 + ',"wave":1}', "R705", "at is"),
        ("wave.opened", '{"at":"1","wave":1}', "R705", "finite number"),
        ("wave.opened", '{"at":1,"wave":', "R705", "not JSON"),
        ("wave.opened", "[" * 100_000, "R705", "not JSON"),
        ("wave.opened", "[1,0]", "R705", "not an object"),
        ("wave.opened", "", "R705", "not JSON"),
        ("batch.create_sent", '{"at":1,"batch":7,"attempt":-2,"name":"n"}', "R705", "attempt is -2"),
        ("batch.job_duplicated", '{"at":1,"batch":7,"kept":"a","others":"b"}', "R705", "list"),
        ("batch.job_duplicated", '{"at":1,"batch":7,"kept":null,"others":[]}', "R705", "text"),
        (
            "batch.job_created",
            '{"at":1,"batch":7,"attempt":1,"job_id":"j","adopted":1}',
            "R705",
            "true or false",
        ),
    ],
)
def test_unfit_text_is_refused_by_name(backend, kind, body, code, words):
    """Text that is not one of our events is refused with what does not fit, and never half-read."""
    with pytest.raises(JournalCorrupt) as caught:
        codec.decode(kind, body)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert caught.value.hint
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", sorted(EPHEMERAL))
def test_ephemeral_events_are_refused(kind):
    """What changes only when we look next is no history; storing it is a fault of the caller."""
    event = {
        ev.TasksCountFailed.kind: ev.TasksCountFailed(1.0, 0, "r", 2.0),
        ev.WaveAuditFailed.kind: ev.WaveAuditFailed(1.0, 0, "r", 2.0),
    }[kind]
    with pytest.raises(AssertionError, match="not history"):
        codec.encode(event)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["at", "until"])
def test_floats_are_finite(backend, value, field):
    """JSON has no infinity and one backend would write null: better to fail than to forget."""
    event = ev.GateHeld(**{"at": 1.0, "wave": 0, "reason": "soak", "until": None, field: value})
    with pytest.raises(AssertionError, match=field):
        codec.encode(event)


@pytest.mark.parametrize(
    "event",
    [
        ev.WaveOpened(1.0, -1),
        ev.WaveOpened(1.0, None),
        ev.WaveOpened("now", 1),
        ev.BatchParked(1.0, 0, ValueError("reason")),
        ev.BatchJobDuplicated(1.0, 0, "a", "b"),
        ev.BatchJobCreated(1.0, 0, 1, "j", adopted=1),
    ],
    ids=lambda event: event.kind,
)
def test_what_could_not_be_read_back_is_not_written(backend, event):
    """One event of wrong types would make a whole journal unreadable, so it never gets there."""
    with pytest.raises(AssertionError, match="expected"):
        codec.encode(event)


def test_enumerations_become_their_values(backend):
    """A string or number that is also an enumeration member is stored as what it equals."""
    event = ev.BatchOutcomeUnknown(1.0, 0, 1, Phase.SENT, HTTPStatus.BAD_GATEWAY)
    assert codec.decode(event.kind, codec.encode(event)) == event
