# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module host_info."""

from __future__ import annotations

from .specs import ModuleSpec

HOST_INFO = ModuleSpec(
    {
        "uri": {"type": "str", "default": "qemu:///system"},
        "folders": {"type": "list", "elements": "path", "default": []},
    }
)
