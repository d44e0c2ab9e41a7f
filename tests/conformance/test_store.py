"""What every store promises, in code: see `rollout.ports.Store`.

An implementation joins by a class with a `begin` and an `again` like `InADirectory`'s, named in `IMPLEMENTATIONS`.
"""

import asyncio

import pytest

from rollout.core import events as ev
from rollout.core.orders import Abort, Approve, Pause, Resume
from rollout.enos.job_plan import ENOS
from rollout.errors import JournalHeld, NoCampaign
from rollout.intake.plan_file import load_plan_file
from rollout.intake.saved_plan import compile_plan, open_saved_plan
from rollout.journal.directory import DirectoryStore
from rollout.journal.memory_store import MemoryStore
from rollout.ports import PLAN_NAME

pytestmark = pytest.mark.anyio


class InADirectory:
    """The store of today."""

    @staticmethod
    def begin(path):
        """Return an empty store."""
        return DirectoryStore(path / "state")

    @staticmethod
    def again(store):
        """Return the same store as another process sees it."""
        return DirectoryStore(store._directory)


class InMemory:
    """A store that no other process sees."""

    @staticmethod
    def begin(path):
        return MemoryStore()

    @staticmethod
    def again(store):
        return store


IMPLEMENTATIONS = (InADirectory, InMemory)

PLAN = """\
version: 1
id: {name}
name: A campaign
orgId: o1
firmwareId: f1
seed: {seed}
job: {{upgradeTimeout: 3600, maximumConcurrency: 10}}
devices: {{from: [devices.csv], perJob: 10}}
waves: [{{name: total, size: rest}}]
limits: {{create: {{rate: 50/s, inFlight: 4}}, read: {{rate: 50/s, inFlight: 4}}}}
"""


def opened(number):
    return ev.WaveOpened(float(number), number)


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda implementation: implementation.__name__)
def kind(request):
    return request.param


@pytest.fixture
def store(kind, tmp_path):
    """An empty store."""
    begun = kind.begin(tmp_path)
    yield begun
    begun.close()


@pytest.fixture
def save(store, tmp_path):
    """Plan 30 devices and save the plan; further files of the plan by name and content."""

    def save(name="c1", *, seed=1, keep=(), **files):
        (tmp_path / "plan.yaml").write_text(PLAN.format(name=name, seed=seed))
        (tmp_path / "devices.csv").write_text("deviceKey\n" + "".join(f"dev-{n}\n" for n in range(30)))
        with store.workplace() as place:
            compile_plan(load_plan_file(tmp_path / "plan.yaml", ENOS), place)
            for number, content in files.items():
                (place / f"plan.listing-{number}.gz").write_bytes(content)
            store.save_plan(name, place, keep=keep)
            assert list(place.iterdir()) == []
        return open_saved_plan(store.plan_path(name))

    return save


# ── plans ────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_store_is_empty(store):
    """No campaign, and looking makes none."""
    assert store.campaigns() == []
    with pytest.raises(NoCampaign):
        store.plan_path("c1")
    assert store.campaigns() == []


def test_a_saved_plan_opens_as_it_was_made(save, store, kind):
    """Its batches and its devices; whoever opens the store finds it."""
    saved = save()
    saved.verify()
    assert saved.plan.devices == 30
    assert sorted(saved.manifest.keys(0, len(saved.manifest))) == sorted(f"dev-{n}" for n in range(30))
    again = kind.again(store)
    assert again.campaigns() == ["c1"]
    assert open_saved_plan(again.plan_path("c1")).plan == saved.plan
    assert store.plan_path("c1").name == PLAN_NAME


def test_campaigns_are_told_by_name(save, store):
    """Sorted, each once, whatever became of it."""
    for name in ("c2", "c1", "c3", "c1"):
        save(name)
    assert store.campaigns() == ["c1", "c2", "c3"]


def test_a_new_plan_takes_the_old_ones_place(save, store):
    """All of it: what the old one had beside it goes, unless the new one uses it."""
    first = save(seed=1, one=b"1", two=b"2")
    second = save(seed=2, keep=["plan.listing-two.gz"], three=b"3")
    assert second.plan.digest != first.plan.digest
    folder = store.plan_path("c1").parent
    assert sorted(path.name for path in folder.glob("plan.listing-*")) == [
        "plan.listing-three.gz",
        "plan.listing-two.gz",
    ]


