"""A campaign's core against a platform of a few dozen lines, in virtual time, without tasks or sockets.

The driver folds and decides; commands take virtual time and come back as facts through the same pure rules
the engine uses. Calls can be lost, answered late or throttled, the process can die at any step, and the
platform's search lags. The real engine over real sockets is tested elsewhere; here thousands of campaigns a
minute go through the protocol.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from random import Random

from rollout.core import events as ev
from rollout.core.audit import compare
from rollout.core.commands import AuditWave, CountTasks, CreateJob, FindJob, Record, StopJob, UnderWay
from rollout.core.decide import decide, may_create
from rollout.core.fold import fold, is_news
from rollout.core.names import batch_name, wave_prefix
from rollout.core.outcome import Accepted, Found, Listing, Lookup, Rejected, Throttled, Unknown, Unsent
from rollout.core.retry import after_create, after_lookup
from rollout.core.state import State

L, S = 20.0, 5.0


class Crash(Exception):
    """The process dies here."""


@dataclass
class Job:
    job_id: str
    name: str
    at: float
    devices: int
    stopped_at: float = inf


@dataclass
class Platform:
    """Jobs by arrival; devices end `duration` after their job's start, a share of them failed."""

    rng: Random
    duration: float = 600.0
    failing: float = 0.0
    silent: float = 0.0
    lag: float = 2.0
    jobs: list[Job] = field(default_factory=list)
    made: int = 0

    def create(self, name, devices, at):
        self.made += 1
        self.jobs.append(Job(f"{self.made:024x}", name, at, devices))
        return self.jobs[-1].job_id

    def listing(self, match, now, firmware="fw1", kind="upgrade"):
        seen = [j for j in self.jobs if match(j.name) and j.at + self.lag <= now]
        return Listing(
            tuple(Found(j.job_id, j.name, firmware, kind, "started", int(j.at * 1000)) for j in seen), True
        )

    def count(self, job_ids, now):
        """Return (enrolled, in progress, succeeded, failed)."""
        total = Counter()
        for job in self.jobs:
            if job.job_id in job_ids and job.at + self.lag <= now:
                quiet = round(job.devices * self.silent)
                failed = round(job.devices * self.failing)
                total["enrolled"] += job.devices
                if now >= job.at + self.duration:
                    total["failed"] += failed
                    total["succeeded"] += job.devices - failed - quiet
                else:
                    total["in_progress"] += job.devices - quiet
        return total["enrolled"], total["in_progress"], total["succeeded"], total["failed"]


