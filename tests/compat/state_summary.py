"""What a campaign's state amounts to, in plain JSON: compared between the release that wrote a journal and this one.

Only what a later release must still know is in it: where everything stands, and when what is due again.
"""


def summary(state):
    """Return the state as JSON values; times are seconds on the campaign's clock."""
    return {
        "status": state.status.value,
        "reason": state.reason,
        "haltedWave": state.halted_wave,
        "haltedByGate": state.halted_by_gate,
        "exposure": state.exposure,
        "unknown": state.unknown,
        "jobs": state.jobs,
        "adopted": state.adopted,
        "parked": sorted(state.parked),
        "rejected": sorted(state.rejected),
        "duplicated": sorted(state.duplicated),
        "brakesFailed": sorted(state.brakes_failed),
        "lives": state.lives,
        "clean": state.clean,
        "stalledAt": state.stalled_at,
        "endedAt": state.ended_at,
        "lastAt": state.last_at,
        "retries": _due(state.retries),
        "lookups": _due(state.lookups),
        "counts": _due(state.counts),
        "brakes": sorted(
            [type(brake).__name__, brake.batch, brake.job_id, due] for brake, due in state.brakes.items()
        ),
        "waves": [_wave(wave) for wave in state.waves],
        "batches": {str(index): _batch(batch) for index, batch in sorted(state.batches.items())},
        "groups": [
            {
                "wave": group.wave,
                "batches": group.batches,
                "tally": _tally(group.tally),
                "enrolledFinal": group.enrolled_final,
                "retriesOver": group.retries_over,
                "settled": group.settled,
                "exposure": group.exposure,
            }
            for group in state.groups
        ],
    }


def _due(agenda):
    return sorted([item, agenda._due[item]] for item in agenda)


def _tally(tally):
    return [
        tally.planned,
        tally.enrolled,
        tally.in_progress,
        tally.succeeded,
        tally.failed,
        tally.failed_final,
    ]


def _wave(wave):
    return {
        "status": wave.status.value,
        "tally": _tally(wave.tally),
        "settledBatches": wave.settled_batches,
        "held": wave.held or "",
        "satisfiedAt": wave.satisfied_at,
        "approved": wave.approved,
        "overridden": wave.overridden,
        "stragglers": wave.stragglers,
        "audit": wave.audit.phase.value,
        "suspectUntil": wave.audit.suspect_until,
        "misses": wave.audit.misses,
        "foreign": list(wave.audit.foreign),
        "missing": list(wave.audit.missing),
    }


def _batch(batch):
    return {
        "status": batch.status.value,
        "attempt": batch.attempt,
        "doubts": batch.doubts,
        "failures": batch.failures,
        "throttles": batch.throttles,
        "looks": batch.looks,
        "jobId": batch.job_id,
        "others": sorted(batch.others),
        "stopped": batch.stopped,
        "code": batch.code,
    }