def test_a_place_to_work_leaves_nothing(store):
    """Also where the work fails."""
    places = []

    def fail():
        with store.workplace() as place:
            (place / "half").write_text("x")
            places.append(place)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not places[0].exists()
    assert store.campaigns() == []


@pytest.mark.parametrize("name", ["", ".", "..", "../c1", "a/b", "/etc", "a\0b"])
def test_a_name_leads_nowhere_else(store, name):
    """A name that no campaign can have names none, whoever asks and for whatever."""
    for ask in (
        store.plan_path,
        store.has_journal,
        store.holder,
        store.pending_orders,
        store.orders,
        store.files,
        lambda name: list(store.events(name)),
        lambda name: store.open_journal(name, "c1", "d1"),
        lambda name: store.post_order(name, Pause("ana")),
    ):
        with pytest.raises(NoCampaign):
            ask(name)


# ── journals ─────────────────────────────────────────────────────────────────────────────────────


def test_a_campaign_that_was_never_run(save, store):
    """It has no journal, no events and no runner."""
    save()
    assert not store.has_journal("c1")
    assert list(store.events("c1")) == []
    assert store.holder("c1") is None


async def test_what_opening_finds_in_a_new_journal(save, store):
    """It is clean, of this campaign and this plan, and in its first life."""
    save()
    journal = store.open_journal("c1", "c1", "digest-1")
    assert (journal.campaign_id, journal.plan_digest) == ("c1", "digest-1")
    assert (journal.was_clean, journal.older_than_lock, journal.epoch) == (True, False, 1)
    assert store.has_journal("c1")
    await journal.aclose()


async def test_what_opening_finds_in_an_old_journal(save, store):
    """Whether the life before it ended well, how many there were, and what it was begun with, not what is asked for."""
    save()
    journal = store.open_journal("c1", "c1", "digest-1")
    await journal.append([opened(1)])
    await journal.aclose()
    journal = store.open_journal("c1", "c1", "digest-2")
    assert (journal.was_clean, journal.older_than_lock, journal.epoch) == (True, False, 2)
    assert journal.plan_digest == "digest-1"
    await journal.append([opened(2)])
    await journal.aclose(clean=False)
    journal = store.open_journal("c1", "c1", "digest-1")
    assert (journal.was_clean, journal.epoch) == (False, 3)
    assert list(journal.read()) == [opened(1), opened(2)]
    await journal.aclose()


async def test_events_can_be_followed(save, store, kind):
    """While a runner appends, another one reads on from the last number it has seen."""
    save()
    onlooker = kind.again(store)
    journal = store.open_journal("c1", "c1", "d1")
    await journal.append([opened(1), opened(2)])
    assert list(onlooker.events("c1")) == [(1, opened(1)), (2, opened(2))]
    await journal.append([opened(3)])
    assert list(onlooker.events("c1", 2)) == [(3, opened(3))]
    assert list(onlooker.events("c1", 3)) == []
    await journal.aclose()
    assert [seq for seq, _ in onlooker.events("c1", 1)] == [2, 3]


async def test_one_runner_at_a_time(save, store, kind):
    """A second one is refused and told who has it; the first one does not notice."""
    save()
    journal = store.open_journal("c1", "c1", "d1")
    with pytest.raises(JournalHeld, match="process"):
        kind.again(store).open_journal("c1", "c1", "d1")
    await journal.append([opened(1)])
    await journal.aclose()
    journal = kind.again(store).open_journal("c1", "c1", "d1")
    assert journal.was_clean
    await journal.aclose()


async def test_who_holds_a_campaign(save, store, kind):
    """As long as its journal is open and no longer; another campaign is another one's."""
    save("c1")
    save("c2")
    journal = store.open_journal("c1", "c1", "d1")
    holder = kind.again(store).holder("c1")
    assert holder is not None
    assert holder.pid > 0
    assert holder.epoch in {0, 1}, "0 where it has not said so yet"
    assert store.holder("c2") is None
    await journal.aclose()
    assert kind.again(store).holder("c1") is None


