"""Each command by itself: which calls it makes, what it records of them, and which pacer it tells."""

from random import Random

import pytest
from support.plans import build

from rollout.core import events as ev
from rollout.core.campaign import ApiRetry, JobSpec
from rollout.core.commands import AuditWave, CancelTasks, CountTasks, CreateJob, FindJob, RecordFact, StopJob
from rollout.core.fold import fold
from rollout.core.names import WaveNames, batch_name
from rollout.core.outcome import Accepted, Found, Listing, Rejected, Throttled, Unknown, Unsent
from rollout.core.reasons import BatchReason, LookupReason
from rollout.core.records import TaskState
from rollout.core.retry import CANCEL_PASSES_MAX, THROTTLES_MAX, Attempt, after_create
from rollout.core.state import State
from rollout.engine.pacing import Pacers
from rollout.engine.performer import BRAKE_TRIES, Performer
from rollout.errors import Failure, Phase, ServiceError
from rollout.journal.memory import MemoryJournal
from rollout.ports import EnginePorts, NotNow

pytestmark = pytest.mark.anyio

POLICY = ApiRetry(3, 2.0, 2.0)
PLAN, MANIFEST = build(("total", [2, 2], None, None), api_retry=POLICY)
GROWING, GROWING_MANIFEST = build(("total", [2, 2], None, JobSpec(grows=True)), api_retry=POLICY)
NAME = batch_name("c1", PLAN.batches[0])
L, S = 20.0, 5.0
AGAIN_S = 2.0 + 1.0
"""How long a failed read waits: the policy's first wait, and a backoff of 2 s at most, of which half is drawn."""


class Half(Random):
    """Draws the middle of everything."""

    def random(self):
        return 0.5


class Pace:
    """A pacer that lets everything pass and keeps what it was told."""

    def __init__(self):
        self.told = []

    async def join(self):
        self.told.append("join")

    def leave(self):
        self.told.append("leave")

    async def permit(self):
        self.told.append("permit")

    async def slow_down(self, retry_after_s):
        self.told.append(("slow down", retry_after_s))

    async def went_well(self):
        self.told.append("went well")


class Platform:
    """Answers each call with the next value of its script, or raises it; keeps what it was asked."""

    def __init__(self):
        self.script = []
        self.calls = []
        self.guarded = None

    def _answer(self, *call):
        self.calls.append(call)
        answer = self.script.pop(0)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    async def create(self, call, guard):
        try:
            await guard()
        except NotNow:
            return Unsent("withheld", withheld=True)
        return self._answer("create", call.name, call.device_keys)

    async def find_jobs(self, *, firmware_id, spec, names):
        return self._answer("find", firmware_id, spec, names)

    async def find_witnesses(self, *, firmware_id, device_keys, known):
        return self._answer("witnesses", firmware_id, device_keys, known)

    async def count_tasks(self, job_ids, states=()):
        return self._answer("count", list(job_ids), tuple(states))

    async def stop_job(self, job_id):
        return self._answer("stop", job_id)

    async def list_task_keys(self, job_id, states):
        return self._answer("keys", job_id, tuple(states))

    async def cancel_tasks(self, job_id, device_keys):
        return self._answer("cancel", job_id, list(device_keys))


class Bench:
    """A performer with everything around it in plain sight. `kept` are events made durable, `noted` those folded only."""

    def __init__(self, plan=PLAN, manifest=MANIFEST):
        self.now = 1000.0
        self.state = State.initial(plan)
        self.platform = Platform()
        self.pacers = Pacers(Pace(), Pace(), Pace())
        self.kept, self.noted, self.given_up = [], [], []
        self.is_stopping = False
        journal = MemoryJournal("c1", plan.digest)
        self.performer = Performer(
            state=self.state,
            ports=EnginePorts(manifest=manifest, journal=journal, service=self.platform),
            clock=lambda: self.now,
            pacers=self.pacers,
            rng=Half(),
            engine=self,
        )
        for event in (
            ev.CampaignStarted(1.0, "c1", plan.digest, 4, 2, 1, (2,), 5.0),
            ev.EngineStarted(1.0, "t", "0", L, S),
            ev.WaveAudited(1.0, 0, 1.0, 0),
            ev.WaveOpened(1.0, 0),
        ):
            fold(self.state, event)

    def so_far(self, *events):
        """Fold what happened before."""
        for event in events:
            fold(self.state, event)
        return self

    async def record(self, events):
        self.kept += events
        for event in events:
            fold(self.state, event)

    def note(self, event):
        self.noted.append(event)
        fold(self.state, event)

    def give_up(self, error):
        self.given_up.append(error)

    async def do(self, command, *script):
        """Perform with this script; return what was recorded by it, kept or not."""
        self.platform.script = list(script)
        before = len(self.kept), len(self.noted)
        await self.performer.perform(command)
        assert not self.platform.script, "a call was not made"
        return self.kept[before[0] :] + self.noted[before[1] :]


