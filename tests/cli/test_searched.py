"""Plans whose devices come from EnOS's search: asked once, kept, asked again when told; never a part of the fleet."""

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.http.server import EmulatorConfig, serve

SOURCE = "enos:productKey=inverter-x"
PLAN = f"""\
version: 1
id: searched
orgId: o1
firmwareId: f1
seed: 7
job: {{upgradeTimeout: 3600, maximumConcurrency: 10}}
devices: {{from: [{SOURCE}], perJob: 10}}
waves:
  - name: canary
    size: 25%
    spreadBy: deviceTags.site
    gate: {{success: {{min: 90%, of: resolved}}}}
  - name: total
    size: rest
limits:
  create: {{rate: 50/s, inFlight: 4}}
  read: {{rate: 500/s, burst: 50, inFlight: 8}}
apiRetry: {{first: 10ms, max: 20ms}}
"""


def fleet(number):
    """Devices of the product asked for at four sites, and as many of another one."""
    for i in range(number):
        yield f"SN-{i:04d}", {"productKey": "inverter-x", "tags.site": f"s{i % 4}"}
        yield f"XX-{i:04d}", {"productKey": "other"}


class Platform:
    """An emulator in a thread of its own; `running` is it."""

    def __init__(self, number):
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._config = EmulatorConfig(org_id="o1", devices=fleet(number))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self):
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self):
        self._left = asyncio.Event()
        async with serve(self._config) as self.running:
            self._ready.set()
            await self._left.wait()

    @property
    def url(self):
        return self.running.url

    def stop(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._left.set)
            self._thread.join(10)


@pytest.fixture
def platforms():
    """Starts emulators with a fleet of a size."""
    started = []

    def start(number=40):
        started.append(Platform(number))
        return started[-1]

    yield start
    for platform in started:
        platform.stop()


@pytest.fixture
def searched(desk):
    """The desk with a plan whose devices EnOS lists, and nobody to ask by default."""
    (desk.path / "plan.yaml").write_text(PLAN)
    text = (desk.path / "rollout.toml").read_text()
    (desk.path / "rollout.toml").write_text(text.replace('default_profile = "emulator"\n', ""))
    return desk