class World:
    """One campaign: its journal, its platform and the lives of its runner."""

    def __init__(self, plan, *, seed=0, faults=(), **platform):
        self.plan = plan
        self.rng = Random(seed)
        self.platform = Platform(self.rng, **platform)
        self.faults = dict(faults)
        self.journal = []
        self.now = 1000.0
        self.steps = 0
        self.crash_at = None
        self.creates = 0
        self.exposed_max = 0
        self.reached = Counter()
        self.counts_fail = False
        self.witness = ()

    # --- one life ------------------------------------------------------------------------------------------

    def live(self, *, until=inf, orders=()):
        """Run from the journal's end until nothing is due any more, or `until`; return the state."""
        self.state = State.initial(self.plan)
        for event in self.journal:
            fold(self.state, event)
        self.now = max([self.now] + [event.at for event in self.journal])
        self.due, self.tick, self.under_way = [], 0, UnderWay()
        if self.state.closed:
            return self.state
        if not self.journal:
            self.record(
                ev.CampaignStarted(
                    self.now, "c1", self.plan.digest, self.plan.devices, len(self.plan.batches), 1
                )
            )
        self.record(ev.EngineStarted(self.now, "test", "0", L, S))
        for order in orders:
            self.record(order(self.now))
        while True:
            decision = decide(self.state, self.now, self.under_way)
            for command in decision.commands:
                if isinstance(command, Record):
                    self.record(command.event)
                else:
                    self.under_way.begin(command)
                    self.later(0.0, self.begin, command)
            if any(isinstance(c, Record) for c in decision.commands):
                continue
            assert decision.wake_at > self.now or decision.commands, (
                "woken for nothing: the engine would spin"
            )
            self.check()
            wake = min(decision.wake_at, self.due[0][0] if self.due else inf)
            if wake == inf or wake > until or self.state.closed:
                return self.state
            self.now = max(self.now, wake)
            while self.due and self.due[0][0] <= self.now:
                _, _, act, args = heapq.heappop(self.due)
                act(*args)

    def record(self, *events):
        for event in events:
            self.step()
            self.journal.append(event)
            fold(self.state, event)
            self.reached[event.kind] += 1

    def step(self):
        self.steps += 1
        if self.steps == self.crash_at:
            raise Crash

    def later(self, wait, act, *args):
        self.tick += 1
        heapq.heappush(self.due, (self.now + wait, self.tick, act, args))

    def done(self, command, *events):
        self.under_way.end(command)
        self.record(*events)

    def check(self):
        cap = self.plan.campaign.limits.devices_in_progress
        self.exposed_max = max(self.exposed_max, self.state.exposure)
        assert cap is None or self.state.exposure <= cap
        tally = self.state.tally()
        assert tally.planned == self.plan.devices
        assert self.state.unknown + len(self.under_way.creating) <= max(
            self.plan.campaign.limits.create.in_flight, self.state.unknown
        )

    # --- commands ------------------------------------------------------------------------------------------

    def begin(self, command):
        match command:
            case CreateJob():
                self.create(command)
            case FindJob():
                self.later(self.rng.uniform(0.0, 0.2), self.find, command, self.now)
            case CountTasks():
                self.later(self.rng.uniform(0.0, 0.2), self.count, command, self.now)
            case AuditWave():
                self.later(self.rng.uniform(0.0, 0.2), self.audit, command, self.now)
            case StopJob():
                for job in self.platform.jobs:
                    if job.job_id == command.job_id:
                        job.stopped_at = self.now
                self.done(command, ev.JobStopped(self.now, command.batch, command.job_id))

    def create(self, command):
        batch = self.plan.batches[command.batch]
        name = batch_name("c1", batch)
        if not may_create(self.state, command.batch, self.now):
            self.under_way.end(command)
            return
        self.record(ev.BatchCreateSent(self.now, command.batch, command.attempt, name))
        connect = self.rng.uniform(0.0, 1.0)
        kinds, weights = zip(*({"ok": 1.0} | self.faults).items(), strict=True)
        self.later(connect, self.send, command, self.rng.choices(kinds, weights)[0], name, batch.devices)

    def send(self, command, fault, name, devices):
        self.step()
        self.creates += 1
        reply, outcome = 0.1, None
        match fault:
            case "ok":
                outcome = Accepted(self.platform.create(name, devices, self.now))
            case "answer_lost":
                self.platform.create(name, devices, self.now)
                outcome = Unknown("no answer")
            case "late":  # takes effect when the caller has long given up, but within L of its giving up
                self.later(self.rng.uniform(0.0, 2.0 + L), self.late, name, devices)
                reply, outcome = 2.0, Unknown("no answer")
            case "request_lost":
                outcome = Unknown("no answer")
            case "unsent":
                outcome = Unsent("no connection")
            case "throttled":
                outcome = Throttled(None)
            case "rejected":
                outcome = Rejected(24404, "Firmware not found")
        self.later(reply, self.answer, command, outcome)

    def late(self, name, devices):
        self.platform.create(name, devices, self.now)

    def answer(self, command, outcome):
        touched = self.state.batches[command.batch]
        tries = touched.failures + touched.throttles + 1
        fact = after_create(
            outcome,
            batch=command.batch,
            attempt=command.attempt,
            tries=tries,
            policy=self.plan.campaign.api_retry,
            draw=self.rng.random(),
            now=self.now,
        )
        self.done(command, fact)

    def find(self, command, began_at):
        planned, batch = self.plan.batches[command.batch], self.state.batches[command.batch]
        name = batch_name("c1", planned)
        listing = self.platform.listing(lambda n: n == name, began_at)
        fact = after_lookup(
            Lookup(listing.jobs, True, self.witness),
            batch=command.batch,
            attempt=batch.attempt,
            doubts=batch.doubts,
            looks=batch.looks,
            began_at=began_at,
            ended_at=batch.ended_at,
            latest_effect_s=L,
            search_lag_s=S,
            policy=self.plan.campaign.api_retry,
            draw=self.rng.random(),
            now=self.now,
        )
        self.done(command, fact)

    def audit(self, command, began_at):
        prefix = wave_prefix("c1", command.wave)
        listing = self.platform.listing(lambda n: n.startswith(prefix), began_at)
        self.done(command, *compare(self.state, command.wave, listing, began_at=began_at, now=self.now))

    def count(self, command, asked_at):
        if self.counts_fail:
            self.under_way.end(command)
            fold(self.state, ev.TasksCountFailed(self.now, command.group, "no answer", self.now + 30.0))
            return
        group = self.state.groups[command.group]
        jobs = [self.state.batches[i].job_id for i in group.batches]
        fact = ev.TasksCounted(
            self.now, command.group, asked_at, len(jobs), *self.platform.count(set(jobs), asked_at)
        )
        self.under_way.end(command)
        if is_news(self.state, fact):
            self.record(fact)
        else:
            fold(self.state, fact)

    # --- what must hold ------------------------------------------------------------------------------------

    def crash_in(self, steps):
        self.crash_at = self.steps + steps

    def assert_one_job_each(self):
        names = Counter(job.name for job in self.platform.jobs)
        assert set(names.values()) <= {1}, {n: c for n, c in names.items() if c > 1}
        return set(names)

    def assert_complete(self):
        names = self.assert_one_job_each()
        assert names == {batch_name("c1", batch) for batch in self.plan.batches}
