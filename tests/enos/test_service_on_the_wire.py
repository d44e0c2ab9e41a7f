"""Reads, walks over pages and steering calls, over real sockets."""

import asyncio
import json

import pytest
from scripted_server import envelope, http

from rollout.core.campaign import JobSpec
from rollout.core.names import WaveNames
from rollout.core.outcome import Found
from rollout.core.records import JobFilter, JobRecord, TaskFilter, TaskRecord, TaskState
from rollout.enos import limits
from rollout.errors import Failure, Phase, ServiceError, SettingsError

pytestmark = pytest.mark.anyio

DONE = http(envelope())
REFUSED = http({"message": "Invalid authentication credentials"}, "401 Unauthorized")
NAME = "c1-w01-b000001-0123456789ab."


def page(rows, total=None, number=1, size=200) -> bytes:
    total = len(rows) if total is None else total
    info = {"sortedBy": None, "pageNo": number, "pageSize": size, "totalSize": total}
    return http(envelope(rows, pagination=info))


def job(number, name=NAME, firmware="fw1", kind="upgrade", **more):
    return {
        "jobId": f"j{number}",
        "name": {"defaultValue": name},
        "firmwareId": firmware,
        "type": kind,
        **more,
    }


def task(number, job_id="j1", key=None, **more):
    return {
        "taskId": f"t{number}",
        "jobId": job_id,
        "deviceKey": key or f"d{number}",
        "status": "init",
        **more,
    }


def expressions(server) -> list[str]:
    return [json.loads(call.body)["expression"] for call in server.calls if call.body]


async def find(service, **more):
    return await service.find_jobs(**{"firmware_id": "fw1", "spec": JobSpec(), "names": NAME, **more})


@pytest.mark.parametrize(
    ("call", "method", "target", "body"),
    [
        (lambda s: s.get_job("j1"), "GET", "action=get&jobId=j1&orgId=o1", None),
        (lambda s: s.start_job("j1"), "POST", "action=start&jobId=j1&orgId=o1", None),
        (lambda s: s.stop_job("j1"), "POST", "action=stop&jobId=j1&orgId=o1", None),
        (lambda s: s.delete_job("j1"), "POST", "action=delete&jobId=j1&orgId=o1", None),
        (
            lambda s: s.cancel_tasks("j1", ["d1", "d2"]),
            "POST",
            "action=cancelTask&jobId=j1&orgId=o1",
            {"deviceKeys": ["d1", "d2"]},
        ),
        (
            lambda s: s.retry_tasks("j1", ["d1"]),
            "POST",
            "action=retryTask&jobId=j1&orgId=o1",
            {"deviceKeys": ["d1"]},
        ),
    ],
    ids=["get", "start", "stop", "delete", "cancelTask", "retryTask"],
)
async def test_each_call_is_as_documented(server, connect, call, method, target, body):  # noqa: PLR0917 - a table
    """Method, query and body are those of the operation's page."""
    server.answers = [http(envelope({"jobId": "j1"}))]
    await call(connect(server.url))
    (seen,) = server.calls
    assert seen.head.startswith(f"{method} /connect-service/v2.1/ota-jobs?{target} HTTP/1.1")
    assert (json.loads(seen.body) if seen.body else None) == body


async def test_a_job_is_read(server, connect):
    """Get returns the record."""
    server.answers = [http(envelope(job(1, status="started", createTime=5)))]
    record = await connect(server.url).get_job("j1")
    assert record == JobRecord("j1", NAME, "fw1", "upgrade", "started", 5)


async def test_a_count_is_one_row_of_one_call(server, connect):
    """Counting costs one small answer, however many tasks there are."""
    server.answers = [page([task(1)], total=123_456, size=1)]
    assert (
        await connect(server.url).count_tasks(["j1", "j2"], [TaskState.FAILED, TaskState.WAITING]) == 123_456
    )
    assert json.loads(server.calls[0].body) == {
        "expression": "jobId in ('j1','j2') and status in ('failed','init')",
        "pagination": {"pageNo": 1, "pageSize": 1},
    }


async def test_a_count_of_all_names_no_status(server, connect):
    """Without states every task counts."""
    server.answers = [page([], total=0)]
    assert await connect(server.url).count_tasks(["j1"]) == 0
    assert expressions(server) == ["jobId='j1'"]


async def test_a_count_without_a_total_is_an_error(server, connect):
    """Nothing is not zero."""
    server.answers = [http(envelope([]))]
    with pytest.raises(ServiceError, match="no total"):
        await connect(server.url).count_tasks(["j1"])


# ── finding jobs ─────────────────────────────────────────────────────────────────────────────────


