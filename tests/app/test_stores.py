"""Which store an address means, and where a saved plan's campaign is kept."""

import os
from pathlib import Path

import pytest

from rollout.app.stores import open_store, scheme_of, store_of_plan
from rollout.errors import SettingsError
from rollout.journal.directory import DirectoryStore
from rollout.journal.memory_store import MemoryStore


@pytest.mark.parametrize("address", [".rollout", "/var/lib/rollout", "a:b/c", "C:stuff", Path("state")])
def test_an_address_without_a_scheme_of_ours_is_a_directory(address):
    """Whatever else its text looks like; nothing is made."""
    store = open_store(address)
    assert isinstance(store, DirectoryStore)
    assert store.address == str(address)
    assert not Path(address).exists()


def test_memory_is_a_store_of_its_own_each_time():
    """Two of them share nothing; a longer address is a slip."""
    first, second = open_store("memory:"), open_store("memory:")
    assert isinstance(first, MemoryStore)
    assert first.files("c1").folder != second.files("c1").folder
    first.close()
    second.close()
    assert scheme_of("memory:") == "memory"
    with pytest.raises(SettingsError, match="memory:"):
        open_store("memory:somewhere")


@pytest.mark.parametrize(
    ("plan", "address", "name"),
    [
        ("state/c1/plan.json", "state", "c1"),
        ("/var/state/c1/plan.json", "/var/state", "c1"),
        ("c1/plan.json", ".", "c1"),
        ("plan.json", "{parent}", "{here}"),
        ("../plan.json", "{grandparent}", "{parent_name}"),
    ],
)
def test_a_saved_plan_lies_in_its_campaigns_folder(tmp_path, monkeypatch, plan, address, name):
    """And that in its store, wherever the command is called."""
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    known = {
        "parent": os.fspath(here.parent),
        "here": here.name,
        "grandparent": os.fspath(here.parent.parent),
        "parent_name": here.parent.name,
    }
    store, found = store_of_plan(Path(plan))
    assert (store.address, found) == (address.format(**known), name.format(**known))
