"""Event ↔ JSON text."""

import json
import math
from dataclasses import MISSING, dataclass, fields, replace
from enum import StrEnum
from http import HTTPStatus
from types import NoneType
from typing import ClassVar, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core import events as ev
from rollout.core.events import EPHEMERAL, EVENTS
from rollout.core.reasons import BatchReason, HaltReason, HoldReason, LookupReason, StopReason
from rollout.core.tally import Tally
from rollout.errors import JournalCorrupt, Phase
from rollout.journal import codec, format_1

BY_TYPE = {
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    # with surrogates: a foreign error message may hold any
    str: st.text(st.characters(exclude_categories=())),
    bool: st.booleans(),
    Tally: st.builds(Tally, *[st.integers()] * 6),
}


def values_of(name, hint):
    if get_origin(hint) is tuple:
        return st.lists(values_of("", get_args(hint)[0]), max_size=3).map(tuple)
    parts = get_args(hint)
    if NoneType in parts:
        (inner,) = (part for part in parts if part is not NoneType)
        return st.none() | values_of("", inner)
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
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
    body = codec.encode(event)
    plain = codec._dumps_plainly(json.loads(body))
    assert codec.decode(event.kind, plain) == event
    assert codec._SHAPES[event.kind].build(json.loads(body)) == event


def required_of(cls):
    """Return the JSON of an event of which only fields without a default are set."""
    sample = {int: 3, float: 1.5, str: "x", bool: True, tuple[str, ...]: ["x"]}
    hints = get_type_hints(cls)
    return {
        f.name: sample[hints[f.name]] if hints[f.name] in sample else required_code(hints[f.name])
        for f in fields(cls)
        if f.name not in codec.EVENT_DEFAULTS[codec.JOURNAL_FORMAT].get(cls.kind, {})
    }


def required_code(hint):
    return next(iter(hint)).value if isinstance(hint, type) else None


@pytest.mark.parametrize("cls", KEPT, ids=lambda cls: cls.kind)
def test_an_absent_field_means_the_default_of_its_format(backend, cls):
    """A field at its default is not written, and comes back as the default that is pinned."""
    body = json.dumps({"v": codec.JOURNAL_FORMAT, **required_of(cls)})
    event = codec.decode(cls.kind, body)
    defaults = codec.EVENT_DEFAULTS[codec.JOURNAL_FORMAT].get(cls.kind, {})
    assert {name: getattr(event, name) for name in defaults} == defaults
    assert json.loads(codec.encode(event)).keys() == {"v", *required_of(cls)}


@pytest.mark.parametrize("cls", KEPT, ids=lambda cls: cls.kind)
def test_every_default_is_pinned(cls):
    """A field with a default has its place in the table, so that what its absence means does not move with the code."""
    own = {f.name: f.default for f in fields(cls) if f.default is not MISSING}
    assert codec.EVENT_DEFAULTS[codec.JOURNAL_FORMAT].get(cls.kind, {}) == own, (
        "a new default is a new FORMAT: keep the old table"
    )


def test_a_default_that_changes_later_changes_nothing_that_was_written(backend, monkeypatch):
    """A later version with other defaults in its classes reads the same events, of both formats."""
    event = ev.BatchJobCreated(1.0, 0, 1, "j")
    old = '{"at":1.0,"batch":0,"attempt":1,"job_id":"j"}'
    assert codec.decode(event.kind, old) == event
    body = codec.encode(event)

    @dataclass(frozen=True, slots=True)
    class Later:
        kind: ClassVar[str] = "batch.job_created"
        at: float
        batch: int
        attempt: int
        job_id: str
        request_id: str = "none"
        adopted: bool = True
        elapsed_s: float = 9.0

    monkeypatch.setitem(codec._SHAPES, event.kind, codec._shape(Later))
    for text in (body, old):
        back = codec.decode(event.kind, text)
        assert [getattr(back, f.name) for f in fields(event)] == [
            getattr(event, f.name) for f in fields(event)
        ]
    assert json.loads(codec.encode(Later(1.0, 0, 1, "j")))["adopted"] is True


def test_a_later_format_reads_the_rows_of_every_earlier_one(backend, monkeypatch):
    """A version with another default begins a format: rows of both formats before keep their meaning, new ones have its own."""
    event = ev.BatchJobCreated(1.0, 0, 1, "j")
    first = '{"at":1.0,"batch":0,"attempt":1,"job_id":"j"}'
    second = codec.encode(event)
    newest = codec.EVENT_DEFAULTS[codec.JOURNAL_FORMAT]
    other = {**newest, event.kind: {**newest[event.kind], "adopted": True}}
    later = codec.JOURNAL_FORMAT + 1
    monkeypatch.setattr(codec, "EVENT_DEFAULTS", {**codec.EVENT_DEFAULTS, later: other})
    monkeypatch.setattr(codec, "JOURNAL_FORMAT", later)
    monkeypatch.setitem(codec._SHAPES, event.kind, codec._shape(ev.BatchJobCreated))
    for body in (first, second):
        assert codec.decode(event.kind, body) == event
    adopted = replace(event, adopted=True)
    body = codec.encode(adopted)
    assert json.loads(body).keys() == {"v", "at", "batch", "attempt", "job_id"}
    assert codec.decode(event.kind, body) == adopted
    assert codec.decode(event.kind, codec.encode(event)) == event
    with pytest.raises(JournalCorrupt, match="no job_id"):
        codec.decode(event.kind, '{"v":2,"at":1.0,"batch":0,"attempt":1}')


