"""Listings of EnOS's devices: kept whole or refused, read like a device file, and the same plan whatever their order."""

import random

import pytest
from support.listings import listed

from rollout.enos.job_plan import ENOS
from rollout.errors import PlanError
from rollout.intake.listing import DamagedListing, DeviceListing, read_listing
from rollout.intake.plan_file import load_plan_file
from rollout.intake.saved_plan import compile_plan, open_saved_plan

SOURCE = "enos:productKey=x"
PLAN = f"""\
version: 1
id: demo
orgId: o1
firmwareId: f1
devices: {{from: [{SOURCE}], perJob: 20}}
waves:
  - {{name: canary, size: 10%, spreadBy: deviceTags.site, gate: {{success: {{min: 90%, of: planned}}}}}}
  - {{name: total, size: rest}}
"""


def devices(number=100, **changes):
    """Devices of product x at four sites."""
    return [
        (f"SN-{i:04d}", {"productKey": "x", "status": "online", "deviceTags.site": f"s{i % 4}", **changes})
        for i in range(number)
    ]


def compiled(tmp_path, rows, plan=PLAN, **options):
    """Plan with a listing of the rows."""
    (tmp_path / "p.yaml").write_text(plan)
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    out.mkdir()
    listing = listed(out, rows, **options)
    return compile_plan(load_plan_file(tmp_path / "p.yaml", ENOS), out, listings=[listing])


def told(refused):
    """Return code and text of the errors."""
    return [(c.code, c.file, c.line, c.message) for c in refused.value.complaints if c.severity == "error"]


def test_what_is_written_is_read(tmp_path):
    """Key by key in order; the usual columns, all tags and those asked for stay, others go."""
    fields = {
        "productKey": "x",
        "deviceTags.a": "1",
        "deviceAttributes.p": "5",
        "deviceAttributes.q": "6",
        "createTime": "7",
    }
    listing = listed(tmp_path, [("SN-1", fields), ("SN-2", {})], columns={"deviceAttributes.p"})
    kept = {"productKey": "x", "deviceTags.a": "1", "deviceAttributes.p": "5"}
    assert list(read_listing(listing.path)) == [("SN-1", kept), ("SN-2", {})]
    assert (listing.found, listing.products) == (2, ("x",))
    listing.check()


def test_the_same_devices_are_the_same_bytes(tmp_path):
    """Nothing of the moment is in the file, so that digests can be compared."""
    one, two = (listed(tmp_path, devices(), name=name) for name in ("a.gz", "b.gz"))
    assert one.sha256 == two.sha256
    assert one.path.read_bytes()[4:8] == bytes(4)  # where gzip has the time
    assert one.path.stat().st_mode & 0o777 == 0o600


def test_a_listing_survives_the_saved_plan(tmp_path):
    """What is known of it stands in plan.json, and its file lies beside, wherever the two are taken."""
    saved = compiled(tmp_path, devices())
    (listing,) = saved.report.listings
    assert (listing.source, listing.url, listing.found) == (SOURCE, "https://gw.example.com", 100)
    assert listing.asked_at == 1_795_813_306.125
    moved = saved.path.parent.rename(tmp_path / "elsewhere")
    (again,) = open_saved_plan(moved / "plan.json").report.listings
    assert again.path == moved / listing.path.name
    again.check()


