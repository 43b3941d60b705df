# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vm is packed once, and not in every run."""

from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.plugin_utils._short_task import ShortTask


class ActionModule(ShortTask):
    """See ShortTask."""