async def test_a_job_is_found_by_its_whole_name(server, connect):
    """The platform's search is fuzzy: similar names, other firmware and other types are not ours."""
    others = [
        job(2, NAME + "x"),
        job(3, "x" + NAME),
        job(4, firmware="fw2"),
        job(5, kind="verify"),
        job(6, None),
    ]
    server.answers = [page([*others, job(1, status="stopped", createTime="7")])]
    listing = await find(connect(server.url))
    assert listing.jobs == (Found("j1", NAME, "fw1", "upgrade", "stopped", 7),)
    assert listing.complete
    assert expressions(server) == [f"firmwareId='fw1' and type='upgrade' and name.defaultValue like '{NAME}'"]


async def test_a_waves_jobs_are_found_by_their_whole_names(server, connect):
    """Jobs of another wave, or of a campaign whose id begins as our names do, are not the wave's."""
    rows = [
        job(1),
        job(2, "c1-w01-b000002-0123456789ab."),
        job(3, "c1-w02-b000001-0123456789ab."),
        job(4, "c1-w01-b-w01-b000001-0123456789ab."),
        job(5, "c1-w01-b by hand"),
    ]
    server.answers = [page(rows), page(rows)]
    service = connect(server.url)
    wave = await find(service, names=WaveNames("c1", 0))
    assert [found.job_id for found in wave.jobs] == ["j1", "j2", "j5"]
    campaign = await find(service, names=WaveNames("c1"))
    assert [found.job_id for found in campaign.jobs] == ["j1", "j2", "j3", "j5"]
    assert ["like 'c1-w01-b'" in expressions(server)[0], "like 'c1-w'" in expressions(server)[1]] == [
        True,
        True,
    ]


async def test_older_releases_are_searched_without_names(server, connect):
    """Before 2.4 the platform cannot search by name; the comparison here is the same."""
    server.answers = [page([job(2, "other"), job(1)])]
    listing = await find(connect(server.url, search_by_name=False))
    assert [found.job_id for found in listing.jobs] == ["j1"]
    assert expressions(server) == ["firmwareId='fw1' and type='upgrade'"]


async def test_all_pages_are_read(server, connect):
    """Rows on later pages count, and each page is asked for once."""
    server.answers = [
        page([job(n) for n in range(2)], 5, 1),
        page([job(n) for n in range(2, 4)], 5, 2),
        page([job(4)], 5, 3),
    ]
    listing = await find(connect(server.url, page_size=2))
    assert [found.job_id for found in listing.jobs] == ["j0", "j1", "j2", "j3", "j4"]
    assert listing.complete
    assert len(server.calls) == 3


async def test_a_row_shifted_to_the_next_page_counts_once(server, connect):
    """Jobs made while we read repeat rows; pages that no longer agree are read again."""
    server.answers = [
        page([job(3), job(2)], 3, 1),
        page([job(2), job(1)], 4, 2),
        page([], 4, 3),
        page([job(4), job(3)], 4, 1),
        page([job(2), job(1)], 4, 2),
    ]
    listing = await find(connect(server.url, page_size=2))
    assert sorted(found.job_id for found in listing.jobs) == ["j1", "j2", "j3", "j4"]
    assert listing.complete
    assert len(server.calls) == 5


@pytest.mark.parametrize(
    "answer",
    [
        page([], total=1),
        page([job(1, "other")], total=2),
        http(envelope([])),
        http(envelope([], pagination={"pageNo": 7, "pageSize": 200, "totalSize": 0})),
        page([job(1, "other")], total=0),
    ],
    ids=["rows missing", "page short", "no total", "another page", "more rows than the total"],
)
async def test_pages_that_never_agree_are_incomplete(server, connect, answer):
    """A19: after three readings in vain, absence is not claimed, and nobody reads for ever."""
    server.answers = [answer]
    listing = await find(connect(server.url))
    assert not listing.complete
    assert len(server.calls) <= 2 * limits.SEARCH_PASSES_MAX


async def test_a_job_seen_once_is_believed_though_the_pages_disagree(server, connect):
    """Presence needs no complete listing."""
    server.answers = [page([job(1)], total=9)]
    listing = await find(connect(server.url))
    assert [found.job_id for found in listing.jobs] == ["j1"]
    assert not listing.complete


async def test_an_empty_listing_is_complete_when_the_total_says_so(server, connect):
    """Nothing found, zero told: absent."""
    server.answers = [page([])]
    listing = await find(connect(server.url))
    assert (listing.jobs, listing.complete) == ((), True)


