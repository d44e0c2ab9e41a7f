"""The list of jobs: the batches that were tried, as a table and as CSV."""

import csv
import io

from rollout.core import events as e
from rollout.views.jobs import COLUMNS, HEAD, job_rows, jobs_csv, jobs_table

TRIED = (
    e.CampaignStarted(100.0, "demo", "d", 30, 3, 2),
    e.EngineStarted(100.0, "r", "1", 60.0, 5.0),
    e.WaveAudited(100.0, 0, 100.0, 0),
    e.WaveOpened(100.0, 0),
    e.BatchCreateSent(110.0, 0, 1, "n"),
    e.BatchJobCreated(110.0, 0, 1, "=1+2"),
)


def test_planned_batches_are_shown_only_where_they_are_asked_for(folded):
    """Batches that nobody tried are not listed, but for the filter that wants them; a wave may be picked."""
    state = folded(*TRIED)
    assert [row["batch"] for row in job_rows(state)] == ["canary/0001"]
    assert [row["batch"] for row in job_rows(state, status="planned")] == ["canary/0002", "total/0001"]
    assert [row["batch"] for row in job_rows(state, status="planned", wave=1)] == ["total/0001"]
    assert list(job_rows(state, wave=1)) == []


def test_the_table_has_a_dash_for_what_there_is_not(folded):
    """Code, message and request id of a job that came at once are dashes; numbers end on the right."""
    head, row = jobs_table(job_rows(folded(*TRIED)))
    assert head.split("  ")[0] == HEAD[0]
    assert row.split() == ["canary/0001", "created", "=1+2", "5", "-", "-", "1", "-"]
    assert row.index("5") == head.index("DEVICES") + len("DEVICES") - 1


def test_a_spreadsheet_computes_no_cell(folded):
    """A cell that begins like a formula gets a quote, unless the CSV is for a program."""
    rows = list(job_rows(folded(*TRIED)))
    for raw, job in ((False, "'=1+2"), (True, "=1+2")):
        text = jobs_csv(rows, raw=raw)
        assert not text.endswith("\n")
        head, cells = csv.reader(io.StringIO(text))
        assert tuple(head) == COLUMNS
        assert cells[COLUMNS.index("jobId")] == job
