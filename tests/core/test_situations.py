"""What is decided in each situation: all commands, and when to look again.

A situation is what has happened, the moment, and what is under way. The plan has the wave `one` of three batches of 20
devices, with a gate whose thresholds must hold for 100 s, and the wave `two` of one batch of 5; a job has at most 10 devices
in progress and gives each 900 s. Counts stand for poll groups of two jobs and one. L is 60 s, S is 5 s.
"""

from dataclasses import dataclass, field, replace
from math import inf

import pytest
from support.plans import build, gate

from rollout.core import events as ev
from rollout.core.campaign import CallLimit, JobSpec, Limits, OnFail, PushSchedule, TaskRetry
from rollout.core.commands import (
    AuditWave,
    CancelTasks,
    CountTasks,
    CreateJob,
    FindJob,
    RecordFact,
    StopJob,
    UnderWay,
)
from rollout.core.decide import decide, may_create
from rollout.core.fold import fold
from rollout.core.reasons import BatchReason, HaltReason, HoldReason
from rollout.core.state import State
from rollout.core.tally import Tally


@dataclass(frozen=True)
class Situation:
    """Events, the moment, and what must be decided then; `given` is another plan's."""

    events: tuple
    now: float
    commands: list
    wake_at: float
    under_way: tuple = ()
    given: dict = field(default_factory=dict)


SPEC = JobSpec(maximum_concurrency=10, upgrade_timeout_s=900)
GATE = gate(soak_s=100.0, deadline_s=1000.0)
ROOM_15, ROOM_20, ROOM_25 = (
    Limits(CallLimit(9.0), CallLimit(9.0), devices_in_progress=devices) for devices in (15, 20, 25)
)


def state_after(events, *, gate=GATE, spec=SPEC, waves=None, **campaign):
    plan, _ = build(*(waves or (("one", [20, 20, 20], gate, spec), ("two", [5], None, SPEC))), **campaign)
    state = State.initial(plan)
    for event in events:
        fold(state, event)
    return state


def made(batch, at):
    """A create and its job."""
    return ev.BatchCreateSent(10.0, batch, 1, "n"), ev.BatchJobCreated(at, batch, 1, f"j{batch}")


def count(group, at, jobs, *numbers, over=True, next_at=None):
    """A count after which no task appears any more; due again after 50 s."""
    next_at = at + 50.0 if next_at is None else next_at
    return ev.TasksCounted(at, group, at, jobs, *numbers, True, over, next_at)


