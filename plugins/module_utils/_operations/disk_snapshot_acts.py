# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done to an image's snapshots so that they are as the task asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._errors import Conflict, InvalidOption, NotFound
from .._formats.qcow2_points import Point, Points
from .._formats.qcow2_snapshots import MAX_SNAPSHOTS

CREATE, REVERT, DELETE = "create", "revert", "delete"
# QEMU keeps 256 bytes of a name, the last for its end (include/block/snapshot.h).
_MOST_NAME = 255


@dataclass(frozen=True)
class Act:
    """One change: `name` is the snapshot's; QEMU gets `handle`, an id for a revert and the name else."""

    verb: str
    name: str
    handle: str
    title: str


def check_request(params: dict[str, Any]) -> None:
    """Raise InvalidOption for options that contradict each other or name nothing."""
    name, state, keep = params["name"], params["state"], params["keep"]
    if name is None and (state != "present" or keep is None):
        raise InvalidOption(
            "name: nothing is given; give the snapshot's name, or with state 'present' at least 'keep'."
        )
    if keep is not None and state != "present":
        raise InvalidOption(f"keep: '{keep}' has no meaning with state '{state}'; use it with state 'present'.")
    if params["prefix"] is not None and keep is None:
        raise InvalidOption(f"prefix: '{params['prefix']}' only says which snapshots 'keep' counts; give 'keep' too.")
    least = 0 if name is None else 1
    if keep is not None and keep < least:
        raise InvalidOption(f"keep: '{keep}' is not allowed; use {least} or more.")
    if name is not None:
        _check_name(name, new=state == "present")


def _check_name(name: str, *, new: bool) -> None:
    length = len(name.encode(errors="surrogateescape"))
    if not 0 < length <= _MOST_NAME or not name.isprintable():
        raise InvalidOption(
            f"name: {name!r} can't be a snapshot's name; use 1 to {_MOST_NAME} bytes that can be printed."
        )
    if new and name.isascii() and name.isdecimal():
        raise InvalidOption(f"name: '{name}' is only digits, which QEMU takes for a snapshot's id; add a letter.")


def acts_for(params: dict[str, Any], points: Points) -> list[Act]:
    """The acts in their order; none when all is as it shall be. Raises NotFound or Conflict."""
    if params["state"] == "reverted":
        return _revert(params, points)
    if params["state"] == "absent":
        return [_delete(point) for point in points.named(params["name"])]
    created = _create(params, points)
    return created + ([] if params["keep"] is None else _surplus(params, points, new=bool(created)))


def _create(params: dict[str, Any], points: Points) -> list[Act]:
    name = params["name"]
    if name is None or points.named(name):
        return []
    if len(points.points) >= MAX_SNAPSHOTS:
        raise Conflict(
            f"name: {params['path']} has {len(points.points)} snapshots, no more are made; delete some first."
        )
    return [Act(CREATE, name, name, f"create snapshot {name} of {params['path']}")]


def _revert(params: dict[str, Any], points: Points) -> list[Act]:
    found = points.named(params["name"])
    if not found:
        known = ", ".join(point.name for point in points.points) or "none"
        raise NotFound(f"name: {params['path']} has no snapshot '{params['name']}'; it has: {known}.")
    if len(found) > 1:
        ids = ", ".join(point.id for point in found)
        raise Conflict(
            f"name: {params['path']} has {len(found)} snapshots '{params['name']}' (ids {ids}), so it is unknown which one is "
            f"meant; delete them, or revert with 'qemu-img snapshot -a ID'."
        )
    if found[0].current:
        return []
    return [Act(REVERT, found[0].name, found[0].id, f"revert {params['path']} to snapshot {found[0].name}")]


def _surplus(params: dict[str, Any], points: Points, *, new: bool) -> list[Act]:
    """The oldest of those that count, beyond the number to keep; the one that the task names stays."""
    prefix = params["prefix"] or ""
    counted = [point for point in points.points if point.name.startswith(prefix)]
    total = len(counted) + (new and params["name"].startswith(prefix))
    oldest = sorted((point for point in counted if point.name != params["name"]), key=lambda point: point.date)
    surplus = oldest[: max(0, total - params["keep"])]
    # QEMU deletes by name, and takes the first in its table.
    for point in surplus:
        if len(points.named(point.name)) > 1:
            raise Conflict(
                f"keep: {params['path']} has more than one snapshot '{point.name}', so the oldest can't be told to QEMU; delete "
                f"them by 'state: absent'."
            )
    return [_delete(point) for point in surplus]


def _delete(point: Point) -> Act:
    return Act(DELETE, point.name, point.name, f"delete snapshot {point.name} (id {point.id})")


def names_after(acts: list[Act], points: Points) -> list[str]:
    """The names of all snapshots once the acts are done."""
    names = [point.name for point in points.points]
    for act in acts:
        if act.verb == CREATE:
            names.append(act.name)
        elif act.verb == DELETE:
            names.remove(act.name)
    return names
