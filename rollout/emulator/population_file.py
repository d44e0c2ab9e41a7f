"""Reads a fleet file, YAML written by a person: how a fleet's devices behave and, if wanted, which devices there are.

The file says how many attempts fail, how long devices take, when they can be reached, which parts of the fleet differ,
and, if the emulator is to make up the devices, how many there are and what their keys are. Its keys are the fields of
`platform.population`, in the units of plan files. All mistakes in a file are reported at once, each with its place.

A fleet file is a document as a plan is, so it is read with the same modules of `intake`: `yaml_text`, `complaints`,
`findings`, `scalars` and `units`. The emulator knows no other part of intake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from rollout.emulator.platform.population import STEP_MIN, Habits, Population, Stratum
from rollout.errors import Complaint
from rollout.intake.complaints import Complaints, Loc, quoted
from rollout.intake.findings import add_errors
from rollout.intake.scalars import FRACTION, WORD, Block, Read, choice, seconds, whole, without_null
from rollout.intake.units import COUNT_MAX, Unreadable
from rollout.intake.yaml_text import read_yaml

FLEET_SCHEMA_ID = "urn:enos-rollout:schema:fleet:1"

STRATA_MAX = 100
"""Strata of a fleet. Ours: every attempt of every device looks through them."""

WORK_S_MAX = 7 * 86_400
"""Seconds. Ours: the longest time limit of EnOS is two days."""


# --- scalars ------------------------------------------------------------------------------------------------------


def _read_weight(text: str) -> float:
    """Return a weight of at least 0, from `3`, `0.5` or `80%`. Raises: Unreadable (R125)."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?%?", text, re.ASCII):
        raise Unreadable("R125", f"{quoted(text)} is not a weight; write 3, 0.5 or 80%")
    return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)


def _read_time_of_day(text: str) -> int:
    """Return seconds of the day, from `06:00` or `18:30:15`. Raises: Unreadable (R126)."""
    found = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", text, re.ASCII)
    if found is None:
        raise Unreadable("R126", f"{quoted(text)} is not a time of the day; write 06:00 or 18:30:15")
    hours, minutes, second = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + second


def _read_sigma(text: str) -> float:
    if not re.fullmatch(r"[0-9](\.[0-9]{1,6})?", text, re.ASCII) or float(text) > 3:
        raise Unreadable("R102", f"{quoted(text)} is not from 0 to 3")
    return float(text)


def _read_pattern(text: str) -> tuple[str, int, str]:
    found = re.fullmatch(r"([A-Za-z0-9_.-]*)\{n(?::0?([1-9][0-9]?))?\}([A-Za-z0-9_.-]*)", text, re.ASCII)
    if found is None:
        raise Unreadable(
            "R127", f"{quoted(text)} is not a pattern of device keys", 'write "sim-{n:07}": {n} is the number'
        )
    return found[1], int(found[2] or 0), found[3]


