# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the collection promises."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes shared by the modules."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what a real run would change, without changing it.
    support: full
  diff_mode:
    description: Returns what differs, before and after.
    support: full
  platform:
    description: The operating system of the hypervisor host.
    platforms: posix
    support: full
  action_group:
    description: Use C(group/imageops.fleet.fleet) in C(module_defaults) to set defaults for the modules of a play.
    membership:
      - imageops.fleet.fleet
    support: full
"""

    IDEMPOTENT = r"""
options: {}
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    QUERY = r"""
options: {}
attributes:
  idempotent:
    description: Changes nothing, however often it runs.
    support: full
"""