def sent(at=2.0, batch=0, attempt=1):
    return ev.BatchCreateSent(at, batch, attempt, "n")


def made(at=3.0, batch=0, job="j0"):
    return ev.BatchJobCreated(at, batch, 1, job)


def error(failure, **more):
    return ServiceError("went wrong", phase=Phase.ANSWERED, failure=failure, **more)


# --- creating ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "fact", "pace"),
    [
        (Accepted("j0", "r1", 0.5), ev.BatchJobCreated(1000.0, 0, 1, "j0", "r1", elapsed_s=0.5), ["went well"]),
        (Throttled(7.0), ev.BatchCreateThrottled, [("slow down", 7.0)]),
        (Unknown("odd", throttled=True), ev.BatchOutcomeUnknown, [("slow down", None)]),
        (Unknown("cut short"), ev.BatchOutcomeUnknown, []),
        (Unsent("no route"), ev.BatchCreateUnsent, []),
        (Rejected(24610, "not verified", retryable=True), ev.BatchCreateRejected, []),
    ],
)  # fmt: skip
async def test_a_create_is_intended_sent_and_weighed(outcome, fact, pace):
    """The intent is kept first; the create pacer gives the permit and hears what flow control said."""
    bench = Bench()
    kept = await bench.do(CreateJob(0, 1), outcome)
    assert kept[0] == ev.BatchCreateSent(1000.0, 0, 1, NAME)
    assert kept[1] == fact if not isinstance(fact, type) else type(kept[1]) is fact
    assert len(kept) == 2
    assert bench.platform.calls == [("create", NAME, MANIFEST.json_slice(0, PLAN.batches[0].stop))]
    assert bench.pacers.create.told == ["join", "permit", *pace, "leave"]
    assert bench.pacers.read.told == bench.pacers.brake.told == []
    assert bench.given_up == []


async def test_nothing_is_created_once_it_may_not():
    """A run that ends, or a pause, before the permit: no intent. After it: the intent, and nothing is sent."""
    bench = Bench()
    bench.is_stopping = True
    assert await bench.do(CreateJob(0, 1)) == []
    bench.is_stopping = False
    bench.so_far(ev.CampaignPaused(5.0, "ana"))
    assert await bench.do(CreateJob(0, 1)) == []
    assert bench.pacers.create.told == ["join", "leave"] * 2

    class LateStop(Pace):
        async def permit(self):
            late.is_stopping = True

    late = Bench()
    late.performer._pacers = Pacers(LateStop(), late.pacers.read, late.pacers.brake)
    first, second = await late.do(CreateJob(0, 1))
    assert type(first) is ev.BatchCreateSent
    assert type(second) is ev.BatchCreateUnsent
    assert second.withheld
    assert late.platform.calls == []


async def test_tries_in_a_row_count_failures_and_refusals_by_flow_control():
    """The wait after a try grows with both: this is the third in a row."""
    policy = ApiRetry(6, 0.5, 60.0)
    bench = Bench(*build(("total", [2, 2], None, None), api_retry=policy)).so_far(
        sent(),
        ev.BatchCreateUnsent(2.0, 0, 1, "no route", 2.0),
        sent(3.0, 0, 2),
        ev.BatchCreateThrottled(3.0, 0, 2, 3.0),
    )
    kept = await bench.do(CreateJob(0, 3), Throttled(None))
    third = Attempt(0, 3, 3)
    assert kept[1] == after_create(Throttled(None), third, policy, search_lag_s=S, draw=0.5, now=1000.0)


async def test_refused_credentials_end_the_run():
    """No batch can get through, so the run ends with the platform's own words."""
    bench = Bench()
    await bench.do(CreateJob(0, 1), Rejected(401, "bad key", "r9", credentials=True))
    (told,) = bench.given_up
    assert told.failure is Failure.CREDENTIALS
    assert told.phase is Phase.REFUSED
    assert told.request_id == "r9"
    assert told.message == "the platform refuses our credentials: 401 bad key"