def preview(desk, *arguments):
    """Return the preview of the plan as JSON."""
    result = desk("plan", "plan.yaml", "-o", "json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_fleet_is_what_enos_lists(searched, platforms):
    """Found, asked and kept is told; only the devices searched for are in the plan, spread by their tags."""
    result = searched("plan", "plan.yaml", "--url", platforms().url, "--waves-csv", "waves.csv")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[2] == "Devices    40 rows · 40 in scope"
    assert lines[3].startswith(f"Listed     {SOURCE}: 40 devices at http://127.0.0.1:")
    assert lines[3].endswith(", kept until --refresh")
    assert result.stderr.splitlines()[-1] == f"{SOURCE}: 40 devices"
    rows = [line.split(",") for line in (searched.path / "waves.csv").read_text().splitlines()[1:]]
    assert sorted(key for *_, key in rows) == [f"SN-{i:04d}" for i in range(40)]
    sites = sorted(int(key[3:]) % 4 for wave, *_, key in rows if wave == "canary")
    assert len(sites) == 10
    assert {sites.count(site) for site in range(4)} == {2, 3}


def test_planning_again_asks_nobody(searched, platforms):
    """With the platform gone, and with none named, plan, validate and a rehearsal use the list that is kept."""
    platform = platforms()
    url = platform.url
    first = preview(searched, "--url", url)
    assert first["devices"]["listings"][0] | {"askedAt": 0, "askedAtIso": ""} == {
        "source": SOURCE,
        "url": url,
        "found": 40,
        "askedAt": 0,
        "askedAtIso": "",
    }
    platform.stop()
    assert preview(searched) == first
    assert preview(searched, "--url", url)["digest"] == first["digest"]
    assert searched("validate", "plan.yaml").exit_code == 0
    assert len(list((searched.path / ".rollout/searched").glob("plan.listing-*.gz"))) == 1
    done = searched.run("run", "plan.yaml", "--emulator", "--speed", "2000", "--yes", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["devices"]["succeeded"] == 40


def test_refresh_asks_again_and_another_platform_is_asked(searched, platforms):
    """New devices come in when told; a list of one platform is not taken for another's; old lists do not pile up."""
    small, large = platforms(40), platforms(60)
    assert preview(searched, "--url", small.url)["devices"]["rows"] == 40
    small.running.platform.report_device(0.0, "SN-0999", {"productKey": "inverter-x", "tags.site": "s1"})
    assert preview(searched, "--url", small.url)["devices"]["rows"] == 40
    assert preview(searched, "--url", small.url, "--refresh")["devices"]["rows"] == 41
    assert preview(searched, "--url", large.url)["devices"]["rows"] == 60
    assert len(list((searched.path / ".rollout/searched").glob("plan.listing-*.gz"))) == 1


def test_a_campaign_that_has_begun_keeps_its_devices(searched, platforms):
    """Asked again after the first run, other devices are another plan; the campaign and its list stay as they were."""
    platform = platforms()
    begun = preview(searched, "--url", platform.url)["digest"]
    arguments = ("--emulator", "--speed", "2000", "--yes", "--until", "canary")
    assert searched.run("run", "plan.yaml", *arguments).returncode == 0
    platform.running.platform.report_device(0.0, "SN-0999", {"productKey": "inverter-x", "tags.site": "s1"})
    result = searched("plan", "plan.yaml", "--url", platform.url, "--refresh")
    assert result.exit_code == 2
    assert "R601" in result.stderr
    assert preview(searched)["digest"] == begun
    assert not list((searched.path / ".rollout").glob(".planning-*"))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["plan", "plan.yaml"], "and no platform is named"),
        (["validate", "plan.yaml"], "and no platform is named"),
        (
            ["run", "plan.yaml", "--emulator"],
            "and the emulator inside this process has no devices of its own",
        ),
    ],
)
def test_with_nobody_to_ask_it_says_what_it_needs(searched, command, told):
    """R171 at the source's place, with the ways out; a list given by hand is one of them."""
    result = searched(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"plan.yaml:7:18: R171 {SOURCE}: EnOS must be asked for these devices, {told}" in result.stderr
    assert "--profile NAME, --url or ENOS_URL" in result.stderr
    assert searched("validate", "plan.yaml", "--plan-only").exit_code == 0
    (searched.path / "plan.yaml").write_text(PLAN.replace("deviceTags.site", "site"))
    assert searched("plan", "plan.yaml", "--devices", "devices.csv").exit_code == 0


def test_another_organisation_is_not_asked(searched, platforms):
    """The profile's organisation and the plan's must agree before anything is sent."""
    (searched.path / "rollout.toml").write_text(
        f'[profiles.here]\nurl = "{platforms().url}"\norg_id = "o2"\n'
    )
    result = searched("plan", "plan.yaml", "--profile", "here")
    assert result.exit_code == 2
    assert "[R405]" in result.stderr


def test_what_may_pass_is_asked_again(searched, platforms):
    """Failures, lost and cut answers and revoked tokens in mid-list end in the same whole list."""
    platform = platforms(3000)
    kinds = ["error_503", "truncated", "reset", "unauthorized", "http_429"]
    platform.running.service.faults.change(FaultPlan.parse([f"{kind}=0.15,on=device" for kind in kinds]))
    assert preview(searched, "--url", platform.url)["devices"]["rows"] == 3000
    assert sum(map(bool, platform.running.service.faults.struck)) >= 3


@pytest.mark.parametrize("fault", ["error_503=1", "reset=1", "error_24500=1", "unauthorized=1"])
def test_a_platform_that_cannot_list_ends_the_planning(searched, platforms, fault):
    """Exit 1 with what went wrong; nothing is saved, and an earlier plan stays as it is."""
    platform = platforms()
    platform.running.service.faults.change(FaultPlan.parse([f"{fault},on=device"]))
    result = searched("plan", "plan.yaml", "--url", platform.url)
    assert (result.exit_code, result.stdout) == (4 if "unauthorized" in fault else 1, "")
    assert list((searched.path / ".rollout").iterdir()) == []
    platform.running.service.faults.change(FaultPlan())
    before = preview(searched, "--url", platform.url)
    platform.running.service.faults.change(FaultPlan.parse([f"{fault},on=device"]))
    assert searched("plan", "plan.yaml", "--url", platform.url, "--refresh").exit_code == result.exit_code
    assert preview(searched) == before


@contextmanager
def restless_platform(page):
    """A platform whose device search answers `page(n)` to the n-th call, and keeps the paths; nothing else but tokens."""
    paths = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if "token" in self.path:
                body = {"status": 0, "msg": "SUCCESS", "data": {"accessToken": "t", "expire": 7200}}
            else:
                paths.append(self.path.partition("?")[0])
                body = {"code": 0, "msg": "OK", "requestId": "r", **page(len(paths))}
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", paths
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_a_list_that_may_lack_devices_refuses_the_plan(searched):
    """Totals that move from page to page are no list: planning ends, rather than a fleet without some of its devices."""

    def page(call):
        return {
            "data": [{"deviceKey": "SN-0001", "assetId": "a1", "productKey": "inverter-x"}],
            "pagination": {"pageNo": 1, "pageSize": 500, "totalSize": 1 + call, "sortedBy": None},
        }

    with restless_platform(page) as (url, _):
        result = searched("plan", "plan.yaml", "--url", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the pages never agreed" in result.stderr
    assert list((searched.path / ".rollout").iterdir()) == []


def test_a_damaged_list_is_told_and_asked_for_anew(searched, platforms):
    """R172 at the source's place; --refresh mends it, and a campaign can still be run from its saved plan."""
    url = platforms().url
    preview(searched, "--url", url)
    (listing,) = (searched.path / ".rollout/searched").glob("plan.listing-*.gz")
    listing.write_bytes(b"")
    result = searched("plan", "plan.yaml")
    assert result.exit_code == 2
    assert f"plan.yaml:7:18: R172 {SOURCE}: is damaged" in result.stderr
    assert searched("plan", ".rollout/searched/plan.json").exit_code == 0
    assert searched("plan", "plan.yaml", "--url", url, "--refresh").exit_code == 0
    assert searched("plan", "plan.yaml").exit_code == 0


def test_bad_sites_are_found_in_the_list(searched, platforms):
    """A rehearsal's bad site is looked up among the columns EnOS gave."""
    preview(searched, "--url", platforms().url)
    arguments = ("run", "plan.yaml", "--emulator", "--speed", "2000", "--yes", "-o", "json")
    done = searched.run(*arguments, "--bad-site", "s1:100%")
    assert done.returncode == 3, done.stderr
    result = searched(*arguments, "--bad-site", "s9:100%")
    assert "no device has deviceTags.site 's9'" in result.stderr


def test_a_fleet_file_makes_the_devices_up(searched):
    """Without an account: the emulator lists the devices a fleet file makes up, of the version asked for, and keeps them."""
    (searched.path / "fleet.yaml").write_text(
        "version: 1\ndevices: {count: 200, keys: 'MTR-{n:05}'}\n"
        "columns: {productKey: {metering: 1}, firmwareVersion: {'1.8': 50%, '1.9': 50%}}\n"
    )
    plan = PLAN.replace("productKey=inverter-x", "productKey=metering and firmwareVersion=1.8")
    plan = plan.replace("deviceTags.site", "firmwareVersion").replace(
        "job: {", "job: {productKey: metering, "
    )
    (searched.path / "plan.yaml").write_text(plan)
    result = searched("run", "plan.yaml", "--emulator")
    assert "`run --emulator --fleet FILE` makes some up" in result.stderr
    arguments = (
        "run",
        "plan.yaml",
        "--emulator",
        "--fleet",
        "fleet.yaml",
        "--speed",
        "2000",
        "--yes",
        "-o",
        "json",
    )
    done = searched.run(*arguments)
    assert done.returncode == 0, done.stderr
    devices = json.loads(done.stdout)["devices"]
    assert 70 < devices["succeeded"] == devices["planned"] < 130
    assert " devices at the emulator on " in searched("plan", "plan.yaml").stdout


@pytest.mark.parametrize(("by_name", "version"), [("true", "v2.4"), ("false", "v2.1")])
def test_an_older_release_is_asked_its_own_way(searched, by_name, version):
    """A release that cannot search jobs by name has the older device search."""

    def page(_):
        rows = [
            {"deviceKey": f"SN-{i:04d}", "assetId": f"a{i}", "deviceTags": {"site": "s"}} for i in range(8)
        ]
        return {"data": rows, "pagination": {"pageNo": 1, "pageSize": 200, "totalSize": 8}}

    with restless_platform(page) as (url, paths):
        (searched.path / "rollout.toml").write_text(
            f'[profiles.here]\nurl = "{url}"\nsearch_by_name = {by_name}\n'
        )
        assert preview(searched, "--profile", "here")["devices"]["rows"] == 8
    assert paths == [f"/connect-service/{version}/devices"]


def test_a_saved_plan_asks_nobody(searched, platforms):
    """Its devices are settled; asking for others needs the plan file."""
    preview(searched, "--url", platforms().url)
    result = searched("plan", ".rollout/searched/plan.json", "--refresh")
    assert result.exit_code == 2
    assert "--refresh goes with the plan file" in result.stderr
