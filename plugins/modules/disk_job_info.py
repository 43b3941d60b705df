#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module disk_job_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_job_info
short_description: Lists and stops the jobs of a host
version_added: 0.2.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Long work on disks (conversions, changes of backing chains, checks) runs as jobs of the host helper, which outlive the task
    that started them. This module tells which there are, how far they are and how they ended.
  - Without O(cancel) it changes nothing. Jobs that ended are known for about a week.
  - With O(cancel) it stops the named jobs. New images that they were writing are thrown away, and images read as before, but
    for two. A block device is neither old nor new until the next run of the job's own task has written it again, and the target of a
    commit is complete when that run has completed it; the overlay that is committed reads as before.
  - A job that was killed, or whose host went down, has the status V(died). The next run of its own task starts it again; with
    O(cancel) what it left on disk is removed.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
options:
  ids:
    description:
      - Only jobs with these ids. An id that the host doesn't know is no error, and has no entry in the result.
      - By default jobs with any id.
    type: list
    elements: str
  paths:
    description:
      - Only jobs that write these files or block devices. Symbolic links are resolved.
      - By default jobs on any target.
    type: list
    elements: path
  status:
    description: Only jobs with one of these statuses. By default jobs with any status; other words are refused.
    type: list
    elements: str
    choices: [starting, running, done, failed, cancelled, died]
  cancel:
    description:
      - Stop those of the chosen jobs that are at work, wait for their end, and remove what dead ones left.
      - Needs O(ids) or O(paths), so that nobody stops jobs that he didn't mean. One that is null counts as not given; an empty list
        names no job, and then nothing is stopped. Jobs that ended are left alone.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for the end of each job that is stopped; the task fails after that. Less than 1 is refused.
    type: int
    default: 30
seealso:
  - module: imageops.fleet.disk_convert
"""

EXAMPLES = r"""
- name: What is at work on this host?
  imageops.fleet.disk_job_info:
    status: [starting, running]
  register: jobs

- name: Stop the conversion that writes this image
  imageops.fleet.disk_job_info:
    paths:
      - /var/lib/libvirt/images/debian-12.qcow2
    cancel: true
"""

RETURN = r"""
jobs:
  description: One entry per job that the filters let through, sorted by id.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Id of the job; its folder is C(/var/lib/imageops/jobs/<id>), its unit C(imageops-job-<id>).
      type: str
      returned: always
    kind:
      description: The sort of work, such as V(convert).
      type: str
      returned: success
    target:
      description: The file or block device that it writes, or that a check reads.
      type: str
      returned: success
    status:
      description:
        - V(starting), V(running), V(done), V(failed), V(cancelled), or V(died) when it didn't say how it ended.
        - V(gone) when another task removed it meanwhile.
      type: str
      returned: success
    running:
      description: Whether it is at work.
      type: bool
      returned: success
    phase:
      description: The part of the work that it is in, or was in last.
      type: str
      returned: success
    percent:
      description: How much of the phase is done.
      type: float
      returned: success
    bytes:
      description: Bytes done in the phase.
      type: int
      returned: success
    total:
      description: Bytes of the phase, 0 when unknown.
      type: int
      returned: success
    rate:
      description: Bytes a second in the phase; null when unknown or when it isn't at work.
      type: float
      returned: success
    eta:
      description: Seconds that the phase will still take; null when unknown or when it isn't at work.
      type: float
      returned: success
    started:
      description: When it was started, in seconds since 1970.
      type: float
      returned: success
    updated:
      description: When it last told how it stands, in seconds since 1970.
      type: float
      returned: success
    launcher:
      description: How it was started, V(systemd-run) or V(setsid).
      type: str
      returned: success
    pid:
      description: Its process; null when it isn't at work.
      type: int
      returned: success
    on_interrupt:
      description: What becomes of it when nobody asks for it any more, V(detach) or V(cancel).
      type: str
      returned: success
    lease_timeout:
      description: Seconds after which that is so.
      type: int
      returned: success
    reason:
      description: Why it stopped itself; empty when it didn't.
      type: str
      returned: success
    error:
      description: The sentence with which it failed; empty when it didn't.
      type: str
      returned: success
    leaves:
      description: Hidden files that are to be removed should it die.
      type: list
      elements: str
      returned: success
    phases:
      description: The phases that ended, each with C(name), C(bytes), C(seconds) and C(rate).
      type: list
      elements: dict
      returned: success
    changed:
      description: Whether it was stopped or cleaned up, or would be.
      type: bool
      returned: always
    steps:
      description: What was done, or would be.
      type: list
      elements: str
      returned: success
    failed:
      description: Whether it could not be stopped.
      type: bool
      returned: failure
    msg:
      description: Why it could not be stopped.
      type: str
      returned: failure
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.job_info_spec import JOB_INFO
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_job_info import OPERATION


def main() -> None:
    run_module(JOB_INFO, OPERATION)


if __name__ == "__main__":
    main()