async def test_a_listing_that_may_allow_a_create_keeps_no_connection(server, connect):
    """An answer left over from another call cannot make a job look absent."""
    server.answers = [page([])]
    service = connect(server.url)
    for _ in range(3):
        await find(service)
    assert len({call.connection for call in server.calls}) == 3


async def test_ordinary_reads_keep_their_connection(server, connect):
    """Polling does not pay for a handshake each time."""
    server.answers = [page([], total=3)]
    service = connect(server.url)
    for _ in range(3):
        await service.count_tasks(["j1"])
    assert len({call.connection for call in server.calls}) == 1


# ── witnesses ────────────────────────────────────────────────────────────────────────────────────


async def witnesses(service, keys=("d1",), known=frozenset()):
    return await service.find_witnesses(firmware_id="fw1", device_keys=list(keys), known=known)


async def test_no_task_no_witness(server, connect):
    """Devices without tasks have no witness."""
    server.answers = [page([])]
    assert await witnesses(connect(server.url), ["d1", "d2"]) == ()
    assert expressions(server) == ["deviceKey in ('d1','d2')"]


async def test_a_strange_job_of_our_firmware_is_a_witness(server, connect):
    """Known jobs and jobs of other firmware are none."""
    server.answers = [
        page([task(1, "j1"), task(2, "j2"), task(3, "j3"), task(4, "j2")]),
        http(envelope(job(2, firmware="fw1"))),
        http(envelope(job(3, firmware="fw2"))),
    ]
    assert await witnesses(connect(server.url), known=frozenset({"j1"})) == ("j2",)


@pytest.mark.parametrize(
    "answer",
    [
        http(envelope(None, 24404, "Job not found")),
        http({}, "503 Service Unavailable"),
        http(envelope({"jobId": "j2"})),
    ],
    ids=["gone", "unreadable", "firmware untold"],
)
async def test_a_job_that_cannot_be_read_is_a_witness(server, connect, answer):
    """Fail safe: a job somebody deleted may have been ours."""
    server.answers = [page([task(1, "j2")]), answer]
    assert await witnesses(connect(server.url)) == ("j2",)


async def test_many_devices_are_asked_about_in_parts(server, connect):
    """The platform publishes no longest list, so ours is short."""
    server.answers = [page([])]
    await witnesses(connect(server.url), [f"d{n}" for n in range(250)])
    assert [expression.count("'d") for expression in expressions(server)] == [100, 100, 50]


async def test_only_some_strange_jobs_are_looked_at(server, connect):
    """Beyond the bound they count unseen."""
    count = limits.WITNESS_JOBS_MAX + 2
    other = http(envelope(job(1, firmware="fw2")))
    server.answers = [page([task(n, f"j{n}") for n in range(count)]), other]
    assert await witnesses(connect(server.url)) == (f"j{count - 2}", f"j{count - 1}")


async def test_tasks_that_need_a_second_page_are_asked_for_in_halves(server, connect):
    """Rows could hide between pages that come in no order, so every answer used stands on one page."""
    server.answers = [
        page([task(1)], total=3),
        page([]),
        page([task(2, "j2"), task(3, "j3")]),
        http(envelope(job(2, firmware="fw2"))),
        http(envelope(job(3))),
    ]
    assert await witnesses(connect(server.url), ["d1", "d2", "d3"]) == ("j3",)
    assert expressions(server)[:3] == [
        "deviceKey in ('d1','d2','d3')",
        "deviceKey in ('d1')",
        "deviceKey in ('d2','d3')",
    ]


async def test_an_incomplete_listing_of_tasks_is_an_error(server, connect):
    """Half a listing proves no absence."""
    server.answers = [page([task(1)], total=2)]
    with pytest.raises(ServiceError, match="do not agree"):
        await witnesses(connect(server.url))


async def test_tasks_in_no_order_are_read_until_all_were_seen(server, connect):
    """A row missed between two pages is met in another reading."""
    server.answers = [
        page([task(1), task(2)], 3, 1),
        page([task(2)], 3, 2),
        page([task(3), task(1)], 3, 1),
        page([task(1)], 3, 2),
    ]
    hits = await connect(server.url, page_size=2).search_tasks(TaskFilter(job_ids=("j1",)))
    assert sorted(record.task_id for record in hits.rows) == ["t1", "t2", "t3"]
    assert hits.complete


async def test_tasks_that_leave_while_being_read_end_the_reading(server, connect):
    """More seen than there are left: enough for a sweep, no proof of completeness."""
    server.answers = [page([task(1), task(2)], 4, 1), page([task(3)], 2, 2), page([task(3)], 1, 1)]
    hits = await connect(server.url, page_size=2).search_tasks(TaskFilter(job_ids=("j1",)))
    assert len(hits.rows) == 3
    assert not hits.complete
    assert len(server.calls) == 3