T59 = Tally(60, 60, 1, 59, 0, 0)
BEGUN = (
    ev.CampaignStarted(1.0, "c1", "d", 65, 4, 2, (2, 1), 7.0),
    ev.EngineStarted(2.0, "t", "0", 60.0, 5.0),
)
OPENED = (*BEGUN, ev.WaveAudited(3.0, 0, 2.5, 0), ev.WaveOpened(4.0, 0))
CREATED = (*OPENED, *made(0, 11.0), *made(1, 12.0), *made(2, 13.0))
WELL = (count(0, 20.0, 2, 40, 0, 40, 0), count(1, 21.0, 1, 20, 1, 19, 0))
DONE = (count(0, 20.0, 2, 40, 0, 40, 0), count(1, 21.0, 1, 20, 0, 20, 0))
SAT = ev.GateSatisfied(22.0, 0, T59)
PASSED = (
    *CREATED,
    *WELL,
    SAT,
    ev.GateHeld(125.0, 0, HoldReason.AUDIT),
    ev.WaveAudited(126.0, 0, 125.5, 3),
    ev.GatePassed(127.0, 0, T59),
)
TWO = (
    *PASSED,
    ev.WaveAudited(128.0, 1, 127.5, 0),
    ev.WaveOpened(129.0, 1),
    ev.BatchCreateSent(130.0, 3, 1, "n"),
    ev.BatchJobCreated(131.0, 3, 1, "j3"),
)
UNK = (
    *OPENED,
    ev.BatchCreateSent(10.0, 0, 1, "n"),
    ev.BatchOutcomeUnknown(11.0, 0, 1, "reset", look_at=16.0),
)
ABORT = ev.CampaignAbortRequested(30.0, "ana", stop_jobs=True)
SIX = {"waves": (("one", [20] * 6, GATE, SPEC),)}
ALONE = {"waves": (("one", [20, 20, 20], None, SPEC),)}
SITUATIONS = {
    "nothing before the campaign has begun": Situation((), 5.0, [], inf),
    "nothing after its end": Situation(
        (*OPENED, ev.CampaignAbortRequested(5.0, "ana"), ev.CampaignAborted(6.0)), 7.0, [], inf
    ),
    "the names of the first wave are looked at": Situation(BEGUN, 3.0, [AuditWave(0)], inf),
    "an audit is made once at a time": Situation(BEGUN, 3.0, [], inf, under_way=(AuditWave(0),)),
    "an audit waits after a failure": Situation(
        (*BEGUN, ev.WaveAuditFailed(3.0, 0, "no answer", 9.0)), 5.0, [], 9.0
    ),
    "a suspect wave waits for its time": Situation(
        (BEGUN[0], replace(BEGUN[1], paranoid=True)), 5.0, [], 67.0
    ),
    "a foreign name halts before the first create": Situation(
        (
            *BEGUN,
            ev.WaveAudited(3.0, 0, 2.5, 1, (), ("s",)),
        ),
        4.0,
        [RecordFact(ev.CampaignHalted(4.0, HaltReason.FOREIGN_JOBS, wave=0, names=("s",)))],
        4.0,
    ),
    "the names are free, so the wave opens": Situation(
        (*BEGUN, ev.WaveAudited(3.0, 0, 2.5, 0)), 4.0, [RecordFact(ev.WaveOpened(4.0, 0))], 4.0
    ),
    "a paused campaign opens nothing": Situation(
        (*BEGUN, ev.WaveAudited(3.0, 0, 2.5, 0), ev.CampaignPaused(3.5, "ana")), 4.0, [], inf
    ),
    "every slot creates": Situation(
        OPENED, 5.0, [CreateJob(0, 1), CreateJob(1, 1), CreateJob(2, 1), CreateJob(3, 1)], 1004.0, given=SIX
    ),
    "creates under way take slots": Situation(
        OPENED,
        5.0,
        [CreateJob(2, 1), CreateJob(3, 1)],
        1004.0,
        under_way=(CreateJob(0, 1), CreateJob(1, 1)),
        given=SIX,
    ),
    "all slots are taken": Situation(
        OPENED, 5.0, [], 1004.0, under_way=tuple(CreateJob(n, 1) for n in range(4)), given=SIX
    ),
    "a create in doubt keeps its slot and is looked for": Situation(
        UNK, 16.0, [FindJob(0), CreateJob(1, 1), CreateJob(2, 1), CreateJob(3, 1)], 1004.0, given=SIX
    ),
    "a lookup waits for its time": Situation(UNK, 15.0, [CreateJob(1, 1), CreateJob(2, 1)], 16.0),
    "a lookup is made once": Situation(
        UNK, 17.0, [], 1004.0, under_way=(FindJob(0), CreateJob(1, 1), CreateJob(2, 1))
    ),
    "the budget has room for two": Situation(
        OPENED, 5.0, [CreateJob(0, 1), CreateJob(1, 1)], 1004.0, given={"limits": ROOM_25}
    ),
    "what is under way and not yet intended takes room": Situation(
        OPENED, 5.0, [CreateJob(1, 1)], 1004.0, under_way=(CreateJob(0, 1),), given={"limits": ROOM_25}
    ),
    "what is intended takes its room once": Situation(
        (*OPENED, ev.BatchCreateSent(5.0, 0, 1, "n")),
        5.0,
        [CreateJob(1, 1)],
        1004.0,
        under_way=(CreateJob(0, 1),),
        given={"limits": ROOM_25},
    ),
    "just enough room is enough": Situation(
        OPENED, 5.0, [CreateJob(0, 1), CreateJob(1, 1)], 1004.0, given={"limits": ROOM_20}
    ),
    "a batch to be repeated comes first, in its next attempt": Situation(
        (*OPENED, ev.BatchCreateSent(5.0, 1, 1, "n"), ev.BatchCreateUnsent(6.0, 1, 1, "no route", 8.0)),
        8.0,
        [CreateJob(1, 2), CreateJob(0, 1), CreateJob(2, 1)],
        1004.0,
    ),
    "a batch is not repeated before its time": Situation(
        (*OPENED, ev.BatchCreateSent(5.0, 1, 1, "n"), ev.BatchCreateUnsent(6.0, 1, 1, "no route", 8.0)),
        7.0,
        [],
        8.0,
        under_way=(CreateJob(0, 1), CreateJob(2, 1)),
    ),
    "a batch is not repeated while it is under way": Situation(
        (*OPENED, ev.BatchCreateSent(5.0, 1, 1, "n"), ev.BatchCreateUnsent(6.0, 1, 1, "no route", 8.0)),
        8.0,
        [],
        1004.0,
        under_way=(CreateJob(0, 1), CreateJob(1, 2), CreateJob(2, 1)),
    ),
    "a suspect wave repeats and creates nothing": Situation(
        (
            *OPENED,
            ev.BatchCreateSent(5.0, 1, 1, "n"),
            ev.BatchCreateUnsent(6.0, 1, 1, "no route", 8.0),
            ev.EngineStarted(9.0, "t", "0", 60.0, 5.0, paranoid=True),
        ),
        10.0,
        [],
        74.0,
    ),
    "a suspect wave is listed when that proves something": Situation(
        (*OPENED, ev.EngineStarted(9.0, "t", "0", 60.0, 5.0, paranoid=True)), 74.0, [AuditWave(0)], 1004.0
    ),
    "groups are counted when due": Situation(
        (*CREATED, ev.GateHeld(14.0, 0, HoldReason.SAMPLE)), 18.0, [CountTasks(0)], 20.0
    ),
    "a group is counted once at a time": Situation(
        (*CREATED, ev.GateHeld(14.0, 0, HoldReason.SAMPLE)),
        20.0,
        [CountTasks(1)],
        1004.0,
        under_way=(CountTasks(0),),
    ),
    "nothing is created while counts fail for two minutes": Situation(
        (*OPENED, *made(0, 11.0), ev.TasksCountFailed(20.0, 0, "no answer", 500.0)), 140.0, [], 500.0
    ),
    "counts may fail for nearly two minutes": Situation(
        (*OPENED, *made(0, 11.0), ev.TasksCountFailed(20.0, 0, "no answer", 500.0)),
        139.9,
        [CreateJob(1, 1), CreateJob(2, 1)],
        500.0,
    ),
    "nothing is created before this life has counted": Situation(
        (*OPENED, *made(0, 11.0), ev.EngineStarted(20.0, "t", "0", 60.0, 5.0)), 20.0, [CountTasks(0)], 1004.0
    ),
    "the thresholds hold": Situation(
        (*CREATED, *WELL), 22.0, [RecordFact(ev.GateSatisfied(22.0, 0, tally=T59))], 22.0
    ),
    "they hold no more": Situation(
        (*CREATED, *WELL, SAT, count(1, 23.0, 1, 20, 20, 0, 0)),
        24.0,
        [RecordFact(ev.GateUnsatisfied(24.0, 0, tally=Tally(60, 60, 20, 40, 0, 0)))],
        24.0,
    ),
    "too few are resolved": Situation(
        (*CREATED, count(0, 20.0, 2, 40, 40, 0, 0)),
        22.0,
        [RecordFact(ev.GateHeld(22.0, 0, HoldReason.SAMPLE, tally=Tally(60, 40, 40, 0, 0, 0), until=1004.0))],
        22.0,
    ),
    "what was told is not told again": Situation(
        (*CREATED, count(0, 20.0, 2, 40, 40, 0, 0), ev.GateHeld(21.0, 0, HoldReason.SAMPLE)),
        22.0,
        [CountTasks(1)],
        70.0,
    ),
    "the soak begins": Situation(
        (*CREATED, *WELL, SAT),
        23.0,
        [RecordFact(ev.GateHeld(23.0, 0, HoldReason.SOAK, tally=T59, until=122.0))],
        23.0,
    ),
    "counts from before the soak's end open nothing": Situation(
        (*CREATED, *WELL, SAT, ev.GateHeld(23.0, 0, HoldReason.SOAK)),
        122.0,
        [RecordFact(ev.GateHeld(122.0, 0, HoldReason.STALE, tally=T59))],
        122.0,
    ),
    "counts a verdict waits for are asked for at once": Situation(
        (*CREATED, *WELL, SAT, ev.GateHeld(122.0, 0, HoldReason.STALE)), 123.0, [CountTasks(1)], inf
    ),
    "a group whose count failed keeps its own time": Situation(
        (
            *CREATED,
            *WELL,
            SAT,
            ev.GateHeld(122.0, 0, HoldReason.STALE),
            ev.TasksCountFailed(122.5, 1, "no answer", 140.0),
        ),
        123.0,
        [],
        140.0,
    ),
    "the gate is blind": Situation(
        (
            *CREATED,
            *WELL,
            SAT,
            ev.GateHeld(23.0, 0, HoldReason.SOAK),
            count(1, 122.0, 1, 20, 1, 19, 0),
            ev.TasksCountFailed(130.0, 1, "no answer", 500.0),
        ),
        250.0,
        [RecordFact(ev.GateHeld(250.0, 0, HoldReason.STALE, tally=T59))],
        250.0,
    ),
    "a last audit before the gate opens": Situation(
        (*CREATED, *WELL, SAT, ev.GateHeld(23.0, 0, HoldReason.SOAK), count(1, 122.0, 1, 20, 1, 19, 0)),
        123.0,
        [RecordFact(ev.GateHeld(123.0, 0, HoldReason.AUDIT, tally=T59))],
        123.0,
    ),
    "the last audit is made": Situation(
        (
            *CREATED,
            *WELL,
            SAT,
            ev.GateHeld(23.0, 0, HoldReason.SOAK),
            count(1, 122.0, 1, 20, 1, 19, 0),
            ev.GateHeld(123.0, 0, HoldReason.AUDIT),
        ),
        124.0,
        [AuditWave(0)],
        172.0,
    ),
    "an audit waits until the last job must be found": Situation(
        (*OPENED, *made(0, 11.0), *made(1, 12.0), *made(2, 13.0), ev.GateHeld(14.0, 0, HoldReason.AUDIT)),
        15.0,
        [],
        18.0,
        given={"gate": None},
    ),
    "the gate opens": Situation(
        (
            *CREATED,
            *WELL,
            SAT,
            count(1, 122.0, 1, 20, 1, 19, 0),
            ev.GateHeld(123.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(125.0, 0, 124.0, 3),
        ),
        126.0,
        [RecordFact(ev.GatePassed(126.0, 0, tally=T59))],
        126.0,
    ),
    "an overridden gate opens": Situation(
        (
            *CREATED,
            ev.CampaignHalted(14.0, HaltReason.DEADLINE, 0, gate=True),
            ev.ApprovalGiven(15.0, 0, "ana"),
            ev.GateHeld(16.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(19.0, 0, 18.0, 3),
        ),
        19.0,
        [RecordFact(ev.GatePassed(19.0, 0, tally=Tally(60, 0, 0, 0, 0, 0), overridden=True))],
        19.0,
    ),
    "an overridden gate waits for its audit too": Situation(
        (
            *CREATED,
            ev.CampaignHalted(14.0, HaltReason.DEADLINE, 0, gate=True),
            ev.ApprovalGiven(15.0, 0, "ana"),
        ),
        16.0,
        [RecordFact(ev.GateHeld(16.0, 0, HoldReason.AUDIT, tally=Tally(60, 0, 0, 0, 0, 0), overridden=True))],
        16.0,
    ),
    "the stop rule halts": Situation(
        (*CREATED, count(0, 20.0, 2, 40, 20, 10, 10)),
        21.0,
        [
            RecordFact(
                ev.CampaignHalted(
                    21.0, HaltReason.STOP_RULE, wave=0, gate=True, tally=Tally(60, 40, 20, 10, 10, 10)
                )
            )
        ],
        21.0,
    ),
    "the stop rule aborts where the plan says so": Situation(
        (*CREATED, count(0, 20.0, 2, 40, 20, 10, 10)),
        21.0,
        [
            RecordFact(
                ev.CampaignAbortRequested(
                    21.0,
                    stop_jobs=True,
                    halt=HaltReason.STOP_RULE,
                    wave=0,
                    tally=Tally(60, 40, 20, 10, 10, 10),
                )
            )
        ],
        21.0,
        given={"gate": gate(on_fail=OnFail.ABORT)},
    ),
    "all has ended and is not enough": Situation(
        (*CREATED, count(0, 20.0, 2, 40, 0, 40, 0), count(1, 21.0, 1, 10, 0, 10, 0)),
        22.0,
        [
            RecordFact(
                ev.CampaignHalted(
                    22.0,
                    HaltReason.OUT_OF_REACH,
                    wave=0,
                    gate=True,
                    tally=Tally(60, 50, 0, 50, 0, 0),
                    settled=True,
                )
            )
        ],
        22.0,
        given={"gate": gate(stop=None)},
    ),
    "what cannot change any more aborts where the plan says so": Situation(
        (*CREATED, count(0, 20.0, 2, 40, 0, 40, 0), count(1, 21.0, 1, 10, 0, 10, 0)),
        22.0,
        [
            RecordFact(
                ev.CampaignAbortRequested(
                    22.0,
                    stop_jobs=True,
                    halt=HaltReason.OUT_OF_REACH,
                    wave=0,
                    tally=Tally(60, 50, 0, 50, 0, 0),
                    settled=True,
                )
            )
        ],
        22.0,
        given={"gate": gate(stop=None, on_fail=OnFail.ABORT)},
    ),
    "the wave has passed, the next is looked at": Situation(
        PASSED, 127.5, [AuditWave(1), CountTasks(1)], 7221.0
    ),
    "the next wave opens": Situation(
        (*PASSED, ev.WaveAudited(128.0, 1, 127.5, 0)), 128.5, [RecordFact(ev.WaveOpened(128.5, 1))], 128.5
    ),
    "a wave that has passed is halted by its stop rule": Situation(
        (*TWO, count(1, 140.0, 1, 20, 0, 10, 10)),
        141.0,
        [
            RecordFact(
                ev.CampaignHalted(
                    141.0, HaltReason.STOP_RULE, wave=0, gate=True, tally=Tally(60, 60, 0, 50, 10, 10)
                )
            )
        ],
        141.0,
    ),
    "stragglers are waited for": Situation(
        (*PASSED, count(1, 600.0, 1, 20, 0, 19, 0)),
        1099.0,
        [CountTasks(1)],
        1100.0,
        under_way=(AuditWave(1),),
        given={"stragglers_after_s": 500.0},
    ),
    "a count is asked for when the quiet is over": Situation(
        (*PASSED, count(1, 600.0, 1, 20, 0, 19, 0, next_at=9e9)),
        1100.0,
        [CountTasks(1)],
        9000000000.0,
        under_way=(AuditWave(1),),
        given={"stragglers_after_s": 500.0},
    ),
    "an upgrade under way ends within its time-out": Situation(
        (*PASSED, count(1, 600.0, 1, 20, 2, 18, 0, next_at=9e9)),
        1100.0,
        [],
        1500.0,
        under_way=(AuditWave(1),),
        given={"stragglers_after_s": 500.0},
    ),
    "a device at work is a straggler after its time-out": Situation(
        (*PASSED, count(1, 600.0, 1, 20, 2, 18, 0, next_at=9e9)),
        1500.0,
        [CountTasks(1)],
        9000000000.0,
        under_way=(AuditWave(1),),
        given={"stragglers_after_s": 500.0},
    ),
    "then the wave is listed once more": Situation(
        (*PASSED, count(1, 600.0, 1, 20, 0, 19, 0), count(1, 1100.0, 1, 20, 0, 19, 0)),
        1101.0,
        [AuditWave(0)],
        1150.0,
        under_way=(AuditWave(1),),
        given={"stragglers_after_s": 500.0},
    ),
    "a wave with stragglers is finished": Situation(
        (
            *PASSED,
            count(1, 600.0, 1, 20, 0, 19, 0),
            count(1, 1100.0, 1, 20, 0, 19, 0),
            ev.WaveAudited(1102.0, 0, 1101.0, 3),
        ),
        1103.0,
        [RecordFact(ev.WaveFinished(1103.0, 0, 1))],
        1103.0,
        under_way=(AuditWave(1),),
        given={"stragglers_after_s": 500.0},
    ),
    "every job is through": Situation(
        (
            *CREATED,
            *DONE,
            ev.GateHeld(22.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(23.0, 0, 22.0, 3),
            ev.GatePassed(24.0, 0),
        ),
        25.0,
        [AuditWave(0)],
        inf,
        given=ALONE,
    ),
    "a wave that was listed is finished": Situation(
        (
            *CREATED,
            *DONE,
            ev.GateHeld(22.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(23.0, 0, 22.0, 3),
            ev.GatePassed(24.0, 0),
            ev.WaveAudited(25.0, 0, 24.5, 3),
        ),
        26.0,
        [RecordFact(ev.WaveFinished(26.0, 0, 0))],
        26.0,
        given=ALONE,
    ),
    "the campaign is finished": Situation(
        (
            *CREATED,
            *DONE,
            ev.GateHeld(22.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(23.0, 0, 22.0, 3),
            ev.GatePassed(24.0, 0),
            ev.WaveAudited(25.0, 0, 24.5, 3),
            ev.WaveFinished(26.0, 0, 0),
        ),
        27.0,
        [RecordFact(ev.CampaignFinished(27.0))],
        27.0,
        given=ALONE,
    ),
    "not finished while a create is under way": Situation(
        (
            *CREATED,
            *DONE,
            ev.GateHeld(22.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(23.0, 0, 22.0, 3),
            ev.GatePassed(24.0, 0),
            ev.WaveAudited(25.0, 0, 24.5, 3),
            ev.WaveFinished(26.0, 0, 0),
        ),
        27.0,
        [],
        inf,
        under_way=(CreateJob(0, 1),),
        given=ALONE,
    ),
    "not finished over a parked batch": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            ev.BatchCreateSent(12.0, 1, 1, "n"),
            ev.BatchOutcomeUnknown(13.0, 1, 1, "reset"),
            ev.BatchParked(90.0, 1, BatchReason.TOO_OFTEN),
            count(0, 91.0, 1, 20, 0, 20, 0),
            ev.GateHeld(92.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(93.0, 0, 92.0, 1),
            ev.GatePassed(94.0, 0),
            ev.WaveAudited(95.0, 0, 94.5, 1),
            ev.WaveFinished(96.0, 0, 20),
        ),
        97.0,
        [RecordFact(ev.CampaignHalted(97.0, HaltReason.BATCHES_PARKED, number=1))],
        97.0,
        given={"waves": (("one", [20, 20], None, SPEC),)},
    ),
    "a refusal halts": Situation(
        (
            *OPENED,
            ev.BatchCreateSent(5.0, 0, 1, "n"),
            ev.BatchCreateRejected(6.0, 0, 1, 24404, "not found", "r1"),
        ),
        7.0,
        [
            RecordFact(
                ev.CampaignHalted(
                    7.0, HaltReason.CREATE_REFUSED, wave=0, code=24404, message="not found", request_id="r1"
                )
            )
        ],
        7.0,
    ),
    "one of our credentials does not": Situation(
        (
            *OPENED,
            ev.BatchCreateSent(5.0, 0, 1, "n"),
            ev.BatchCreateRejected(6.0, 0, 1, 24401, "who", "r1", credentials=True),
        ),
        7.0,
        [CreateJob(1, 1), CreateJob(2, 1)],
        1004.0,
    ),
    "a job that is there twice halts": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            ev.BatchJobDuplicated(12.0, 0, "j0", ("k0",)),
            *made(1, 13.0),
            ev.BatchJobDuplicated(14.0, 1, "j1", ("k1",)),
        ),
        15.0,
        [RecordFact(ev.CampaignHalted(15.0, HaltReason.JOB_DUPLICATED, wave=0, number=2))],
        15.0,
    ),
    "one job that is there twice halts": Situation(
        (*OPENED, *made(0, 11.0), ev.BatchJobDuplicated(12.0, 0, "j0", ("k0",))),
        15.0,
        [RecordFact(ev.CampaignHalted(15.0, HaltReason.JOB_DUPLICATED, wave=0, number=1))],
        15.0,
    ),
    "a duplicate a person knows of halts nothing": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            ev.BatchJobDuplicated(12.0, 0, "j0", ("k0",)),
            ev.CampaignHalted(13.0, HaltReason.JOB_DUPLICATED, 0),
            ev.CampaignResumed(14.0, "ana"),
            ev.JobStopped(15.0, 0, "k0"),
        ),
        15.5,
        [CreateJob(1, 1), CreateJob(2, 1)],
        18.0,
    ),
    "foreign names halt": Situation(
        (*BEGUN, ev.WaveAudited(3.0, 0, 2.5, 5, (), tuple("abcde"))),
        4.0,
        [RecordFact(ev.CampaignHalted(4.0, HaltReason.FOREIGN_JOBS, wave=0, names=("a", "b", "c")))],
        4.0,
    ),
    "jobs that are missed for the third time halt": Situation(
        (*CREATED, *(ev.WaveAudited(30.0 + n, 0, 30.0 + n, 1, (0, 2), (), 50.0) for n in range(3))),
        34.0,
        [RecordFact(ev.CampaignHalted(34.0, HaltReason.JOBS_MISSING, wave=0, number=2))],
        34.0,
    ),
    "jobs that are missed for the second time do not halt": Situation(
        (
            *CREATED,
            *(ev.WaveAudited(30.0 + n, 0, 30.0 + n, 1, (0, 2), (), 50.0) for n in range(2)),
            ev.GateHeld(33.0, 0, HoldReason.SAMPLE),
        ),
        34.0,
        [],
        1004.0,
        under_way=(CountTasks(0), CountTasks(1)),
    ),
    "an audit that missed is made again at its time": Situation(
        (*CREATED, ev.GateHeld(14.0, 0, HoldReason.AUDIT), ev.WaveAudited(30.0, 0, 29.0, 1, (0,), (), 40.0)),
        35.0,
        [],
        40.0,
        under_way=(CountTasks(0), CountTasks(1)),
        given={"gate": None},
    ),
    "a halted campaign brakes and looks up": Situation(
        (*UNK, ev.CampaignHalted(12.0, HaltReason.FOREIGN_JOBS, 0)), 20.0, [FindJob(0)], inf
    ),
    "a paused one counts and creates nothing": Situation(
        (*OPENED, *made(0, 11.0), ev.CampaignPaused(12.0, "ana")), 18.0, [CountTasks(0)], 1004.0
    ),
    "an abort stops its jobs when they can be found": Situation(
        (*OPENED, *made(0, 11.0), *made(1, 29.0), ABORT), 31.0, [StopJob(0, "j0")], 34.0
    ),
    "a brake is sent once": Situation(
        (*OPENED, *made(0, 11.0), *made(1, 12.0), ABORT),
        31.0,
        [StopJob(1, "j1")],
        inf,
        under_way=(StopJob(0, "j0"),),
    ),
    "an abort has ended when all jobs are stopped": Situation(
        (*OPENED, *made(0, 11.0), ABORT, ev.JobStopped(32.0, 0, "j0")),
        33.0,
        [RecordFact(ev.CampaignAborted(33.0))],
        33.0,
    ),
    "an abort has not ended while a call is under way": Situation(
        (*OPENED, *made(0, 11.0), ABORT, ev.JobStopped(32.0, 0, "j0")),
        33.0,
        [],
        inf,
        under_way=(CountTasks(0),),
    ),
    "an abort has not ended while a create is in doubt": Situation(
        (*UNK, ABORT), 33.0, [], inf, under_way=(FindJob(0),)
    ),
    "an abort lists what a lost journal may have forgotten": Situation(
        (*OPENED, ev.EngineStarted(20.0, "t", "0", 60.0, 5.0, paranoid=True), ABORT),
        90.0,
        [AuditWave(0), AuditWave(1)],
        inf,
    ),
    "a budget full of silence stalls": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            count(0, 20.0, 1, 20, 0, 10, 0, next_at=9e9),
            count(0, 7300.0, 1, 20, 0, 10, 0, next_at=9e9),
        ),
        7301.0,
        [RecordFact(ev.CampaignStalled(7301.0, 0, exposure=10))],
        7301.0,
        given={"gate": None, "limits": ROOM_15},
    ),
    "a stall is told at the moment it is certain": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            count(0, 20.0, 1, 20, 0, 10, 0),
            count(0, 7220.0, 1, 20, 0, 10, 0),
        ),
        7220.0,
        [RecordFact(ev.CampaignStalled(7220.0, 0, exposure=10))],
        7220.0,
        given={"gate": None, "limits": ROOM_15},
    ),
    "a batch to be repeated is waited for while there is no room": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            ev.BatchCreateSent(12.0, 1, 1, "n"),
            ev.BatchCreateUnsent(13.0, 1, 1, "no route", 15.0),
        ),
        14.0,
        [],
        15.0,
        given={"gate": None, "limits": ROOM_15},
    ),
    "no stall is told while a create is under way": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            count(0, 20.0, 1, 20, 0, 10, 0, next_at=9e9),
            count(0, 7300.0, 1, 20, 0, 10, 0, next_at=9e9),
        ),
        7301.0,
        [],
        9000000000.0,
        under_way=(CreateJob(1, 1),),
        given={"gate": None, "limits": ROOM_15},
    ),
    "silence is waited for before a stall": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 0, 10, 0, next_at=9e9)),
        30.0,
        [],
        7220.0,
        given={"gate": None, "limits": ROOM_15},
    ),
    "a stall is told on new counts only": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 0, 10, 0, next_at=9e9)),
        7221.0,
        [],
        9000000000.0,
        given={"gate": None, "limits": ROOM_15},
    ),
    "devices at work have their time-out before a stall": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 5, 10, 0, next_at=9e9)),
        30.0,
        [],
        8020.0,
        given={"gate": None, "spec": replace(SPEC, upgrade_timeout_s=8000), "limits": ROOM_15},
    ),
    "no interval is waited for where nothing failed": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 0, 10, 0, over=False, next_at=9e9)),
        30.0,
        [],
        7220.0,
        given={
            "gate": None,
            "spec": replace(SPEC, retry=TaskRetry(enabled=True, interval_s=600, count=2)),
            "limits": ROOM_15,
        },
    ),
    "nor where the platform brings nothing back": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 0, 10, 3, next_at=9e9)),
        30.0,
        [],
        7220.0,
        given={
            "gate": None,
            "spec": replace(SPEC, retry=TaskRetry(enabled=False, interval_s=600)),
            "limits": ROOM_15,
        },
    ),
    "failed devices have their interval before a stall": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 0, 10, 3, over=False, next_at=9e9)),
        30.0,
        [],
        7820.0,
        given={"gate": None, "spec": replace(SPEC, retry=TaskRetry(True, 600, 2)), "limits": ROOM_15},
    ),
    "a window has its opening before a stall": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 0, 10, 0, next_at=9e9)),
        30.0,
        [],
        8200.0,
        given={
            "gate": None,
            "spec": replace(SPEC, schedule=PushSchedule(1_000_000, 9_000_000)),
            "limits": ROOM_15,
        },
    ),
    "a daily window has a day more": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 0, 10, 0, next_at=9e9)),
        30.0,
        [],
        94600.0,
        given={
            "gate": None,
            "spec": replace(SPEC, schedule=PushSchedule(1_000_000, 9_000_000, True)),
            "limits": ROOM_15,
        },
    ),
    "no patience is shorter than the search lag": Situation(
        (*OPENED, *made(0, 11.0), count(0, 20.0, 1, 20, 0, 10, 0, next_at=9e9)),
        21.0,
        [],
        30.0,
        given={"gate": None, "stragglers_after_s": 1.0, "limits": ROOM_15},
    ),
    "a wave waits for the one before it": Situation(
        (*CREATED, ev.GateHeld(14.0, 0, HoldReason.SAMPLE), ev.WaveAudited(15.0, 1, 14.5, 0)), 15.5, [], 18.0
    ),
    "an audit is made again after its wait": Situation(
        (*CREATED, ev.GateHeld(14.0, 0, HoldReason.AUDIT), ev.WaveAudited(30.0, 0, 29.0, 1, (0,), (), 40.0)),
        40.0,
        [AuditWave(0)],
        inf,
        under_way=(CountTasks(0), CountTasks(1)),
        given={"gate": None},
    ),
    "a wave is not closed while a batch of it is in doubt": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            *made(1, 12.0),
            ev.BatchCreateSent(12.0, 2, 1, "n"),
            ev.BatchOutcomeUnknown(13.0, 2, 1, "reset"),
            ev.BatchParked(90.0, 2, BatchReason.TOO_OFTEN),
            *DONE[:1],
            ev.GateHeld(92.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(93.0, 0, 92.0, 1),
            ev.GatePassed(94.0, 0),
            ev.EngineStarted(95.0, "t", "0", 60.0, 5.0),
        ),
        96.0,
        [FindJob(2)],
        inf,
        under_way=(AuditWave(1),),
    ),
    "a brake that has failed waits": Situation(
        (*OPENED, *made(0, 11.0), ABORT, ev.JobStopFailed(31.0, 0, "j0", "no answer", 40.0)), 32.0, [], 40.0
    ),
    "an abort cancels tasks before it stops jobs": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            *made(1, 12.0),
            ev.CampaignAbortRequested(30.0, "ana", cancel_pending=True),
        ),
        31.0,
        [CancelTasks(0, "j0"), CancelTasks(1, "j1")],
        inf,
    ),
    "not finished while a job is still to be stopped": Situation(
        (
            *CREATED,
            *DONE,
            ev.BatchJobDuplicated(21.5, 0, "j0", ("k0",)),
            ev.CampaignHalted(21.6, HaltReason.JOB_DUPLICATED, 0),
            ev.CampaignResumed(21.7, "ana"),
            ev.GateHeld(22.0, 0, HoldReason.AUDIT),
            ev.WaveAudited(23.0, 0, 22.0, 3),
            ev.GatePassed(24.0, 0),
            ev.WaveAudited(25.0, 0, 24.5, 3),
            ev.WaveFinished(26.0, 0, 0),
        ),
        27.0,
        [StopJob(0, "k0")],
        inf,
        given=ALONE,
    ),
    "an approved gate waits for its audit alone": Situation(
        (*CREATED, *WELL, SAT, count(1, 22.2, 1, 20, 1, 19, 0), ev.ApprovalGiven(22.5, 0, "ana")),
        23.0,
        [RecordFact(ev.GateHeld(23.0, 0, HoldReason.AUDIT, tally=T59))],
        23.0,
        given={"gate": gate(approval=True)},
    ),
    "a wave that was listed is not finished while its stragglers move": Situation(
        (
            *PASSED,
            count(1, 600.0, 1, 20, 0, 19, 0),
            count(1, 1100.0, 1, 20, 0, 19, 0),
            ev.WaveAudited(1102.0, 0, 1101.0, 3),
            count(1, 1103.0, 1, 20, 0, 18, 1, next_at=9e9),
        ),
        1104.0,
        [],
        1603.0,
        under_way=(AuditWave(1),),
        given={"stragglers_after_s": 500.0},
    ),
    "a stall is told once": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            count(0, 20.0, 1, 20, 0, 10, 0),
            count(0, 7300.0, 1, 20, 0, 10, 0, next_at=9e9),
            ev.CampaignStalled(7301.0, 0, 10),
        ),
        7302.0,
        [],
        9e9,
        given={"gate": None, "limits": ROOM_15},
    ),
    "no stall is told while a create is in doubt": Situation(
        (
            *OPENED,
            *made(0, 11.0),
            ev.BatchCreateSent(12.0, 1, 1, "n"),
            ev.BatchOutcomeUnknown(13.0, 1, 1, "reset", look_at=8000.0),
            count(0, 20.0, 1, 20, 0, 10, 0),
            count(0, 7300.0, 1, 20, 0, 10, 0, next_at=9e9),
        ),
        7302.0,
        [],
        8000.0,
        given={"gate": None, "limits": ROOM_20},
    ),
    "a brake goes out at its moment": Situation(
        (*OPENED, *made(0, 11.0), ABORT), 30.0, [StopJob(0, "j0")], inf
    ),
    "an abort lists every suspect wave": Situation(
        (BEGUN[0], replace(BEGUN[1], paranoid=True), ABORT), 90.0, [AuditWave(0), AuditWave(1)], inf
    ),
    "counts that are due much later are asked for where a verdict waits": Situation(
        (
            *CREATED,
            WELL[0],
            count(1, 21.0, 1, 20, 1, 19, 0, next_at=9e9),
            SAT,
            ev.GateHeld(122.0, 0, HoldReason.STALE),
        ),
        123.0,
        [CountTasks(1)],
        9e9,
    ),
    "a finished wave waits for no count": Situation(
        (
            *PASSED,
            count(1, 600.0, 1, 20, 0, 19, 0),
            count(1, 1100.0, 1, 20, 0, 19, 0),
            ev.WaveAudited(1102.0, 0, 1101.0, 3),
            ev.WaveFinished(1103.0, 0, 1),
            count(1, 1200.0, 1, 20, 0, 18, 1, next_at=9e9),
        ),
        1800.0,
        [],
        9e9,
        under_way=(AuditWave(1),),
        given={"stragglers_after_s": 500.0},
    ),
    "the last slot is used": Situation(
        OPENED,
        5.0,
        [CreateJob(3, 1)],
        1004.0,
        under_way=tuple(CreateJob(batch, 1) for batch in range(3)),
        given=SIX,
    ),
    "a batch to be repeated is waited for while all slots are used": Situation(
        (
            *OPENED,
            ev.BatchCreateSent(5.0, 0, 1, "n"),
            ev.BatchCreateUnsent(6.0, 0, 1, "no route", 8.0),
        ),
        7.0,
        [CreateJob(batch, 1) for batch in (1, 2, 3, 4)],
        8.0,
        given=SIX,
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_each_situation_leads_to_its_decision(name):
    """These commands in this order, this time to look again, and nothing has changed by asking."""
    at_hand = SITUATIONS[name]
    state = state_after(at_hand.events, **at_hand.given)
    under_way = UnderWay()
    for command in at_hand.under_way:
        under_way.begin(command)
    for _ in range(2):
        decision = decide(state, at_hand.now, under_way)
        assert decision.commands == at_hand.commands
        assert decision.wake_at == at_hand.wake_at


@pytest.mark.parametrize(
    ("events", "at", "may"),
    [
        (OPENED, 5.0, True),
        (OPENED[:3], 5.0, False),
        ((*OPENED, ev.CampaignPaused(5.0, "ana")), 5.0, False),
        ((*OPENED, replace(OPENED[1], at=5.0, paranoid=True)), 500.0, False),
        ((*OPENED, *made(1, 11.0), ev.EngineStarted(20.0, "t", "0", 60.0, 5.0)), 20.0, False),
        ((*OPENED, *made(1, 11.0), ev.TasksCountFailed(20.0, 0, "no answer", 30.0)), 139.9, True),
        ((*OPENED, *made(1, 11.0), ev.TasksCountFailed(20.0, 0, "no answer", 30.0)), 140.0, False),
    ],
)
def test_a_create_may_leave_only_into_an_open_wave_in_plain_sight(events, at, may):
    """The campaign runs, the wave was opened and is not suspect, and its devices were seen within two minutes."""
    assert may_create(state_after(events), 0, at) is may


def test_calls_under_way_are_known_until_they_end():
    """Creates by batch, all else by value; an end that nobody waits for is no harm."""
    under_way = UnderWay()
    for command in (CreateJob(1, 1), FindJob(2), FindJob(2), AuditWave(0)):
        under_way.begin(command)
    assert (under_way.creating, under_way.others, len(under_way)) == ({1}, {FindJob(2), AuditWave(0)}, 3)
    for command in (CreateJob(1, 1), CreateJob(7, 1), FindJob(2), FindJob(2)):
        under_way.end(command)
    assert (under_way.creating, under_way.others, len(under_way)) == (set(), {AuditWave(0)}, 1)
