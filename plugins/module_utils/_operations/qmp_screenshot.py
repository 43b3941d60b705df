# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of the screens of QEMU processes."""

from __future__ import annotations

from typing import Any, Callable

from .._errors import Conflict
from .._formats.picture import MOST_BYTES
from .._hypervisor.capabilities import QMP, require
from .._hypervisor.qmp_screenshot import screenshot
from .operation import Tools
from .qmp_request import process_of


def camera(params: dict[str, Any], tools: Tools) -> Callable[[], bytes]:
    """What takes the picture; raises Unsupported for other screens than the first, NotFound, Conflict."""
    if params["screen"]:
        require(QMP, "screens", option=f"screen: {params['screen']}")
    process = process_of(params, tools, name=params["name"], option="name")
    if process.state not in ("running", "paused"):
        raise Conflict(f"name: the VM {params['name']} is {process.state}, so its screen shows nothing.")
    return lambda: screenshot(process, most=MOST_BYTES)
