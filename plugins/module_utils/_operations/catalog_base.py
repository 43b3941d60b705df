# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of catalogs as bases of disks: the file that this host holds of a reference, else the one that is pulled first."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from .._catalog.reference import Reference, parse_reference
from .._catalog.variables import Variables, read_variables
from .._errors import TransferError
from .._locks import held as locked
from .._plan import Plan, Step
from .catalog_wanted import QCOW2, Base, Wanted
from .held_images import HeldImage, held_images, pulled_record
from .inspection import Inspected, inspect
from .operation import Tools

_LOCK_SECONDS = 3600.0
# A pull as vm asks for it; the options of access and require_signature are the task's own.
_PULL: dict[str, Any] = {
    "disks": None, "verify": "quick", "force": False, "seeds": ["auto"], "trust_seeds": False, "connections": 8, "search_paths": None,
    "bandwidth": None, "timeout": 0, "owner": None, "group": None, "mode": None, "on_interrupt": "detach", "lease_timeout": 60,
    "peers": None, "share": None,
}  # fmt: skip


def base_of(wanted: Wanted, tools: Tools, *, option: str) -> Base:
    """The base for disks of that image, the same for all that a task makes of it; raises what speaks against it."""
    known = tools.forecast.setdefault(wanted.key, {})
    if "base" not in known:
        held = _kept(wanted, tools)
        known["base"] = _present(held, wanted, tools, option=option) if held else _coming(wanted, tools)
    base: Base = known["base"]
    return base


def _name(reference: Reference) -> str:
    """One name for what means the same image: its digest, or its catalog and tag."""
    return reference.digest or f"{reference.catalog}:{reference.version}"


def _kept(wanted: Wanted, tools: Tools) -> HeldImage | None:
    """The file of the image here, which nobody replaces from now on; it may have been replaced just before."""
    held = _held(wanted)
    while held is not None and tools.bases.keep(held.path):
        kept, held = held, _held(wanted)
        if held is None or held.path != kept.path:
            # It isn't that image any more, and the pull of that may have to replace it.
            tools.bases.leave(kept.path)
    return held


def _held(wanted: Wanted) -> HeldImage | None:
    """The newest file of the image here that is as it was pulled."""
    fits = [each for each in held_images() if each.valid and _fits(each, wanted)]
    return max(fits, key=lambda each: (os.stat(each.path).st_mtime_ns, each.path), default=None)


def _fits(held: HeldImage, wanted: Wanted) -> bool:
    if wanted.disk not in ("", held.disk) or wanted.format not in ("", held.format):
        return False
    if wanted.reference.digest:
        return held.digest == wanted.reference.digest
    # A pull that named tag and digest holds what the tag named then.
    known = parse_reference(held.reference, option="image")
    return (known.tag != "" or not known.digest) and _name(known.at(tag=known.tag)) == _name(wanted.reference)


def _present(held: HeldImage, wanted: Wanted, tools: Tools, *, option: str) -> Base:
    image = inspect(held.path, declared=held.format, option=option)
    origin = _origin(wanted, digest=held.digest, disk=held.disk)
    steps = () if _is_signed(held, wanted) else _checked(held, wanted, tools)
    return Base(image, origin, steps, _variables(held))


def _variables(held: HeldImage) -> Variables | None:
    """What the record of the file says; raises TransferError for what can't be, since the VM would else go without them."""
    record = pulled_record(held.path)
    try:
        return read_variables(record.source if record else {}, where="record")
    except TransferError:
        raise TransferError(
            f"image: the record of {held.path} says of UEFI variables what can't be; let imageops.fleet.image_pull of the same image to the same "
            f"file write it anew."
        ) from None


def _is_signed(held: HeldImage, wanted: Wanted) -> bool:
    """Whether no signature is asked for, or just this one was found when the file was pulled."""
    if not wanted.access["require_signature"]:
        return True
    from .image_pull_signed import signature_mark

    record = pulled_record(held.path)
    return record is not None and record.source.get("signed") == signature_mark(wanted.access["require_signature"])


def _checked(held: HeldImage, wanted: Wanted, tools: Tools) -> tuple[Step, ...]:
    """What a pull of the file that is here has to do; it raises UnsafeImage for one that isn't signed."""
    item = _item(wanted, image=str(wanted.reference.at(digest=held.digest)), dest=held.path)
    plan = _plan({**item, "digest": held.digest, "disk": held.disk, "format": held.format}, tools)
    return plan.steps


def _coming(wanted: Wanted, tools: Tools) -> Base:
    from .image_pull_items import expand

    name = os.path.basename(wanted.reference.repository or wanted.reference.place)
    more = "-{disk}" if wanted.disk else ""
    kind = wanted.format or QCOW2
    dest = os.path.join(wanted.folder, f"{name}-{{digest}}{more}.{'raw' if kind == 'raw' else kind}")
    (item,) = expand(_item(wanted, image=str(wanted.reference), dest=dest), tools)
    plan = _plan(item, tools)
    facts = plan.after
    image = Inspected.foreseen(item["dest"], facts)
    # Of a file that is here already the pull may only have to note what it is, and to bring the UEFI variables.
    titles = [f"pull {wanted.reference} to {item['dest']}"] if plan.steps else [step.title for step in plan.upkeep]
    steps = tuple(Step(title, _Once(item, tools)) for title in titles[:1])
    if not steps:
        tools.bases.keep(item["dest"])
    origin = _origin(wanted, digest=item["digest"], disk=str(facts["disk"]))
    return Base(image, origin, steps, read_variables(facts, where=str(wanted.reference)))


def _item(wanted: Wanted, *, image: str, dest: str) -> dict[str, Any]:
    return {
        **_PULL,
        **wanted.access,
        "image": image,
        "dest": dest,
        "disk": wanted.disk or None,
        "format": wanted.format or QCOW2,
    }


def _origin(wanted: Wanted, *, digest: str, disk: str) -> dict[str, str]:
    return {"reference": str(wanted.reference), "manifest": digest, "disk": disk}


def _plan(item: dict[str, Any], tools: Tools) -> Plan:
    from .image_pull import plan_pull

    with _own(tools) as own:
        return plan_pull(item, own)


@contextlib.contextmanager
def _own(tools: Tools) -> Iterator[Tools]:
    """Tools with forecasts of their own: a pull is planned again when it is done."""
    own = Tools(commands=tools.commands, clock=tools.clock, version=tools.version)
    try:
        yield own
    finally:
        own.close()


class _Once:
    """The pull of one file for all VMs of a task, which are made side by side."""

    def __init__(self, item: dict[str, Any], tools: Tools) -> None:
        self._item, self._tools = item, tools
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock, locked([self._item["dest"]], timeout=_LOCK_SECONDS, wait=self._tools.clock.wait_until):
            plan = _plan(self._item, self._tools)
            if plan.steps:
                # The pull is a job, which would wait for this task, and this task for it.
                self._tools.bases.require_not_kept(self._item["dest"])
            for step in (*plan.upkeep, *plan.steps):
                step.run()
            self._tools.bases.keep(self._item["dest"])
