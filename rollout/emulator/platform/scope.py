"""Which devices a job is for: an upgrade scope, applied to the register of devices.

`total` selects every device of the product, `partial` the devices that its one selector names. Both are then filtered by
product and by source version. A device whose version is unknown counts as having the version the job asks for, so
that a plain list of keys can serve as a fleet. In `attributes` and `tags` a device must have any of the values of a key,
and match all keys. A named device that does not exist or does not match is left out without an error. All four
readings are inferred.
"""

from __future__ import annotations

from collections.abc import Iterable

from rollout.emulator.platform.bodies import ScopeDefinition
from rollout.emulator.platform.devices import ASSET_PREFIX, DEFAULT_PRODUCT, Devices
from rollout.emulator.platform.knobs import Knobs
from rollout.enos import limits


def select(
    devices: Devices, scope: ScopeDefinition, product_key: str | None, target: str, knobs: Knobs
) -> list[int]:
    """Return the numbers of the devices a job starts with, in the order in which they are named or were registered.

    Registers unknown keys first if the knob `any_device` is set.

    Args:
        product_key: of the scope or the firmware; None if neither has one.
        target: the version the job brings.
    """
    return [
        device
        for device in _named(devices, scope, product_key, knobs)
        if _is_eligible(devices, device, scope, product_key, target)
    ]


def in_scope(
    devices: Devices, device: int, scope: ScopeDefinition, product_key: str | None, target: str
) -> bool:
    """Return whether one device matches the job's scope now; arguments as for `select`."""
    return _is_eligible(devices, device, scope, product_key, target) and _is_selected(devices, device, scope)


def _named(devices: Devices, scope: ScopeDefinition, product_key: str | None, knobs: Knobs) -> Iterable[int]:
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
        # asset ids that were made from device keys need no search
        named = {asset: devices.find(asset.removeprefix(ASSET_PREFIX)) for asset in scope.value}
        made = [at for asset, at in named.items() if at is not None and devices.asset_id(at) == asset]
        if len(made) == len(named):
            return made
        wanted = frozenset(scope.value)
        return [device for device in devices if devices.asset_id(device) in wanted]
    return [device for device in devices if _is_selected(devices, device, scope)]


def _is_eligible(
    devices: Devices, device: int, scope: ScopeDefinition, product_key: str | None, target: str
) -> bool:
    if product_key is not None and devices.product_key(device) != product_key:
        return False
    version = devices.version(device)
    if version is None:
        return True
    return version != target if scope.versions is None else version in scope.versions


def _is_selected(devices: Devices, device: int, scope: ScopeDefinition) -> bool:
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
    """Return whether a device at this path is in the tree and, if `nodes` are given, at or below one of them."""
    if path is None:
        return False
    return not nodes or not set(nodes).isdisjoint(path.split("/"))
