"""Journals that earlier releases wrote are folded into what those releases folded them into.

`simulated.jsonl.gz` of a release holds whole campaigns of its simulation: the plan, the rows of the journal, and the state
that the release itself made of them, two thirds of the way and at the end.
"""

import gzip
import json
from pathlib import Path

import pytest
from compat.state_summary import summary

from rollout.core.campaign_json import campaign_from_json
from rollout.core.fold import fold
from rollout.core.plan import Batch, Plan, PlannedWave
from rollout.core.state import State
from rollout.intake.format_1 import campaign_of_format_2
from rollout.journal.codec import decode
from rollout.journal.format_1 import HALTS, HOLDS

SETS = sorted(Path(__file__).parent.glob("*/simulated.jsonl.gz"))


def campaigns(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def plan_of(record):
    waves = tuple(PlannedWave(*wave) for wave in record["waves"])
    batches = tuple(Batch(*batch) for batch in record["batches"])
    devices = sum(wave.devices for wave in waves)
    written_in = record.get("format", 1)
    written = record["campaign"]
    campaign = (
        campaign_from_json(campaign_of_format_2(written))
        if written_in == 1
        else campaign_from_json(written, written_in)
    )
    return Plan(campaign, record["seed"], waves, batches, devices, record["digest"])


def as_told_today(expected):
    """Return a summary by 0.1.0 in the words of today: codes for its sentences, one phase for its three marks."""
    return expected | {
        "reason": HALTS.get(expected["reason"], expected["reason"]),
        "waves": [wave_as_told_today(wave) for wave in expected["waves"]],
    }


def wave_as_told_today(wave):
    if "cleared" not in wave:
        return wave
    marks = {name: wave.pop(name) for name in ("cleared", "verified", "closed")}
    phases = {
        "waiting": ("uncleared", "cleared")[marks["cleared"]],
        "open": ("unverified", "verified")[marks["verified"]],
        "passed": ("unclosed", "closed")[marks["closed"]],
        "finished": "closed",
    }
    return wave | {"audit": phases[wave["status"]], "held": HOLDS.get(wave["held"], wave["held"])}


@pytest.mark.parametrize("path", SETS, ids=[path.parent.name for path in SETS])
def test_a_journal_of_an_earlier_release_means_what_it_meant(path):
    """Every campaign's journal gives the state its own release gave it, in the middle and at the end."""
    seen = 0
    for record in campaigns(path):
        state = State.initial(plan_of(record["plan"]))
        for number, (kind, body) in enumerate(record["events"], start=1):
            fold(state, decode(kind, body))
            expected = record["states"].get(str(number))
            if expected is not None:
                seen += 1
                assert json.loads(json.dumps(summary(state))) == as_told_today(expected), (
                    record["seed"],
                    number,
                )
    assert seen >= 2