@pytest.mark.parametrize(
    ("kind", "old", "event"),
    [
        ("engine.stopped", {"reason": "interrupted"}, ev.EngineStopped(1.0, StopReason.INTERRUPTED)),
        ("engine.stopped", {"reason": "signal SIGTERM"}, ev.EngineStopped(1.0, StopReason.SIGNAL, "SIGTERM")),
        ("engine.stopped", {"reason": "no route"}, ev.EngineStopped(1.0, StopReason.GAVE_UP, "no route")),
        (
            "batch.parked",
            {"batch": 0, "reason": "not found after 3 doubtful attempts"},
            ev.BatchParked(1.0, 0, BatchReason.TOO_OFTEN, message="not found after 3 doubtful attempts"),
        ),
        (
            "batch.lookup_inconclusive",
            {"batch": 0, "reason": "not found yet", "retry_at": 2.0},
            ev.BatchLookupInconclusive(1.0, 0, LookupReason.TOO_EARLY, 2.0),
        ),
        (
            "batch.lookup_inconclusive",
            {"batch": 0, "reason": "HTTP 502", "retry_at": 2.0},
            ev.BatchLookupInconclusive(1.0, 0, LookupReason.FAILED, 2.0, "HTTP 502"),
        ),
        (
            "batch.outcome_unknown",
            {"batch": 0, "attempt": 1, "reason": "reset"},
            ev.BatchOutcomeUnknown(1.0, 0, 1, "reset"),
        ),
        (
            "gate.held",
            {"wave": 0, "reason": "audit of the wave's jobs", "evidence": "all", "until": None},
            ev.GateHeld(1.0, 0, HoldReason.AUDIT, evidence="all"),
        ),
        ("gate.passed", {"wave": 0, "evidence": "all"}, ev.GatePassed(1.0, 0, evidence="all")),
        (
            "campaign.halted",
            {"reason": "thresholds out of reach", "evidence": "why", "wave": 1, "gate": True},
            ev.CampaignHalted(1.0, HaltReason.OUT_OF_REACH, 1, gate=True, evidence="why"),
        ),
        (
            "campaign.abort_requested",
            {"by": "gate of wave a: b", "reason": "stop rule: failed 3: more", "stop_jobs": True},
            ev.CampaignAbortRequested(
                1.0,
                "gate of wave a: b",
                stop_jobs=True,
                halt=HaltReason.STOP_RULE,
                evidence="failed 3: more",
            ),
        ),
        (
            "campaign.abort_requested",
            {"by": "ana@ops", "reason": "stop rule: mine"},
            ev.CampaignAbortRequested(1.0, "ana@ops", "stop rule: mine"),
        ),
        (
            "job.tasks_cancelled",
            {"batch": 0, "job_id": "j", "cancelled": 1, "moving": 0},
            ev.JobTasksCancelled(1.0, 0, "j", 1, 0, decided=False),
        ),
    ],
)
def test_sentences_of_format_1_become_codes(backend, kind, old, event):
    """Rows of the first format hold sentences; each is read as the code it stood for, its data kept."""
    assert codec.decode(kind, json.dumps({"at": 1.0, **old})) == event


@pytest.mark.parametrize("kind", format_1.FIELDS)
def test_format_1_knows_every_field_it_had(kind):
    """The pinned table has all kinds of that time, and each of its fields still has a place in the event of today."""
    required, optional = format_1.FIELDS[kind]
    today = {f.name for f in fields(EVENTS[kind])} | {"reason"}
    assert {*required, *optional} <= today


@pytest.mark.parametrize(
    ("kind", "body", "code", "words"),
    [
        ("wave.exploded", '{"at":1}', "R703", "wave.exploded"),
        ("wave.opened", '{"at":1,"wave":0,"colour":"red"}', "R703", "colour"),
        ("wave.opened", '{"v":2,"at":1,"wave":0,"colour":"red"}', "R703", "colour"),
        ("wave.opened", '{"v":3,"at":1,"wave":0}', "R703", "journal format 3, this program reads up to 2"),
        ("wave.opened", '{"v":"x","at":1,"wave":0}', "R705", "expected a format"),
        ("wave.opened", '{"v":2,"at":1}', "R705", "no wave"),
        ("gate.held", '{"v":2,"at":1,"wave":0,"reason":"moon"}', "R703", "unknown reason 'moon'"),
        ("gate.held", '{"v":2,"at":1,"wave":0,"reason":"soak","tally":[1]}', "R705", "six whole numbers"),
        ("gate.held", '{"at":1,"wave":0,"reason":"moon"}', "R705", "a reason of format 1"),
        ("gate.held", '{"at":1,"wave":0,"reason":7}', "R705", "reason is 7"),
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
    event = ev.GateHeld(**{"at": 1.0, "wave": 0, "reason": HoldReason.SOAK, "until": None, field: value})
    with pytest.raises(AssertionError, match=field):
        codec.encode(event)


@pytest.mark.parametrize(
    "event",
    [
        ev.WaveOpened(1.0, -1),
        ev.WaveOpened(1.0, None),
        ev.WaveOpened("now", 1),
        ev.BatchParked(1.0, 0, ValueError("reason")),
        ev.GateHeld(1.0, 0, HoldReason.SOAK, (1, 2, 3, 4, 5, 6)),
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