_WEIGHT = Read(
    _read_weight,
    {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9.]+%?$"}]},
)
_TIME_OF_DAY = Read(
    _read_time_of_day,
    {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$", "examples": ["06:00"]},
)
_SIGMA = Read(_read_sigma, {"anyOf": [{"type": "number", "minimum": 0, "maximum": 3}, {"type": "string"}]})
_PATTERN = Read(_read_pattern, {"type": "string", "examples": ["sim-{n:07}"]})
_WORK = seconds(1, WORK_S_MAX)

_Share = Annotated[Fraction, FRACTION]
_Weights = Annotated[dict[str, Annotated[float, _WEIGHT]], Field(min_length=1)]


# --- blocks -------------------------------------------------------------------------------------------------------


class SpanBlock(Block):
    """A time drawn evenly between two."""

    from_: Annotated[float, seconds(0, WORK_S_MAX)] = Field(alias="from", description="The shortest.")
    to: Annotated[float, seconds(0, WORK_S_MAX)] = Field(description="The longest.")


class WorkBlock(Block):
    """How long devices work, log-normal: half of them longer than the median, with a long tail."""

    median: Annotated[float, _WORK] | None = Field(
        default=None, description="Half of the devices take longer."
    )
    sigma: Annotated[float, _SIGMA] | None = Field(
        default=None, description="Spread of the logarithm: 0 none, 0.35 usual, 1 wild."
    )


class DailyBlock(Block):
    """Devices that are switched on for part of every day only; their work stands still in between."""

    share: Annotated[Fraction, FRACTION] = Field(description="Share of the devices that keep these hours.")
    from_: Annotated[int, _TIME_OF_DAY] = Field(alias="from", description="When they are switched on, UTC.")
    to: Annotated[int, _TIME_OF_DAY] = Field(
        description="When they are switched off; before `from`: on the next day."
    )
    spread: Annotated[float, seconds(0, 86_399)] = Field(
        default=0.0, description="Each device's day is moved by up to half of this, either way."
    )


class OnlineBlock(Block):
    """When devices can be reached."""

    sleepers: _Share | None = Field(default=None, description="Share of devices that never come online.")
    away: _Share | None = Field(
        default=None, description="Share of the others that are away when first wanted."
    )
    away_for: SpanBlock | None = Field(default=None, alias="awayFor", description="How long those stay away.")
    daily: DailyBlock | None = Field(default=None, description="Devices with a daily rhythm.")


class HabitsBlock(Block):
    """What devices do; whatever is left out is as in the emulator's standard, or as in the whole fleet."""

    failed: _Share | None = Field(default=None, description="Share of attempts that fail.")
    failure_steps: _Weights | None = Field(
        default=None,
        alias="failureSteps",
        description="Weights of the steps failing devices report: -1 upgrade, -2 download, -3 signature, -4 writing, "
        "-5 ignored, below that the maker's own.",
    )
    mute: _Share | None = Field(default=None, description="Share of attempts never heard of after the push.")
    first_report: SpanBlock | None = Field(
        default=None, alias="firstReport", description="From the push to the device's first report."
    )
    work: WorkBlock | None = Field(default=None, description="From the first report to the end.")
    online: OnlineBlock | None = Field(default=None, description="When devices can be reached.")
    request_every: Annotated[float, seconds(1)] | None = Field(
        default=None, alias="requestEvery", description="How often devices ask for upgrades by themselves."
    )


class StratumBlock(HabitsBlock):
    """Part of the fleet with some habits of its own; the first stratum that fits a device counts."""

    where: dict[str, Annotated[list[Annotated[str, WORD]], Field(min_length=1)]] = Field(
        min_length=1, description="Column to values; all columns must agree."
    )


class MadeUpBlock(Block):
    """Devices that the emulator makes up when it runs alone."""

    count: Annotated[int, whole(1, COUNT_MAX, "devices")] = Field(description="How many.")
    keys: Annotated[tuple[str, int, str], _PATTERN] = Field(
        default=("sim-", 7, ""), description="Their keys; {n:07} is the number in at least seven digits."
    )


class FleetBlock(HabitsBlock):
    """A fleet as the emulator and simulations play it."""

    version: Annotated[str, choice("1")] = Field(description="Version of this format.")
    columns: dict[str, _Weights] = Field(
        default={},
        description="Columns that devices have by chance where nothing else gives them one: value to weight.",
    )
    strata: list[StratumBlock] = Field(
        default=[], max_length=STRATA_MAX, description="Parts of the fleet with some habits of their own."
    )
    devices: MadeUpBlock | None = Field(default=None, description="Devices to make up.")


def fleet_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of fleet descriptions, for editors and other tools."""
    body = without_null(FleetBlock.model_json_schema(by_alias=True))
    assert isinstance(body, dict)
    body["properties"]["version"]["enum"] = [1, "1"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": FLEET_SCHEMA_ID,
        **body,
        "title": "Fleet of the emulator",
    }


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Devices to make up: `count` keys, each `before`, a number from 1 in at least `digits` digits, `after`."""

    count: int
    before: str
    digits: int
    after: str

    def __iter__(self) -> Iterator[str]:
        """Yield the keys, in the order of their numbers."""
        return (self.key(number) for number in range(1, self.count + 1))

    def key(self, number: int) -> str:
        """Return the key of device `number`."""
        return f"{self.before}{number:0{self.digits}d}{self.after}"


@dataclass(frozen=True, slots=True)
class FleetDescription:
    """A fleet file without mistakes. `devices`: those to make up; None if the file does not say which there are."""

    path: Path
    population: Population
    devices: MadeUp | None
    warnings: tuple[Complaint, ...] = ()

    @property
    def stratified_by(self) -> tuple[str, ...]:
        """The columns by which the strata are told apart."""
        named = (name for stratum in self.population.strata for name in stratum.where)
        return tuple(dict.fromkeys(named))


_MISPLACED = {
    "failedRatio": "write `failed: 5%`",
    "offline": "write `online: {away: 5%}`",
    "sleepers": "write it in `online:`",
    "daily": "write it in `online:`",
    "keys": "write it in `devices:`",
    "count": "write it in `devices:`",
    "firmwareVersion": "write it in `columns:`",
    "productKey": "write it in `columns:`",
}


def load_fleet_description(path: Path) -> FleetDescription:
    """Read a fleet file. Raises: PlanError with all mistakes of the file, by place."""
    complaints = Complaints(str(path))
    document = read_yaml(path, complaints)
    if document is None:
        complaints.raise_if_failed()
        raise AssertionError("a file that cannot be read has a complaint")
    complaints.places = document.places
    fleet: FleetBlock | None = None
    try:
        fleet = FleetBlock.model_validate(document.data)
    except ValidationError as invalid:
        add_errors(complaints, invalid, FleetBlock, misplaced=_MISPLACED)
    if fleet is not None:
        _check_fleet(complaints, fleet)
    warnings = complaints.raise_if_failed()
    assert fleet is not None, "a file without complaints was read whole"
    return FleetDescription(path, _population(fleet), _made_up(fleet), warnings)


def _check_fleet(complaints: Complaints, fleet: FleetBlock) -> None:
    _check_habits(complaints, fleet, ())
    for name, weights in fleet.columns.items():
        _check_weights(complaints, weights, ("columns", name))
    for index, stratum in enumerate(fleet.strata):
        _check_habits(complaints, stratum, ("strata", index))
        for name, values in stratum.where.items():
            given = fleet.columns.get(name)
            for number, value in enumerate(values):
                if given is not None and not given.get(value):
                    loc: Loc = ("strata", index, "where", name, number)
                    complaints.add("R204", f"no device has {name} {quoted(value)}", loc=loc)
    made_up = _made_up(fleet)
    if made_up is not None:
        for key in (made_up.key(1), made_up.key(made_up.count)):
            if not 4 <= len(key) <= 64:
                message = f"makes keys such as {quoted(key)}; EnOS's have 4 to 64 characters"
                complaints.add("R127", message, loc=("devices", "keys"))
                break


def _check_habits(complaints: Complaints, habits: HabitsBlock, loc: Loc) -> None:
    if habits.failure_steps is not None:
        _check_weights(complaints, habits.failure_steps, (*loc, "failureSteps"))
        for step in habits.failure_steps:
            if not re.fullmatch(r"-[1-9][0-9]{0,2}", step, re.ASCII) or int(step) < STEP_MIN:
                message = f"{quoted(step)} is not a failing step: -1 to {STEP_MIN}"
                complaints.add("R102", message, loc=(*loc, "failureSteps", step), at_key=True)
    online = habits.online or OnlineBlock()
    for span, place in ((habits.first_report, ("firstReport",)), (online.away_for, ("online", "awayFor"))):
        if span is not None and span.from_ > span.to:
            complaints.add("R102", "ends before it begins", loc=(*loc, *place, "to"))
    if online.daily is not None and online.daily.from_ == online.daily.to:
        hint = "devices that are always on have no rhythm: leave it out"
        complaints.add("R102", "is the same as from", loc=(*loc, "online", "daily", "to"), hint=hint)


def _check_weights(complaints: Complaints, weights: Mapping[str, float], loc: Loc) -> None:
    if not sum(weights.values()) > 0:
        complaints.add("R125", "at least one weight must be above 0", loc=loc)


# --- blocks become values -----------------------------------------------------------------------------------------


def _population(fleet: FleetBlock) -> Population:
    common = replace(Habits(), **_changes(fleet))
    strata = tuple(
        Stratum(
            {column: tuple(values) for column, values in stratum.where.items()},
            replace(common, **_changes(stratum)),
        )
        for stratum in fleet.strata
    )
    columns = {name: dict(weights) for name, weights in fleet.columns.items()}
    return replace(Population(strata=strata, columns=columns), **_changes(fleet))


def _made_up(fleet: FleetBlock) -> MadeUp | None:
    return None if fleet.devices is None else MadeUp(fleet.devices.count, *fleet.devices.keys)


def _changes(habits: HabitsBlock) -> dict[str, Any]:
    """Return the fields of `Habits` that a block sets, by name."""
    work, online = habits.work or WorkBlock(), habits.online or OnlineBlock()
    daily = online.daily
    steps = habits.failure_steps
    given = {
        "failed_ratio": _ratio(habits.failed),
        "failure_steps": None if steps is None else {int(step): weight for step, weight in steps.items()},
        "mute_ratio": _ratio(habits.mute),
        "first_report_s": _span(habits.first_report),
        "work_s_median": work.median,
        "work_s_sigma": work.sigma,
        "sleeper_ratio": _ratio(online.sleepers),
        "offline_ratio": _ratio(online.away),
        "offline_s": _span(online.away_for),
        "request_s": habits.request_every,
    }
    if daily is not None:
        given |= {
            "daily_ratio": float(daily.share),
            "daily_s": (daily.from_, daily.to),
            "daily_spread_s": daily.spread,
        }
    return {name: value for name, value in given.items() if value is not None}


def _ratio(share: Fraction | None) -> float | None:
    return None if share is None else float(share)


def _span(span: SpanBlock | None) -> tuple[float, float] | None:
    return None if span is None else (span.from_, span.to)