async def test_a_platform_out_of_reach_ends_a_run_without_jobs():
    """After as many failures in a row as the plan allows; with a job on the platform an outage is outlasted."""
    for earlier, ends in (((), True), ((sent(1.5, 1), made(1.6, 1, "j1")), False)):
        bench = Bench().so_far(*earlier)
        for attempt in (1, 2, 3):
            assert bench.given_up == []
            await bench.do(CreateJob(0, attempt), Unsent("no route"))
        assert bool(bench.given_up) is ends
        if ends:
            assert bench.given_up[0].failure is Failure.UNREACHABLE
            assert bench.given_up[0].phase is Phase.CONNECT
            assert bench.given_up[0].message.endswith("(3 attempts)")
            assert bench.given_up[0].hint == "the campaign goes on when it is run again"


async def test_endless_flow_control_ends_the_run():
    """Refused `THROTTLES_MAX` times in a row, jobs or not."""
    bench = Bench().so_far(sent(1.5, 1), made(1.6, 1, "j1"))
    for attempt in range(1, THROTTLES_MAX + 1):
        assert bench.given_up == []
        await bench.do(CreateJob(0, attempt), Throttled())
    (told,) = bench.given_up
    assert told.failure is Failure.THROTTLED
    assert told.phase is Phase.REFUSED
    assert str(THROTTLES_MAX) in told.message
    assert told.hint == "lower limits.create.rate"


# --- finding ----------------------------------------------------------------------------------------------------


def doubtful(at=10.0):
    """A batch whose create of the wave's second job has no known outcome since `at`; the first has its job."""
    return Bench().so_far(
        sent(2.0, 1), made(3.0, 1, "j1"), sent(), ev.BatchOutcomeUnknown(at, 0, 1, "cut short", look_at=at)
    )


SPEC = PLAN.campaign.waves[0].job
FIND = ("find", "fw1", SPEC, NAME)
NOTHING = Listing((), complete=True)


async def test_a_lookup_asks_for_the_whole_name_and_adopts():
    """The job is looked for by firmware, settings and name; found, it is the batch's."""
    bench = doubtful()
    (fact,) = await bench.do(FindJob(0), Listing((Found("j9", NAME, "fw1", "upgrade"),), complete=True))
    assert bench.platform.calls == [FIND]
    assert (type(fact), fact.at, fact.batch, fact.attempt, fact.job_id, fact.adopted) == (
        ev.BatchJobCreated, 1000.0, 0, 1, "j9", True,
    )  # fmt: skip
    assert bench.pacers.read.told == bench.pacers.brake.told == ["went well"]


@pytest.mark.parametrize(
    ("since", "listing", "asks"),
    [
        (1000.0 - L - S, NOTHING, True),
        (1000.0 - L - S + 0.1, NOTHING, False),
        (1000.0 - L - S, Listing((), complete=False), False),
    ],
)
async def test_devices_are_asked_only_where_absence_could_be_proved(since, listing, asks):
    """A complete search, begun L + S after the attempt's end, that found nothing; all known jobs are named."""
    bench = doubtful(since)
    (fact,) = await bench.do(FindJob(0), listing, *([()] if asks else []))
    keys = MANIFEST.keys(PLAN.batches[0].start, PLAN.batches[0].stop)
    assert bench.platform.calls[1:] == ([("witnesses", "fw1", keys, frozenset({"j1"}))] if asks else [])
    assert type(fact) is (ev.BatchResendAllowed if asks else ev.BatchLookupInconclusive)


async def test_the_witnesses_of_a_later_batch_are_its_own_devices():
    """Keys are those of the batch, from its start to its stop."""
    bench = Bench().so_far(sent(2.0, 1), ev.BatchOutcomeUnknown(10.0, 1, 1, "cut short", look_at=10.0))
    await bench.do(FindJob(1), NOTHING, ())
    second = PLAN.batches[1]
    assert bench.platform.calls[1][2] == MANIFEST.keys(second.start, second.stop)


async def test_devices_with_tasks_park_the_batch():
    """What the witnesses said reaches the verdict."""
    (fact,) = await doubtful().do(FindJob(0), NOTHING, ("j7",))
    assert (type(fact), fact.reason, fact.exposed) == (ev.BatchParked, BatchReason.WITNESSED, True)


async def test_a_failed_lookup_waits_longer_each_time():
    """It settles nothing and is repeated; an answer begins the waits anew."""
    bench = doubtful()
    policy_s = [2.0 + 1.0, 2.0 + 1.0]
    for wait_s in policy_s:
        facts = await bench.do(FindJob(0), error(Failure.UNAVAILABLE))
        assert facts == [
            ev.BatchLookupInconclusive(1000.0, 0, LookupReason.FAILED, 1000.0 + wait_s, "went wrong")
        ]
    assert bench.performer._read_failures == {FindJob(0): 2}
    await bench.do(FindJob(0), Listing((), complete=False))
    assert bench.performer._read_failures == {}


# --- auditing ---------------------------------------------------------------------------------------------------