async def test_a_missing_permission_is_no_witness(server, connect):
    """What refuses every call is told, not counted."""
    server.answers = [page([task(1, "j2")]), http(envelope(None, 99403, "Denied"))]
    with pytest.raises(ServiceError) as caught:
        await witnesses(connect(server.url))
    assert caught.value.failure is Failure.CREDENTIALS


# ── steering ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda s: s.start_job("j1"), 24615),
        (lambda s: s.stop_job("j1"), 24616),
        (lambda s: s.stop_job("j1"), 24404),
        (lambda s: s.delete_job("j1"), 24404),
        (lambda s: s.delete_job("j1"), 99404),
    ],
)
async def test_what_holds_already_is_a_success(server, connect, call, code):
    """Starting the started, stopping the stopped and deleting the deleted is done."""
    server.answers = [http(envelope(None, code, "already"))]
    await call(connect(server.url))


@pytest.mark.parametrize(
    ("call", "code", "failure"),
    [
        (lambda s: s.start_job("j1"), 24616, Failure.REFUSED),
        (lambda s: s.start_job("j1"), 24404, Failure.GONE),
        (lambda s: s.stop_job("j1"), 24500, Failure.UNAVAILABLE),
        (lambda s: s.delete_job("j1"), 24618, Failure.IN_USE),
        (lambda s: s.cancel_tasks("j1", ["d1"]), 24617, Failure.NOT_RUNNING),
        (lambda s: s.cancel_tasks("j1", ["d1"]), 24620, Failure.NOT_CANCELLABLE_NOW),
        (lambda s: s.retry_tasks("j1", ["d1"]), 24621, Failure.NOT_RETRYABLE_NOW),
    ],
)
async def test_a_refused_steering_call_says_so(server, connect, call, code, failure):
    """What happened reaches the caller, who decides; EnOS's code comes along."""
    server.answers = [http(envelope(None, code, "no"))]
    with pytest.raises(ServiceError) as caught:
        await call(connect(server.url))
    assert (caught.value.platform_code, caught.value.failure) == (code, failure)


async def test_tasks_that_moved_on_do_not_spare_the_others(server, connect):
    """Every part of a long list is tried, and the refusal of one is still told."""
    server.answers = [http(envelope(None, 24620, "moved on")), DONE]
    with pytest.raises(ServiceError) as caught:
        await connect(server.url).cancel_tasks("j1", [f"d{n}" for n in range(250)])
    assert caught.value.platform_code == 24620
    assert [len(json.loads(call.body)["deviceKeys"]) for call in server.calls] == [200, 50]


async def test_the_keys_of_tasks_come_once_each(server, connect):
    """Paging repeats rows; a device is named once."""
    rows = [task(1, key="d1"), task(2, key="d2"), task(3, key="d1", progress="odd")]
    server.answers = [page(rows)]
    assert await connect(server.url).list_task_keys("j1", [TaskState.WAITING, TaskState.NOTIFIED]) == [
        "d1",
        "d2",
    ]
    assert expressions(server) == ["jobId='j1' and status in ('init','published')"]


async def test_records_carry_along_what_is_not_known(server, connect):
    """New fields and statuses, numbers in quotes and fields of another type refuse no page."""
    odd = job(1, status="sleeping", createTime="7", upgradeScope="?", wave=[1])
    server.answers = [
        page([odd]),
        page([task(1, status="dozing", progress="40", updateTime=9, desc=None, colour="red")]),
        page([task(2, progress="odd", fromVersion=1.5, toVersion="2.0", updateTime=True)]),
    ]
    service = connect(server.url)
    assert (await service.search_jobs(JobFilter())).rows == (
        JobRecord("j1", NAME, "fw1", "upgrade", "sleeping", 7, more={"upgradeScope": "?", "wave": [1]}),
    )
    assert (await service.search_tasks(TaskFilter())).rows == (
        TaskRecord("t1", "j1", "d1", "dozing", 40, update_time_ms=9, more={"colour": "red"}),
    )
    more = {"progress": "odd", "fromVersion": 1.5, "updateTime": True}
    assert (await service.search_tasks(TaskFilter())).rows == (
        TaskRecord("t2", "j1", "d2", "init", to_version="2.0", more=more),
    )


async def test_an_empty_filter_sends_no_expression(server, connect):
    """Everything is asked for by asking for nothing."""
    server.answers = [page([])]
    await connect(server.url).search_jobs(JobFilter())
    assert json.loads(server.calls[0].body) == {"pagination": {"pageNo": 1, "pageSize": 200}}


