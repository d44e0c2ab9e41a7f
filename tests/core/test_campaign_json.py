"""A campaign written as JSON and read back: nothing at its default, nothing half understood."""

import json
from collections.abc import Mapping
from fractions import Fraction

import pytest

from rollout.core import campaign_json
from rollout.core.campaign import (
    ApiRetry,
    CallLimit,
    Campaign,
    Count,
    Denominator,
    Gate,
    JobSpec,
    Keys,
    Limits,
    Localized,
    OnFail,
    PushSchedule,
    Rest,
    Scope,
    Share,
    StopRule,
    TaskRetry,
    Threshold,
    Wave,
    WhenUnsure,
)
from rollout.core.campaign_json import NewerFormat, campaign_from_json, campaign_to_json, canonical

WRITTEN = {
    "id": "demo",
    "name": {"default": "Demo", "i18n": {"zh_CN": "示范"}},
    "org_id": "o1",
    "firmware_id": "f1",
    "waves": [
        {
            "name": "canary",
            "size": {"kind": "share", "of_fleet": "1/20"},
            "spread_by": "site",
            "job": {
                "upgrade_timeout_s": 60,
                "maximum_concurrency": None,
                "retry": {"enabled": True, "interval_s": 600, "count": 2},
                "schedule": {"start_ms": 1, "end_ms": 2, "repeat_daily": False},
                "grows": True,
                "platform": {"versionNumbers": ["1.0"]},
            },
            "gate": {
                "success": {"min": "9/10", "of": "resolved"},
                "stop": {"failed": 3, "of": "planned", "min_sample": 5},
                "soak_s": 60.0,
                "on_fail": "abort",
                "approval": True,
            },
        },
        {"name": "some", "size": {"kind": "count", "devices": 5}, "job": {}, "gate": {"stop": {"failed": "1/10"}}},
        {"name": "named", "size": {"kind": "keys", "keys": ["a", "b"]}, "job": {}},
        {"name": "picked", "size": {"kind": "scope", "type": "partial", "value": {"rev": ["a"]}}, "job": {}},
        {"name": "total", "size": {"kind": "rest"}, "job": {}},
    ],
    "limits": {"create": {"rate": 9.0, "in_flight": 1}, "devices_in_progress": 50},
    "api_retry": {"when_unsure": "park"},
    "stragglers_after_s": 60.0,
}  # fmt: skip
MEANT = Campaign(
    "demo",
    Localized("Demo", {"zh_CN": "示范"}),
    "o1",
    "f1",
    (
        Wave(
            "canary",
            Share(Fraction(1, 20)),
            JobSpec(
                60,
                None,
                TaskRetry(enabled=True, interval_s=600, count=2),
                PushSchedule(1, 2, repeat_daily=False),
                grows=True,
                platform={"versionNumbers": ["1.0"]},
            ),
            Gate(
                Threshold(Fraction(9, 10), Denominator.RESOLVED),
                None,
                StopRule(3, Denominator.PLANNED, 5),
                soak_s=60.0,
                on_fail=OnFail.ABORT,
                approval=True,
            ),
            "site",
        ),
        Wave("some", Count(5), JobSpec(), Gate(stop=StopRule(Fraction(1, 10)))),
        Wave("named", Keys(("a", "b")), JobSpec()),
        Wave("picked", Scope("partial", None, {"rev": ["a"]}), JobSpec()),
        Wave("total", Rest(), JobSpec()),
    ),
    limits=Limits(CallLimit(9.0, in_flight=1), devices_in_progress=50),
    api_retry=ApiRetry(when_unsure=WhenUnsure.PARK),
    stragglers_after_s=60.0,
)


def test_a_campaign_is_written_and_read_as_it_is_meant():
    """Every field in its place, each at its default left out, numbers and shares told apart; in pure JSON values."""
    campaign_json._fields_of.cache_clear()
    assert campaign_to_json(MEANT) == WRITTEN
    assert campaign_from_json(json.loads(json.dumps(WRITTEN))) == MEANT
    assert campaign_from_json(WRITTEN, 2) == MEANT
    stops = [wave.gate.stop.failed for wave in campaign_from_json(WRITTEN).waves if wave.gate]
    assert [type(failed) for failed in stops] == [int, Fraction]


def edited(change):
    written = json.loads(json.dumps(WRITTEN))
    change(written)
    return written


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda c: c.update(speed=1), NewerFormat, "campaign.speed"),
        (lambda c: c.update(speed=1, area=2), NewerFormat, "campaign.area, campaign.speed"),
        (
            lambda c: c["waves"][1]["gate"].update(speed=1),
            NewerFormat,
            "campaign.waves[2].gate.speed",
        ),
        (
            lambda c: c["waves"][0]["gate"]["stop"].update(speed=1),
            NewerFormat,
            "campaign.waves[1].gate.stop.speed",
        ),
        (
            lambda c: c["waves"][3]["size"].update(speed=1),
            NewerFormat,
            "campaign.waves[4].size.speed",
        ),
        (
            lambda c: c["waves"][3]["size"].update(kind="sample"),
            NewerFormat,
            "campaign.waves[4].size.kind 'sample'",
        ),
        (
            lambda c: c["waves"][0]["gate"].update(on_fail="wait"),
            NewerFormat,
            "campaign.waves[1].gate.on_fail 'wait'",
        ),
        (lambda c: c.pop("id"), ValueError, "campaign.id is missing"),
        (lambda c: c["name"].pop("default"), ValueError, "campaign.name.default is missing"),
        (lambda c: c["waves"][4].pop("job"), ValueError, "campaign.waves[5].job is missing"),
        (lambda c: c.update(waves=5), ValueError, "not a campaign: 'int' object is not iterable"),
        (lambda c: c["waves"][4]["size"].pop("kind"), ValueError, "not a campaign: 'kind'"),
    ],
)
def test_what_cannot_be_understood_is_named_by_its_place(change, kind, said):
    """A newer field or word, a missing field, or no campaign at all: waves are counted from 1, as people do."""
    with pytest.raises(kind) as refused:
        campaign_from_json(edited(change))
    assert type(refused.value) is kind
    assert str(refused.value) == said


def test_an_absent_field_means_what_its_format_says():
    """Not what the class says today; a field that was added after its format was pinned has its empty value."""
    bare = edited(lambda c: [c.pop(name) for name in ("limits", "api_retry", "stragglers_after_s")])
    read = campaign_from_json(bare)
    assert (read.per_job, read.stragglers_after_s) == (500, 7200.0)
    assert read.limits == Limits(CallLimit(2.0, 1, 4), CallLimit(10.0, 5, 4), None)
    assert read.api_retry == ApiRetry(6, 0.5, 60.0, WhenUnsure.RESEND)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int | None, None),
        (bool, False),
        (tuple[str, ...], []),
        (Mapping[str, int], {}),
        (int, campaign_json._NONE),
        (Fraction, campaign_json._NONE),
    ],
)
def test_a_field_that_is_added_later_has_an_empty_value_by_its_type(hint, value):
    """It is left out at that value, so older plans do not change; a type without one is always written."""
    empty = campaign_json._empty(hint)
    assert (empty, type(empty)) == (value, type(value))


def test_canonical_text_is_the_same_on_any_machine():
    """Keys in order, no spaces, nothing beyond ASCII."""
    assert canonical({"b": [1, 2.5], "a": "示"}) == b'{"a":"\\u793a","b":[1,2.5]}'