async def test_an_audit_lists_the_waves_names():
    """A complete listing is compared and kept; an incomplete or failed one is only noted, and repeated."""
    bench = Bench().so_far(sent(), made(990.0))
    whole = Listing((Found("j0", NAME, "fw1", "upgrade"),), complete=True)
    facts = await bench.do(AuditWave(0), whole)
    assert bench.platform.calls == [("find", "fw1", SPEC, WaveNames("c1", 0))]
    assert [(type(f), f.at, f.began_at, f.seen) for f in facts] == [(ev.WaveAudited, 1000.0, 1000.0, 1)]
    assert bench.kept == facts
    assert bench.pacers.read.told == ["went well"]
    for answer, message in (
        (Listing((), complete=False), "the listing was not complete"),
        (error(Failure.UNAVAILABLE), "went wrong"),
    ):
        (fact,) = await bench.do(AuditWave(0), answer)
        assert (type(fact), fact.at, fact.wave, fact.retry_at) == (
            ev.WaveAuditFailed,
            1000.0,
            0,
            1000.0 + AGAIN_S,
        )
        assert fact.message == message
    assert len(bench.noted) == 2
    assert bench.performer._read_failures == {AuditWave(0): 2}
    await bench.do(AuditWave(0), whole)
    assert bench.performer._read_failures == {}


# --- counting ---------------------------------------------------------------------------------------------------

ALL = ("count", ["j0", "j1"], ())
MOVING = ("count", ["j0", "j1"], (TaskState.NOTIFIED, TaskState.UPGRADING))
DONE = ("count", ["j0", "j1"], (TaskState.SUCCEEDED,))
FAILED = ("count", ["j0", "j1"], (TaskState.FAILED,))


def with_jobs(plan=PLAN, manifest=MANIFEST):
    return Bench(plan, manifest).so_far(sent(), made(), sent(2.0, 1), made(3.0, 1, "j1"))


async def test_a_count_asks_for_the_ends_last():
    """Tasks, at work, succeeded, failed, in that order, over all jobs of the group."""
    bench = with_jobs()
    (fact,) = await bench.do(CountTasks(0), 4, 2, 1, 0)
    assert bench.platform.calls == [ALL, MOVING, DONE, FAILED]
    assert (fact.at, fact.asked_at, fact.group, fact.jobs) == (1000.0, 1000.0, 0, 2)
    assert (fact.enrolled, fact.in_progress, fact.succeeded, fact.failed) == (4, 2, 1, 0)
    assert bench.kept == [fact]
    bench.now = 1100.0
    (again,) = await bench.do(CountTasks(0), 2, 1, 0)
    assert bench.noted == [again], "the same numbers are no news"
    assert bench.platform.calls[4:] == [MOVING, DONE, FAILED], "no further task can appear"


async def test_the_last_count_looks_for_late_tasks():
    """Once all have ended, the tasks are counted once more; where devices may join, they are counted each time."""
    bench = with_jobs()
    await bench.do(CountTasks(0), 4, 2, 1, 0)
    bench.now = 1100.0
    (fact,) = await bench.do(CountTasks(0), 0, 3, 1, 5)
    assert bench.platform.calls[4:] == [MOVING, DONE, FAILED, ALL]
    assert (fact.enrolled, fact.succeeded, fact.failed) == (5, 3, 1)
    growing = with_jobs(GROWING, GROWING_MANIFEST)
    await growing.do(CountTasks(0), 4, 2, 1, 0)
    growing.now = 1100.0
    await growing.do(CountTasks(0), 4, 2, 1, 0)
    assert growing.platform.calls[4:] == [ALL, MOVING, DONE, FAILED]


async def test_a_failed_count_is_noted():
    """It is no history; the group is asked again later."""
    bench = with_jobs()
    facts = await bench.do(CountTasks(0), 4, error(Failure.NO_RESPONSE))
    assert facts == bench.noted == [ev.TasksCountFailed(1000.0, 0, "went wrong", 1000.0 + AGAIN_S)]
    assert bench.performer._read_failures == {CountTasks(0): 1}
    await bench.do(CountTasks(0), 4, 2, 1, 0)
    assert bench.performer._read_failures == {}


# --- braking ----------------------------------------------------------------------------------------------------

STOP, CANCEL = StopJob(0, "j0"), CancelTasks(0, "j0")


async def test_a_job_is_stopped():
    """One call, kept as done."""
    bench = with_jobs()
    assert await bench.do(STOP, error(Failure.UNAVAILABLE)) != []
    assert await bench.do(STOP, None) == [ev.JobStopped(1000.0, 0, "j0")]
    assert bench.platform.calls == [("stop", "j0")] * 2
    assert bench.performer._read_failures == {}


