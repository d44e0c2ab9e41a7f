"""Which devices a job is for: the reading of an upgrade scope over the register.

`total` takes every device of the product, `partial` those its one selector names; both are then filtered by product
and by source version. A device whose version nobody ever told counts as having the one the job asks for, so that a
plain list of keys is a fleet. Within `attributes` and `tags` several values mean any of them, several keys all of
them. A named device that does not exist or does not match is silently left out. All four readings are inferred.
"""

from __future__ import annotations

from collections.abc import Iterable

from rollout.emulator.platform.bodies import ScopeOrder
from rollout.emulator.platform.devices import ASSET_PREFIX, DEFAULT_PRODUCT, Devices
from rollout.emulator.platform.knobs import Knobs
from rollout.enos import limits


def select(
    devices: Devices, scope: ScopeOrder, product_key: str | None, target: str, knobs: Knobs
) -> list[int]:
    """Return the devices a job starts with, as numbers: in the order they are named, else of registration.

    Registers unknown keys first if the knob `any_device` is set.
    """
    return [
        device
        for device in _named(devices, scope, product_key, knobs)
        if _is_eligible(devices, device, scope, product_key, target)
    ]


def in_scope(devices: Devices, device: int, scope: ScopeOrder, product_key: str | None, target: str) -> bool:
    """Return whether one device belongs to the job, now."""
    return _is_eligible(devices, device, scope, product_key, target) and _is_selected(devices, device, scope)


def _named(devices: Devices, scope: ScopeOrder, product_key: str | None, knobs: Knobs) -> Iterable[int]:
    if scope.selector == "deviceKeys":
        found: list[int] = []
        for key in scope.value:
            device = devices.find(key)
            if device is None and knobs.any_device and limits.DEVICE_KEY.fullmatch(key):
                known = product_key is None or product_key == DEFAULT_PRODUCT
                device = devices.add(key, {} if known else {"productKey": str(product_key)})
            if device is not None:
                found.append(device)
        return found
    if scope.selector == "assetIds":
        # ids made from keys need no search
        named = {asset: devices.find(asset.removeprefix(ASSET_PREFIX)) for asset in scope.value}
        made = [at for asset, at in named.items() if at is not None and devices.asset_id(at) == asset]
        if len(made) == len(named):
            return made
        wanted = frozenset(scope.value)
        return [device for device in devices if devices.asset_id(device) in wanted]
    return [device for device in devices if _is_selected(devices, device, scope)]


def _is_eligible(
    devices: Devices, device: int, scope: ScopeOrder, product_key: str | None, target: str
) -> bool:
    if product_key is not None and devices.product_key(device) != product_key:
        return False
    version = devices.version(device)
    if version is None:
        return True
    return version != target if scope.versions is None else version in scope.versions


def _is_selected(devices: Devices, device: int, scope: ScopeOrder) -> bool:
    match scope.selector:
        case None:
            return True
        case "deviceKeys":
            return devices.keys[device] in scope.value
        case "assetIds":
            return devices.asset_id(device) in scope.value
        case "attributes":
            matched = (
                devices.column(device, f"attributes.{n}") in accepted for n, accepted in scope.value.items()
            )
            return any(matched) if scope.any_key else all(matched)
        case "tags":
            matched = (devices.tag(device, name) in accepted for name, accepted in scope.value.items())
            return any(matched) if scope.any_key else all(matched)
        case "deviceGroupIds":
            groups = (devices.column(device, "deviceGroupIds") or "").split()
            return any(group in scope.value for group in groups)
        case "assetTrees":
            return any(
                _is_below(devices.column(device, f"assetTrees.{tree}"), nodes) for tree, nodes in scope.value
            )
        case selector:
            raise AssertionError(f"{selector} is no selector")


def _is_below(path: str | None, nodes: tuple[str, ...]) -> bool:
    """Return whether a device at this path is in the tree, and below one of the nodes if any are named."""
    if path is None:
        return False
    return not nodes or not set(nodes).isdisjoint(path.split("/"))