async def test_campaigns_have_journals_of_their_own(save, store):
    """Events of one are in no other."""
    save("c1")
    save("c2")
    one, two = store.open_journal("c1", "c1", "d1"), store.open_journal("c2", "c2", "d2")
    await one.append([opened(1)])
    await two.append([opened(2)])
    assert [event for _, event in store.events("c1")] == [opened(1)]
    assert [event for _, event in store.events("c2")] == [opened(2)]
    await one.aclose()
    await two.aclose()


# ── orders ───────────────────────────────────────────────────────────────────────────────────────


async def test_orders_wait_until_a_runner_has_taken_them(save, store, kind):
    """Oldest first, each as it was given; a runner puts them away one by one."""
    save()
    given = [
        Pause("ana", "storm"),
        Resume("ben"),
        Approve("ana", "canary", "CHG-1"),
        Abort("ben", "", stop_jobs=True, cancel_pending=True),
    ]
    for order in given:
        store.post_order("c1", order)
    onlooker = kind.again(store)
    assert onlooker.pending_orders("c1") == given
    runner = onlooker.orders("c1")
    assert await runner.pending() == given
    await runner.done(given[1].id)
    assert store.pending_orders("c1") == [given[0], given[2], given[3]]
    for order in given:
        await runner.done(order.id)
    assert await runner.pending() == []


async def test_an_order_is_put_away_once(save, store):
    """Putting it away again, or one that never was, changes nothing."""
    save()
    order = Pause("ana")
    store.post_order("c1", order)
    runner = store.orders("c1")
    await runner.done("no-such-id")
    assert await runner.pending() == [order]
    await runner.done(order.id)
    await runner.done(order.id)
    assert await runner.pending() == []


async def test_a_runner_sees_what_is_posted_later(save, store, kind):
    """It looks again and again, at a rhythm that the store gives."""
    save()
    runner = store.orders("c1")
    assert await runner.pending() == []
    order = Pause("ana")
    kind.again(store).post_order("c1", order)
    assert await runner.pending() == [order]
    assert 0 < runner.look_every_s <= 1


async def test_orders_are_to_one_campaign(save, store):
    """Another campaign is not told."""
    save("c1")
    save("c2")
    store.post_order("c1", Pause("ana"))
    assert store.pending_orders("c2") == []
    assert await store.orders("c2").pending() == []


async def test_orders_outlive_the_runner(save, store):
    """What nobody took waits for the next life."""
    save()
    journal = store.open_journal("c1", "c1", "d1")
    order = Pause("ana")
    store.post_order("c1", order)
    await journal.aclose()
    journal = store.open_journal("c1", "c1", "d1")
    assert await store.orders("c1").pending() == [order]
    await journal.aclose()


# ── the place ────────────────────────────────────────────────────────────────────────────────────


def test_a_campaign_has_a_place_for_its_files(save, store):
    """Where its plan is saved, files can be written at once; two campaigns do not share any, nor two files a name."""
    save("c1")
    save("c2")
    files = store.files("c1")
    places = {files.event_log, files.emulator_log, files.last_run, store.files("c2").event_log}
    assert len(places) == 4
    for place in places:
        place.write_text("x")
    assert store.files("c1").event_log.read_text() == "x"
    assert store.campaigns() == ["c1", "c2"]
    open_saved_plan(store.plan_path("c1")).verify()


def test_there_is_room(save, store):
    """For a campaign of ordinary size, wherever the tests run."""
    save()
    store.require_room("c1", 100)
    found = store.check(100)
    assert (found.problem, found.has_room) == ("", True)
    assert found.place


def test_a_look_at_the_store_makes_nothing(kind, tmp_path):
    """Neither a check nor a question leaves anything behind."""
    store = kind.begin(tmp_path)
    store.check(1)
    assert store.campaigns() == []
    assert list(tmp_path.iterdir()) == []
    store.close()
    store.close()


async def test_many_orders_at_once(save, store):
    """Each comes back once, in the order they were given."""
    save()
    given = [Pause("ana", str(number)) for number in range(50)]
    for order in given:
        store.post_order("c1", order)
    runner = store.orders("c1")
    assert await runner.pending() == given
    await asyncio.gather(*(runner.done(order.id) for order in given))
    assert await runner.pending() == []