@pytest.mark.parametrize("keys", [["a", "b"], []])
async def test_waiting_tasks_are_cancelled_by_their_keys(keys):
    """Keys of waiting and notified devices; no call without any; those at work are counted."""
    bench = with_jobs()
    script = [keys, *([None] if keys else []), 3]
    (fact,) = await bench.do(CANCEL, *script)
    asked = ("keys", "j0", (TaskState.WAITING, TaskState.NOTIFIED))
    cancelled = [("cancel", "j0", keys)] if keys else []
    assert bench.platform.calls == [asked, *cancelled, ("count", ["j0"], (TaskState.UPGRADING,))]
    assert (type(fact), fact.at, fact.batch, fact.job_id) == (ev.JobTasksCancelled, 1000.0, 0, "j0")
    assert (fact.cancelled, fact.moving) == (len(keys), 3)
    assert fact.again_at == (1000.0 + S if keys else None)
    assert bench.pacers.brake.told == ["went well"]


async def test_waiting_tasks_are_looked_for_a_bounded_number_of_times():
    """As often as the rule says; an answer begins the waits of failures anew."""
    bench = with_jobs()
    await bench.do(CANCEL, error(Failure.UNAVAILABLE))
    facts = [(await bench.do(CANCEL, ["a"], None, 0))[0] for _ in range(CANCEL_PASSES_MAX)]
    assert [fact.again_at is None for fact in facts] == [False] * (CANCEL_PASSES_MAX - 1) + [True]
    assert bench.performer._read_failures == {}


@pytest.mark.parametrize("command", [STOP, CANCEL])
@pytest.mark.parametrize(
    ("failure", "again", "ends"),
    [
        (Failure.UNAVAILABLE, True, False),
        (Failure.NOT_CANCELLABLE_NOW, True, False),
        (Failure.NOT_RUNNING, False, False),
        (Failure.REFUSED, False, False),
        (Failure.CREDENTIALS, False, True),
    ],
)
async def test_a_brake_that_fails_says_whether_it_is_tried_again(command, failure, again, ends):
    """What may pass is repeated; a refusal is told, and ends no run, since other jobs are to be stopped yet."""
    bench = with_jobs()
    (fact,) = await bench.do(command, error(failure))
    retry_at = 1000.0 + AGAIN_S if again else None
    assert fact == ev.JobStopFailed(1000.0, 0, "j0", "went wrong", retry_at)
    assert bool(bench.given_up) is ends
    assert bool(bench.performer._read_failures) is again


async def test_a_brake_is_given_up_in_the_end():
    """After `BRAKE_TRIES` failures in a row."""
    bench = with_jobs()
    facts = [(await bench.do(STOP, error(Failure.UNAVAILABLE)))[0] for _ in range(BRAKE_TRIES)]
    assert [fact.retry_at is None for fact in facts] == [False] * (BRAKE_TRIES - 1) + [True]


# --- what every failed call has in common -------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "lane"), [(CountTasks(0), "read"), (STOP, "brake")])
async def test_flow_control_slows_the_pacer_of_its_kind(command, lane):
    """Reads that come too fast do not hold the brakes up, nor the other way round."""
    bench = with_jobs()
    await bench.do(command, error(Failure.THROTTLED, retry_after_s=9.0))
    told = {"read": bench.pacers.read.told, "brake": bench.pacers.brake.told}
    assert told.pop(lane) == [("slow down", 9.0)]
    assert [*told.values()] == [[]]
    assert bench.given_up == []


@pytest.mark.parametrize(
    ("failure", "jobs", "tries", "ends"),
    [
        (Failure.CREDENTIALS, True, 1, True),
        (Failure.REFUSED, True, 1, True),
        (Failure.UNAVAILABLE, True, 5, False),
        (Failure.UNAVAILABLE, False, 2, False),
        (Failure.UNAVAILABLE, False, 3, True),
    ],
)
async def test_a_read_that_cannot_succeed_ends_the_run(failure, jobs, tries, ends):
    """Refused for good, or never answered while nothing was created; else an outage is outlasted."""
    bench = with_jobs() if jobs else Bench()
    failed = error(failure)
    for _ in range(tries):
        await bench.do(AuditWave(0), failed)
    assert bench.given_up == ([failed] if ends else [])


async def test_a_decision_becomes_a_fact():
    """It is kept as it was decided."""
    bench = Bench()
    fact = ev.CampaignPaused(5.0, "ana")
    assert await bench.do(RecordFact(fact)) == [fact]
    assert bench.kept == [fact]