def test_a_listing_lies_nowhere_but_beside_its_plan(tmp_path):
    """A plan.json that names a file elsewhere is damaged: it must not make anybody read that file."""
    data = listed(tmp_path, []).to_json()
    with pytest.raises(ValueError, match="beside its plan"):
        DeviceListing.from_json({**data, "file": "../../etc/passwd"}, tmp_path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace(path):
    path.write_bytes(b"no gzip")


def link(path):
    path.rename(path.with_suffix(".old"))
    path.mkdir()


@pytest.mark.parametrize("damage", [truncate, flip, replace, link, lambda path: path.unlink()])
def test_a_damaged_listing_is_no_shorter_fleet(tmp_path, damage):
    """Cut, altered, replaced or gone: told, by its digest and by whoever reads it, never taken for fewer devices."""
    (tmp_path / "p.yaml").write_text(PLAN)
    (tmp_path / "out").mkdir()
    listing = listed(tmp_path / "out", devices())
    damage(listing.path)
    with pytest.raises(DamagedListing):
        listing.check()
    with pytest.raises(PlanError) as refused:
        compile_plan(load_plan_file(tmp_path / "p.yaml", ENOS), tmp_path / "out", listings=[listing])
    ((code, file, _, _),) = told(refused)
    assert (code, file) == ("R172", SOURCE)


def test_the_order_of_a_listing_changes_nothing(tmp_path):
    """EnOS lists newest first, or as it likes: the same devices are the same plan."""
    rows = devices()
    digest = compiled(tmp_path, rows).plan.digest
    for seed in range(5):
        shuffled = random.Random(seed).sample(rows, len(rows))
        assert compiled(tmp_path, shuffled).plan.digest == digest


def test_devices_are_spread_and_filtered_by_enos_fields(tmp_path):
    """Tags, version, status and product are columns; a device without the field has it empty."""
    rows = [*devices(), ("SN-9999", {"productKey": "x", "status": "offline"})]
    plan = PLAN.replace("perJob: 20", "perJob: 20, where: {status: [online]}")
    report = compiled(tmp_path, rows, plan).report
    assert (report.rows, report.filtered, report.devices) == (101, 1, 100)
    assert compiled(tmp_path, rows).report.devices == 101


def test_a_field_that_no_device_has_is_no_column(tmp_path):
    """A misspelt column must not put the whole fleet into one stratum."""
    with pytest.raises(PlanError) as refused:
        compiled(tmp_path, devices(), PLAN.replace("deviceTags.site", "deviceTags.sites"))
    ((code, file, _, message),) = told(refused)
    assert (code, file) == ("R152", SOURCE)
    assert message.startswith(
        "no device has the field 'deviceTags.sites'; there are deviceTags.site, productKey"
    )


def test_an_empty_listing_is_no_fleet(tmp_path):
    """A search that finds nothing is a slip, not a campaign of no devices."""
    with pytest.raises(PlanError) as refused:
        compiled(tmp_path, [])
    assert told(refused) == [("R151", SOURCE, 0, "lists no devices")]


def test_keys_that_only_look_damaged_are_taken(tmp_path):
    """EnOS knows its own keys; what would be a spreadsheet's damage in a file is a key here."""
    rows = [("1.5E10", {"deviceTags.site": "a"}), ("12345.0", {"deviceTags.site": "b"}), ("null", {})]
    plan = PLAN.replace("size: 10%", "size: 1")
    assert compiled(tmp_path, rows, plan).plan.devices == 3


@pytest.mark.parametrize("key", ["ab", "a b c d", 'quo"te', "schlüssel", "x" * 65, "line\nfeed", ""])
def test_a_key_that_cannot_be_named_in_a_job_is_refused(tmp_path, key):
    """Beyond EnOS's own rule for keys: told with the number of the device, and nothing is planned without it."""
    rows = devices(10)
    rows.insert(3, (key, {"deviceTags.site": "a"}))
    with pytest.raises(PlanError) as refused:
        compiled(tmp_path, rows)
    ((code, file, line, _),) = told(refused)
    assert (code, file, line) == ("R157", SOURCE, 4)


def test_devices_of_two_products_are_refused(tmp_path):
    """A job names devices by key within one product; a filter to one product, or a search of one, makes it sound."""
    rows = [
        *devices(50),
        *((f"OT-{i:04d}", {**columns, "productKey": "y"}) for i, (_, columns) in enumerate(devices(50))),
    ]
    with pytest.raises(PlanError) as refused:
        compiled(tmp_path, rows)
    ((code, _, line, message),) = told(refused)
    assert (code, line) == ("R173", 5)
    assert message.endswith("more than one product: 'x', 'y'")
    one = PLAN.replace("perJob: 20", "perJob: 20, where: {productKey: [y]}")
    assert compiled(tmp_path, rows, one).plan.devices == 50
    with pytest.raises(PlanError):
        compiled(tmp_path, rows, PLAN.replace("perJob: 20", "perJob: 20, where: {productKey: [x, y]}"))


def test_a_search_can_exclude_and_files_can_be_added(tmp_path):
    """Those who have the firmware already are left out; a device in file and search counts once; no needless warning."""
    (tmp_path / "more.csv").write_text("deviceKey,deviceTags.site\nSN-0000,s0\nCSV-0001,s1\n")
    plan = PLAN.replace(f"from: [{SOURCE}]", f"from: [more.csv, {SOURCE}], exclude: [enos:firmwareVersion=2]")
    (tmp_path / "p.yaml").write_text(plan)
    (tmp_path / "out").mkdir()
    done = [*devices(10), ("GONE-0001", {})]
    listings = [
        listed(tmp_path / "out", devices()),
        listed(tmp_path / "out", done, name="plan.listing-2.gz", source="enos:firmwareVersion=2"),
    ]
    report = compile_plan(
        load_plan_file(tmp_path / "p.yaml", ENOS), tmp_path / "out", listings=listings
    ).report
    assert (report.rows, report.duplicates, report.excluded, report.devices) == (102, 1, 10, 91)
    assert {warning.code for warning in report.warnings} == {"R202", "R305"}
    listings[1] = listed(tmp_path / "out", [], name="plan.listing-3.gz", source="enos:firmwareVersion=2")
    report = compile_plan(
        load_plan_file(tmp_path / "p.yaml", ENOS), tmp_path / "out", listings=listings
    ).report
    assert (report.excluded, report.devices) == (0, 101)
    assert {warning.code for warning in report.warnings} == {"R202", "R305"}
