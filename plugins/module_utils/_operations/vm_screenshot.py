# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of what the screens of running VMs show."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Any, Callable

from .._errors import Conflict, InvalidOption, NotFound, Unsupported
from .._files import real_path, require_folder, require_writable_folder, write_bytes
from .._formats.picture import MOST_BYTES, read_picture
from .._hypervisor.connection import Connection, require_local
from .._hypervisor.domain import Domain
from .._hypervisor.screenshot import screenshot
from .._plan import KNOWN_AFTER, Plan, Step
from .operation import Operation, Tools
from .qmp_request import asks_for_process

_SHOWING = ("running", "paused")


def take_picture(connection: Connection, domain: Domain, path: str, *, screen: int = 0) -> dict[str, Any]:
    """Write what the screen shows to the PNG file `path` and tell of it."""
    return keep_picture(screenshot(connection, domain, screen=screen, most=MOST_BYTES), path)


def keep_picture(data: bytes, path: str) -> dict[str, Any]:
    """Write an engine's picture to the PNG file `path` (0600: it may show secrets) and tell of it."""
    picture = read_picture(data)
    write_bytes(path, picture.png)
    return {
        "path": path,
        "width": picture.width,
        "height": picture.height,
        "size": len(picture.png),
        "sha256": hashlib.sha256(picture.png).hexdigest(),
    }


def require_screen(domain: Domain) -> None:
    """Raise Unsupported for a VM without a video card: it has no screen."""
    if domain.xml(inactive=not domain.active).find("devices/video") is None:
        raise Unsupported(
            f"The VM {domain.name} has no screen, since it has no video card; give it one with graphics: vnc of imageops.fleet.vm, "
            f"and restart it."
        )


def require_place(path: str, *, option: str) -> None:
    """Raise unless a picture can be written to `path`."""
    if not path.endswith(".png"):
        raise InvalidOption(f"{option}: {path} doesn't end with .png, and that is what is written; give such a name.")
    if os.path.isdir(path):
        raise InvalidOption(f"{option}: {path} is a folder; give the path of a file.")
    require_folder(path, option=option)
    require_writable_folder(path, option=option)


def plan_screenshot(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan for one VM; raises NotFound, Conflict for one that doesn't run, and what speaks against the file."""
    require_local(params["uri"])
    if not params["dest"]:
        raise InvalidOption(
            f"dest: nothing is given for the picture of {params['name']}; give the path of a .png file."
        )
    dest = real_path(params["dest"])
    require_place(dest, option="dest")
    if tools.forecast.setdefault(f"picture:{dest}", params) is not params:
        raise InvalidOption(f"dest: {dest} is given for two VMs; give each a file of its own.")
    if params["screen"] < 0:
        raise InvalidOption(f"screen: {params['screen']} is no number of a screen; they are counted from 0.")
    take_it = _camera(params, dest, tools)
    found: dict[str, Any] = {}

    def take() -> None:
        found.update(take_it())

    return Plan(
        item=params["name"],
        before={"path": dest, "sha256": _digest(dest)},
        after={"path": dest, "sha256": KNOWN_AFTER},
        observe=lambda: found,
        steps=(Step(f"write what the screen of {params['name']} shows to {dest}", take),),
    )


def _camera(params: dict[str, Any], dest: str, tools: Tools) -> Callable[[], dict[str, Any]]:
    """What takes the picture; raises NotFound and Conflict."""
    if asks_for_process(params):
        from .qmp_screenshot import camera

        look = camera(params, tools)
        return lambda: keep_picture(look(), dest)
    connection = tools.hypervisor(params["uri"])
    domain = connection.domain(params["name"])
    if domain is None:
        raise NotFound(f"name: there is no VM called {params['name']} on this host.")
    if domain.state not in _SHOWING:
        raise Conflict(f"name: the VM {params['name']} is {domain.state}, so its screen shows nothing; start it first.")
    require_screen(domain)
    return lambda: take_picture(connection, domain, dest, screen=params["screen"])


def _digest(path: str) -> str:
    """Of the picture that is replaced, empty when there is none."""
    if not os.path.isfile(path) or os.path.getsize(path) > MOST_BYTES:
        return ""
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The file; a VM may be looked at while another task works on it."""
    return [real_path(params["dest"])] if params["dest"] else []


OPERATION = Operation(plan=plan_screenshot, result="screenshots", locks=locks, parallel=4)