async def test_a_filter_becomes_an_expression(server, connect):
    """Every condition is spelt as its page says."""
    server.answers = [page([])]
    service = connect(server.url)
    await service.search_jobs(JobFilter(("f1",), ("p1", "p2"), ("2.0",), "upgrade", "started", "c1"))
    await service.search_tasks(TaskFilter(("j1",), ("d1",), ("init", "failed"), ("x",), ("1.0",), ("2.0",)))
    jobs, tasks = expressions(server)
    assert jobs == (
        "firmwareId='f1' and productKey in ('p1','p2') and firmwareVersion='2.0' and type='upgrade'"
        " and status='started' and name.defaultValue like 'c1'"
    )
    assert tasks == (
        "jobId='j1' and deviceKey='d1' and status in ('init','failed') and desc='x'"
        " and fromVersion='1.0' and toVersion='2.0'"
    )


async def test_a_name_part_is_compared_here(server, connect):
    """The platform's `like` is fuzzy; ours is not."""
    server.answers = [page([job(1, "spring-1"), job(2, "Spring-2"), job(3, "sprung")])]
    hits = await connect(server.url).search_jobs(JobFilter(name_part="spring"))
    assert [record.job_id for record in hits.rows] == ["j1"]
    assert hits.complete


# ── permits, time, addresses ─────────────────────────────────────────────────────────────────────


async def test_every_read_takes_a_permit(server, connect, create_call, passing):
    """Each page is a call and waits for its turn; creates have a pace of their own."""
    taken = []

    async def permit():
        taken.append(len(server.calls))

    server.answers = [http(envelope({"jobId": "j1"})), page([job(1)], 2, 1), page([job(2)], 2, 2), DONE]
    service = connect(server.url, read_permit=permit)
    await service.create(create_call, passing)
    await find(service)
    await service.stop_job("j1")
    assert taken == [1, 2, 3]


async def silence(call, writer):
    await asyncio.Event().wait()


async def test_a_read_that_takes_too_long_is_given_up(server, connect):
    """The phase says that the request had been sent."""
    server.answers = [silence]
    with pytest.raises(ServiceError, match="time-out") as caught:
        await connect(server.url, read_timeout_s=0.05).get_job("j1")
    assert caught.value.phase is Phase.SENT


async def test_a_page_too_large_is_not_read_to_its_end(server, connect):
    """An answer beyond 4 MiB is none of ours."""
    server.answers = [http(envelope(job(1), pad="x" * limits.PAGE_REPLY_BYTES_MAX))]
    with pytest.raises(ServiceError, match="too large"):
        await connect(server.url).get_job("j1")


async def test_a_read_without_a_server_is_definite(server, connect):
    """Nothing was sent, and the phase says so."""
    service = connect(server.url)
    await service._caller.tokens.current()
    service._caller._exchange._base = service._caller._exchange._base.with_port(1)
    with pytest.raises(ServiceError) as caught:
        await service.get_job("j1")
    assert caught.value.phase is Phase.CONNECT


async def test_a_job_id_that_could_leave_its_quotes_is_not_searched_for(server, connect):
    """Nothing is sent."""
    with pytest.raises(ServiceError):
        await connect(server.url).count_tasks(["j1' or jobId='j2"])
    assert not server.calls


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example.com",
        "https://user:password@gateway.example.com",
        "https://token@gateway.example.com",
        "ftp://gateway.example.com",
        "gateway.example.com",
        "https://",
        "https://gateway.example.com?x=1",
        "https://gateway.example.com#x",
        "https://169.254.169.254",
        "http://10.0.0.1",
        "https://[broken",
        "",
    ],
)
async def test_an_unsafe_address_is_refused(connect, url):
    """No plain text beyond this machine, no credentials in an address, no cloud metadata."""
    with pytest.raises(SettingsError) as caught:
        connect(url)
    assert "password" not in str(caught.value).replace("user name or password", "")


@pytest.mark.parametrize(
    "url", ["https://gw.example.com", "https://gw.example.com/base/", "http://localhost:1", "http://[::1]:1"]
)
async def test_a_safe_address_is_taken(connect, url):
    """Encrypted anywhere, plain only to this machine."""
    connect(url)


async def test_a_path_before_the_service_s_is_kept(server, connect):
    """A gateway may live below a path."""
    server.answers = [DONE]
    await connect(server.url + "/gw").stop_job("j1")
    assert server.calls[0].target.startswith("/gw/connect-service/v2.1/ota-jobs?")
