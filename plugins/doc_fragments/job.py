# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules whose work is a job of the host helper."""

from __future__ import annotations


class ModuleDocFragment:
    """How a task waits for its job, and what becomes of the job when the task is interrupted."""

    DOCUMENTATION = r"""
options:
  on_interrupt:
    description:
      - What becomes of the jobs of this task when the controller goes away (Ctrl-C, a cut connection, a killed playbook), or when the
        task gives up waiting for them.
      - With V(detach) they go on, and the next run of the task joins them. With V(cancel) they stop by themselves
        once nobody has asked for them for O(lease_timeout) seconds.
      - Images read as before a job that stopped, but for two. A block device that it wrote is neither old nor new until the next run
        has written it again, and the target of a commit is complete when the next run has completed it; the overlay reads as before.
      - Of tasks that wait for the same job, V(detach) wins.
    type: str
    choices: [detach, cancel]
    default: detach
  lease_timeout:
    description:
      - Seconds without a sign of the controller after which a job of a task with O(on_interrupt=cancel) stops. Less than 5 is refused.
      - A host that can't be reached for as long, while the task waits for a job, ends the task as unreachable.
    type: int
    default: 60
notes:
  - C(bandwidth) is the most bytes a second of each job; V(0) is no limit, as when it is left out.
  - With C(timeout) and O(on_interrupt=cancel) a job that was not waited for long enough stops after O(lease_timeout) seconds, unless
    the task is run again before.
  - While the task waits for jobs that last longer than some seconds, their progress is shown on standard error, a line per phase and
    per ten percent. Tasks with C(async), and with C(no_log), show none.
"""
