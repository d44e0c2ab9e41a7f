"""Drawing trials from seeds: a fleet, a plan, a platform, what goes wrong, and when processes die.

A trial is one campaign with one trouble from `TROUBLES`, or with a mixture of them. `str` describes it in a few lines. The
same seed and trouble give the same trial on every machine. Trials are small on purpose: a few batches of a few devices;
such a campaign takes minutes of virtual time and milliseconds of real time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random
from typing import Any, Literal

from rollout.core.campaign import (
    ApiRetry,
    CallLimit,
    Campaign,
    Count,
    Denominator,
    Gate,
    JobSpec,
    Limits,
    Localized,
    OnFail,
    Rest,
    StopRule,
    TaskRetry,
    Threshold,
    Wave,
    WhenUnsure,
)
from rollout.core.orders import Abort, Approve, Order, Pause, Resume
from rollout.core.plan import plan_fleet
from rollout.emulator.http.faults import Fault, FaultPlan
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.population import Population
from rollout.proof.acts import Act, FaultPhase, Give, Idle, Kill, Live, PowerCut, Quit, Stall, Tamper
from rollout.simulation.wires import Wires
from rollout.simulation.world import Scenario

GAPS_S = (0.0, 0.05, 3.0, 100.0)
"""Pauses between two processes that are drawn. Virtual seconds."""
STEPS_MAX = 60
"""A process dies within this many crash points from its start. A whole campaign of a trial has about a hundred."""
LIFE_S = 240.0
"""Longest life of a process that is to die at a crash point. Virtual seconds."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One campaign with everything about it fixed.

    `trouble`: its row in the fault table. `within_bounds`: the platform keeps L and S and carries out each call at most
    once. If it does not, no client can prevent a second job; the engine must then notice it.
    """

    seed: int
    trouble: str
    scenario: Scenario
    acts: tuple[Act, ...]
    within_bounds: bool = True

    def __str__(self) -> str:
        plan, scenario = self.scenario.plan, self.scenario
        campaign, limits = plan.campaign, plan.campaign.limits
        waves = "; ".join(
            f"{wave.name} {[b.devices for b in plan.batches[wave.first : wave.last]]} {_gate_text(asked.gate)}"
            for wave, asked in zip(plan.waves, campaign.waves, strict=True)
        )
        cap = limits.devices_in_progress
        sizes = (
            f"limits: create {limits.create.rate:g}/s burst {limits.create.burst}, {limits.create.in_flight} in flight; "
            f"devices {'unlimited' if cap is None else cap}; L {scenario.latest_effect_s:g} s, S {scenario.search_lag_s:g} s, "
            f"{campaign.api_retry.when_unsure.value} after {campaign.api_retry.attempts}, pages of {scenario.page_size}"
        )
        lines = [
            f"seed {self.seed}, {self.trouble}{'' if self.within_bounds else ' (bounds broken)'}",
            f"plan: {waves}",
            sizes,
            f"platform: {_changes(scenario.knobs, Knobs())}",
            f"devices: {_changes(scenario.population, Population())}",
            f"network: {_changes(scenario.wires, Wires())}; faults {', '.join(map(str, scenario.faults.faults)) or 'none'}",
            *(f"  {number}. {act}" for number, act in enumerate(self.acts, 1)),
        ]
        return "\n".join(lines)


def _gate_text(gate: Gate | None) -> str:
    if gate is None:
        return "no gate"
    parts = [f"soak {gate.soak_s:g} s"]
    if gate.success is not None:
        parts.append(f"success {float(gate.success.min):g}")
    if gate.stop is not None:
        parts.append(f"stop above {gate.stop.failed}")
    if gate.approval:
        parts.append("approval")
    return f"({', '.join(parts)}, then {gate.on_fail.value})"


def _changes(value: object, usual: object) -> str:
    """Return the fields in which `value` differs from `usual`, as text."""
    names = (name for name in type(value).__slots__)  # type: ignore[attr-defined]
    changed = (
        f"{name}={getattr(value, name)}" for name in names if getattr(value, name) != getattr(usual, name)
    )
    return ", ".join(changed) or "as usual"


# --- what goes wrong ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrialDraft:
    """The parts of a trial that a trouble may change."""

    scenario: Scenario
    acts: tuple[Act, ...] = ()
    within_bounds: bool = True


Trouble = Callable[[Random, TrialDraft], TrialDraft]
"""Something that goes wrong: takes random numbers and a draft, returns the changed draft."""


def _fault(*texts: str) -> Trouble:
    """Return a trouble that adds faults, given as text; `{p}` in it is a probability that is drawn."""

    def change(dice: Random, draft: TrialDraft) -> TrialDraft:
        new = tuple(Fault.parse(text.format(p=round(dice.uniform(0.1, 0.6), 2))) for text in texts)
        faults = FaultPlan(draft.scenario.faults.faults + new)
        return replace(draft, scenario=replace(draft.scenario, faults=faults))

    return change


def _one_of(*troubles: Trouble) -> Trouble:
    return lambda dice, draft: dice.choice(troubles)(dice, draft)


def _wires(name: str, fixed: float | None = None) -> Trouble:
    """Return a trouble that sets the probability `name` of `Wires`: to `fixed`, or to a drawn value if that is None."""

    def change(dice: Random, draft: TrialDraft) -> TrialDraft:
        share: Any = round(dice.uniform(0.1, 0.5), 2) if fixed is None else fixed
        wires = replace(draft.scenario.wires, **{name: share})
        return replace(draft, scenario=replace(draft.scenario, wires=wires))

    return change


def _late(low: float, high: float) -> Trouble:
    """Return a trouble of late effects: a drawn multiple of L, between `low` and `high`, after the end of their call."""

    def change(dice: Random, draft: TrialDraft) -> TrialDraft:
        share = high if high <= 1 and dice.random() < 0.5 else dice.uniform(low, high)
        # L counts from the last byte sent, so it includes the way to the platform
        way_s = draft.scenario.wires.transit_s[1] if high <= 1 else 0.0
        seconds = share * draft.scenario.latest_effect_s - way_s
        return _fault(f"delay={{p}},seconds={seconds}")(dice, replace(draft, within_bounds=high <= 1))

    return change


def _late_at_first(dice: Random, draft: TrialDraft) -> TrialDraft:
    seconds = draft.scenario.latest_effect_s - draft.scenario.wires.transit_s[1]
    return _fault(f"delay=1,limit=2,seconds={seconds}")(dice, draft)


def _twice(dice: Random, draft: TrialDraft) -> TrialDraft:
    return _fault("duplicate_delivery={p}")(dice, replace(draft, within_bounds=False))


def _twice_once(dice: Random, draft: TrialDraft) -> TrialDraft:
    return _fault("duplicate_delivery=1,limit=1")(dice, replace(draft, within_bounds=False))


def _slow_connections(dice: Random, draft: TrialDraft) -> TrialDraft:
    """Slow connections and effects at the end of L: shows an engine that counts L from the start of the call."""
    scenario = replace(
        draft.scenario,
        wires=replace(draft.scenario.wires, connect_s=(1.0, 4.9)),
        search_lag_s=max(1.0, draft.scenario.knobs.read_lag_s),
    )
    return _late(0.95, 1.0)(dice, replace(draft, scenario=scenario))


def _stale_reads(dice: Random, draft: TrialDraft) -> TrialDraft:
    lag_s = dice.choice((10.0, 30.0))
    scenario = replace(
        draft.scenario, knobs=replace(draft.scenario.knobs, read_lag_s=lag_s), search_lag_s=lag_s
    )
    return _wires(dice.choice(("request_lost", "answer_lost")))(dice, replace(draft, scenario=scenario))


def _reads_fail(dice: Random, draft: TrialDraft) -> TrialDraft:
    kind = dice.choice(("error_503", "error_24500", "truncated", "reset", "http_429"))
    reads = _fault(f"{kind}={{p}},on=search+searchTask+get", "commit_then_drop={p}")
    return reads(dice, draft)


def _power_cuts(dice: Random, draft: TrialDraft) -> TrialDraft:
    acts = (
        *draft.acts,
        *(PowerCut(dice.randint(1, 4)) if isinstance(act, Kill) else act for act in _lives(dice, 1, 3)),
    )
    return replace(draft, acts=acts)


def _crash_loop(dice: Random, draft: TrialDraft) -> TrialDraft:
    """The process dies soon after each start and is started again at once."""
    acts: list[Act] = []
    for _ in range(dice.randint(4, 12)):
        acts += [Live(LIFE_S, crash_in=dice.randint(3, 16)), Kill()]
    return replace(draft, acts=draft.acts + tuple(acts))


def _restarts(dice: Random, draft: TrialDraft) -> TrialDraft:
    """The process is asked to leave and started again at once, in the middle of its creates."""
    acts: list[Act] = []
    for _ in range(dice.randint(2, 8)):
        acts += [Live(round(dice.uniform(0.1, 3.0), 3)), Quit(), Idle(dice.choice((0.0, 0.0, 0.2)))]
    return replace(draft, acts=draft.acts + tuple(acts))


def _stalls(dice: Random, draft: TrialDraft) -> TrialDraft:
    acts: list[Act] = []
    for _ in range(dice.randint(1, 5)):
        acts += [Live(_moment(dice)), Stall(dice.choice((0.5, 2.0, 20.0, 300.0)))]
    return _wires("answer_lost")(dice, replace(draft, acts=draft.acts + tuple(acts)))


def _wrong_clocks(dice: Random, draft: TrialDraft) -> TrialDraft:
    wrong = (
        replace(act, wall_error_s=dice.choice((-3600.0, -5.0, 5.0, 3600.0)))
        for act in _lives(dice, 2, 4)
        if isinstance(act, Live)
    )
    acts: list[Act] = [step for act in wrong for step in (act, Kill(), Idle(dice.choice(GAPS_S)))]
    return _wires("answer_lost")(dice, replace(draft, acts=draft.acts + tuple(acts)))


def _orders(dice: Random, draft: TrialDraft) -> TrialDraft:
    acts: list[Act] = []
    for number in range(dice.randint(1, 5)):
        acts += [Live(_moment(dice)), Give(_order(dice, draft, f"order-{number}"))]
    return _one_of(_late(0.5, 1.0), _fault("commit_then_drop={p}"), _fault("slow_answer={p},seconds=10"))(
        dice, replace(draft, acts=draft.acts + tuple(acts))
    )


def _order(dice: Random, draft: TrialDraft, order_id: str) -> Order:
    kind = dice.choice(("pause", "pause", "resume", "resume", "approve", "abort"))
    match kind:
        case "pause":
            return Pause("op", id=order_id)
        case "resume":
            return Resume("op", id=order_id)
        case "approve":
            return Approve("op", dice.choice(draft.scenario.plan.waves).name, id=order_id)
        case _:
            return Abort("op", stop_jobs=dice.random() < 0.6, cancel_pending=dice.random() < 0.5, id=order_id)


def _tampering(dice: Random, draft: TrialDraft) -> TrialDraft:
    acts: list[Act] = []
    for _ in range(dice.randint(1, 4)):
        acts += [Live(_moment(dice)), Tamper(dice.choice(TAMPERINGS), dice.randrange(8))]
    return _fault("commit_then_drop={p}")(dice, replace(draft, acts=draft.acts + tuple(acts)))


TAMPERINGS: tuple[Literal["stop", "delete", "imitate"], ...] = ("stop", "delete", "imitate", "imitate")


def _imitations(dice: Random, draft: TrialDraft) -> TrialDraft:
    """More jobs with similar names than a page holds, so that our job is on a later page."""
    acts: list[Act] = [Live(3.0)]
    acts += [
        Tamper("imitate", number) for number in range(len(draft.scenario.plan.batches)) for _ in range(3)
    ]
    scenario = replace(draft.scenario, page_size=dice.choice((1, 2, 3)))
    return _wires("answer_lost")(dice, replace(draft, scenario=scenario, acts=draft.acts + tuple(acts)))


def draw_fault_phase(dice: Random, scenario: Scenario) -> FaultPhase:
    """Draw the faults of platform and network for a while. They keep the bounds that the engine relies on."""
    faulty = dice.choice(tuple(SINGLE_TROUBLES.values()))(dice, TrialDraft(scenario))
    return FaultPhase(faulty.scenario.faults.faults, faulty.scenario.wires)


def _changing_faults(dice: Random, draft: TrialDraft) -> TrialDraft:
    acts: list[Act] = []
    for _ in range(dice.randint(2, 4)):
        acts += [draw_fault_phase(dice, draft.scenario), Live(_moment(dice))]
    return replace(draft, acts=draft.acts + tuple(acts))


SINGLE_TROUBLES: dict[str, Trouble] = {
    "request lost": _wires("request_lost"),
    "answer lost": _wires("answer_lost"),
    "connection closed before the effect": _one_of(_fault("drop_before_commit={p}"), _fault("reset={p}")),
    "connection closed after the effect": _one_of(
        _fault("commit_then_drop={p}"), _fault("commit_then_reset={p}")
    ),
    "5xx before the effect": _one_of(
        *(_fault(f"{kind}={{p}}") for kind in ("error_500", "error_503", "error_24500"))
    ),
    "5xx after the effect": _one_of(_fault("commit_then_500={p}"), _fault("commit_then_24500={p}")),
    "answer cut short": _one_of(_fault("truncated={p}"), _fault("half_closed={p}")),
    "effect late, within L": _late(0.1, 1.0),
    "slow connections, effect at the end of L": _slow_connections,
    "slow answers": _one_of(_fault("slow_answer={p},seconds=10"), _fault("slow_answer={p},seconds=40")),
    "flow control": _one_of(_fault("http_429={p}"), _fault("http_429={p},seconds=7")),
    "token refused": _fault("unauthorized={p},on=create+search+searchTask"),
    "platform unreachable": _wires("unreachable"),
    "reads fail": _reads_fail,
    "reads 10 to 30 s stale": _stale_reads,
}
"""Troubles with a single cause, which can begin and end during a trial."""

TROUBLES: dict[str, Trouble] = {
    "none": lambda _, draft: draft,
    **SINGLE_TROUBLES,
    "crash loop": _crash_loop,
    "restarts in good order": _restarts,
    "power cut, commits lost": _power_cuts,
    "stalls": _stalls,
    "wrong wall clocks": _wrong_clocks,
    "orders by people": _orders,
    "jobs stopped or deleted by others": _tampering,
    "similar names on many pages": _imitations,
    "trouble that changes": _changing_faults,
    "call carried out twice": _twice,
    "effect later than L": _late(1.5, 4.0),
}
"""Rows of the fault table. In the last two the platform breaks the bounds that every client must rely on."""

MIXED = "mixture"
"""Name of two or three troubles together. Most seeds without a given trouble draw it."""


# --- every crash there is -----------------------------------------------------------------------------------------

ENUMERATED: dict[str, Trouble] = {
    "none": lambda _, draft: draft,
    "request lost": _wires("request_lost", 0.6),
    "answer lost": _wires("answer_lost", 0.6),
    "connection closed after the effect": _fault("commit_then_drop=1,limit=2"),
    "5xx after the effect": _fault("commit_then_500=1,limit=2"),
    "effect late, within L": _late_at_first,
    "flow control": _fault("http_429=1,limit=2"),
    "token refused": _fault("unauthorized=1,limit=1"),
    "call carried out twice": _twice_once,
}
"""Troubles of the enumerated crashes. Where possible they concern the first creates of the campaign."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The small campaign under a trouble, killed at one crash point.

    `lag_s`: read lag of the platform, seconds. `at`: crash point, counted from 1; 0: it is not killed. `gap_s`: virtual
    seconds until the next process starts. `then`: crash point of that process; 0: it is not killed. `lost`: commits lost
    at the first death.
    """

    trouble: str
    lag_s: float
    seed: int = 0
    at: int = 0
    gap_s: float = 0.0
    then: int = 0
    lost: int = 0


def draw_crash(crash: Crash) -> Trial:
    """Return the trial of one crash: two waves with a gate between them, three batches."""
    dice = Random(f"{crash.seed}/{crash.trouble}/crash")  # noqa: S311 - repeatable chance is the purpose
    spec = JobSpec(platform={"versionNumbers": ["1.0"]}, upgrade_timeout_s=300, maximum_concurrency=2)
    share = Threshold(Fraction(1), Denominator.PLANNED)
    campaign = Campaign(
        "c1",
        Localized("small"),
        "o1",
        "fw1",
        (Wave("canary", Count(2), spec, Gate(success=share)), Wave("rest", Rest(), spec)),
        per_job=2,
        limits=Limits(CallLimit(5.0, in_flight=2), CallLimit(20.0, burst=5, in_flight=3), 4),
        api_retry=ApiRetry(20, 0.5, 5.0),
        stragglers_after_s=30.0,
    )
    fleet: dict[str, dict[str, str]] = {f"device-{number}": {} for number in range(5)}
    plan, manifest = plan_fleet(campaign, 1, fleet)
    scenario = Scenario(
        crash.seed,
        plan,
        manifest,
        tuple(fleet.items()),
        Population(work_s_median=3.0, first_report_s=(0.5, 1.0)),
        Knobs(read_lag_s=crash.lag_s),
        latest_effect_s=10.0,
        search_lag_s=max(0.5, crash.lag_s),
        page_size=2,
    )
    draft = ENUMERATED[crash.trouble](dice, TrialDraft(scenario))
    acts: list[Act] = [Live(3600.0, crash_in=crash.at or None)]
    if crash.at:
        acts += [PowerCut(crash.lost) if crash.lost else Kill(), Idle(crash.gap_s)]
    if crash.then:
        acts += [Live(3600.0, crash_in=crash.then), Kill(), Idle(crash.gap_s)]
    return Trial(crash.seed, crash.trouble, draft.scenario, tuple(acts), draft.within_bounds)


# --- drawing -----------------------------------------------------------------------------------------------------


def draw_trial(seed: int, trouble: str | None = None) -> Trial:
    """Return the trial of a seed.

    Args:
        trouble: a key of `TROUBLES` or `MIXED`; None: the seed decides, mostly for a mixture.
    """
    dice = Random(f"{seed}/trial")  # noqa: S311 - repeatable chance is the purpose
    if trouble is None:
        trouble = MIXED if dice.random() < 0.6 else dice.choice(tuple(TROUBLES))
    draft = TrialDraft(draw_scenario(seed, dice))
    bounded = tuple(
        change
        for name, change in TROUBLES.items()
        if name not in {"call carried out twice", "effect later than L"}
    )
    changes = dice.sample(bounded, dice.randint(2, 3)) if trouble == MIXED else [TROUBLES[trouble]]
    for change in changes:
        draft = change(dice, draft)
    # in a quarter of the trials no process is made to die here, as a control
    deaths = tuple(_lives(dice, 1, 2)) if dice.random() < 0.75 else ()
    acts = deaths + draft.acts if dice.random() < 0.5 else draft.acts + deaths
    return Trial(seed, trouble, draft.scenario, acts, draft.within_bounds)


def _lives(dice: Random, least: int, most: int) -> list[Act]:
    """Draw processes that die, most of them at a crash point, some after a time."""
    acts: list[Act] = []
    for _ in range(dice.randint(least, most)):
        if dice.random() < 0.7:
            acts += [Live(LIFE_S, crash_in=dice.randint(1, STEPS_MAX)), Kill()]
        else:
            acts += [Live(_moment(dice)), Kill()]
        acts.append(Idle(dice.choice(GAPS_S)))
    return acts


def _moment(dice: Random) -> float:
    """Draw how long a process runs, seconds: often below 1, sometimes up to 100."""
    return round(dice.choice((1.0, 10.0, 100.0)) * dice.random(), 3)


def draw_scenario(seed: int, dice: Random) -> Scenario:
    """Draw a small campaign on a platform without faults."""
    per_job = dice.randint(1, 3)
    concurrency = dice.randint(1, 3)
    spec = JobSpec(
        platform={"versionNumbers": ["1.0"]},
        upgrade_timeout_s=300,
        maximum_concurrency=concurrency,
        retry=TaskRetry(enabled=True, interval_s=dice.choice((0, 10)), count=dice.randint(1, 2))
        if dice.random() < 0.2
        else TaskRetry(),
    )
    waves = [
        Wave(f"wave{number}", Count(dice.randint(1, 3)), spec, _draw_gate(dice))
        for number in range(dice.choice((0, 0, 0, 1, 1, 1, 1, 2)))
    ]
    waves.append(Wave("rest", Rest(), spec, _draw_gate(dice) if dice.random() < 0.3 else None))
    devices = sum(wave.size.devices for wave in waves if isinstance(wave.size, Count)) + dice.randint(1, 5)
    lag_s = dice.choice((0.0, 2.0, 2.0, 5.0))
    campaign = Campaign(
        "c1",
        Localized("trial"),
        "o1",
        "fw1",
        tuple(waves),
        per_job,
        Limits(
            CallLimit(
                dice.choice((0.5, 2.0, 5.0, 10.0)),
                burst=dice.choice((1, 1, 1, 3)),
                in_flight=dice.randint(1, 4),
            ),
            CallLimit(20.0, burst=5, in_flight=3),
            dice.choice((None, None, max(per_job, concurrency), 2 * per_job + 1)),
        ),
        ApiRetry(
            dice.randint(3, 6), 0.5, 20.0, WhenUnsure.PARK if dice.random() < 0.15 else WhenUnsure.RESEND
        ),
        stragglers_after_s=dice.choice((15.0, 60.0)),
    )
    fleet: dict[str, dict[str, str]] = {f"device-{number:03d}": {} for number in range(devices)}
    plan, manifest = plan_fleet(campaign, seed % 2**32, fleet)
    return Scenario(
        seed,
        plan,
        manifest,
        tuple(fleet.items()),
        Population(
            work_s_median=dice.choice((1.0, 3.0, 10.0)),
            first_report_s=(0.5, 2.0),
            failed_ratio=dice.choice((0.0, 0.0, 0.0, 0.1, 0.5)),
            mute_ratio=dice.choice((0.0,) * 9 + (0.1,)),
            offline_ratio=dice.choice((0.0,) * 4 + (0.2,)),
            offline_s=(10.0, 60.0),
            sleeper_ratio=0.2,
        ),
        Knobs(
            error_status=dice.choice(("200", "mapped")),
            read_lag_s=lag_s,
            materialise_s=dice.choice((0.0, 1.0)),
            batch_errors=dice.choice(("nothing", "partial_error", "partial_success")),
            cancelled_task=dice.choice(("failed", "removed")),
            stop_running=dice.choice(("continue", "fail")),
            deleted_job_tasks=dice.choice(("removed", "kept")),
        ),
        wires=Wires(connect_s=(0.002, dice.choice((0.05, 1.0))), transit_s=(0.005, dice.choice((0.02, 0.1)))),
        latest_effect_s=dice.choice((3.0, 10.0, 30.0)),
        search_lag_s=max(1.0, lag_s * dice.choice((1.0, 1.5))),
        page_size=dice.choice((2, 5, 200)),
    )


def _draw_gate(dice: Random) -> Gate:
    share = Fraction(dice.choice((50, 90, 100)), 100)
    return Gate(
        success=Threshold(share, Denominator.RESOLVED) if dice.random() < 0.7 else None,
        resolved=Threshold(share, Denominator.PLANNED) if dice.random() < 0.7 else None,
        stop=StopRule(Fraction(3, 10), min_sample=2) if dice.random() < 0.5 else None,
        soak_s=dice.choice((0.0, 0.0, 10.0, 30.0)),
        deadline_s=dice.choice((60.0, 200.0)),
        on_fail=OnFail.ABORT if dice.random() < 0.1 else OnFail.PAUSE,
        approval=dice.random() < 0.1,
    )
