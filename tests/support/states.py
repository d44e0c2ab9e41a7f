"""A campaign's state as plain values, and what one event changes in it."""

from dataclasses import fields, is_dataclass
from typing import get_args

from rollout.core import events as ev
from rollout.core.agenda import Agenda
from rollout.core.fold import fold
from rollout.core.state import BatchState, GroupState


def as_values(thing):
    """Return a state as plain values, so that two can be compared; agendas with their times."""
    if isinstance(thing, Agenda):
        return [(item, thing._due[item]) for item in thing]
    if isinstance(thing, get_args(ev.Event)):
        return thing
    if is_dataclass(thing):
        return {f.name: as_values(getattr(thing, f.name)) for f in fields(thing) if f.name != "plan"}
    if isinstance(thing, dict):
        return {key: as_values(value) for key, value in thing.items()}
    if isinstance(thing, list):
        return [as_values(item) for item in thing]
    return set(thing) if isinstance(thing, set) else thing


def changes(state, event):
    """Fold `event`; return every value of the state that is another one now, by its path; without `last_at`.

    Of a batch or a poll group that was touched for the first time: what is not as in a new one. A wave's counts are
    (planned, enrolled, in progress, succeeded, failed, failed for good).
    """
    before = _flat(as_values(state))
    batches, groups = len(state.batches), len(state.groups)
    fold(state, event)
    if len(state.batches) > batches:
        new = {event.batch: as_values(BatchState())}
        before |= _flat(new, "batches")
    if len(state.groups) > groups:
        wave = state.groups[groups].wave
        before |= _flat({groups: as_values(GroupState(groups, wave))}, "groups")
    after = _flat(as_values(state))
    assert before.keys() == after.keys()
    return {path: after[path] for path in after if before[path] != after[path] and path != "last_at"}


def _flat(values, path=""):
    """Return the values of nested dictionaries, waves and groups by their paths; any other list is one value."""
    if isinstance(values, list) and path in {"groups", "waves"}:
        values = dict(enumerate(values))
    if path.endswith(".counted"):
        values = tuple(values.values())
    if not isinstance(values, dict) or path in {"brakes", "blind"}:
        return {path: values}
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{path}.{key}" if path else str(key))
    return flat
