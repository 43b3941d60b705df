#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module disk_chain."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_chain
short_description: Flatten, shorten, rebase and commit backing chains of disk images
version_added: 0.2.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Changes on which files a qcow2 overlay rests, offline. What the chain shall be is declared; where it is that already, nothing
    is done.
  - O(depth) says how many files the chain may have. The image takes over the data of the layers that go, and V(1) flattens it.
  - O(backing) says on which file the image shall rest. Its content stays what it is, unless O(backing.unsafe) is asked for.
  - O(commit) writes what the image holds into a lower file of its chain, and removes the image.
  - Every layer is read by the collection's own header parser before an engine is started. Block jobs are told the driver and the
    file of each, and follow no name in an image.
  - Only O(path) is written to by O(depth) and O(backing), and it reads the same at every moment, also when a process or the host is
    killed. With O(commit) the file O(commit.into) changes, O(path) reads as before until that one is complete, and goes last.
  - The task is refused while a VM or an engine has the image open, and O(commit) also while any other image or VM, running
    or only defined, rests on a file that would change.
  - The work runs as a job of the host helper with the progress of the block job. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - C(qemu-storage-daemon) (Debian 12's package C(qemu-system-common), Debian 13's C(qemu-utils)) and the Python library
    C(qemu.qmp) for O(depth) and O(commit), and for O(backing) where the new file is in the chain already. The role
    P(imageops.fleet.hypervisor#role) installs both.
options:
  disks:
    description:
      - Many chains in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path of the image at the top of the chain, a qcow2 file.
        type: path
        required: true
      depth: &depth
        description:
          - Most files that the chain may have, the image and the base counted. V(1) flattens, so that the image needs no other file.
          - The lowest files are kept. What lies between them and the image is copied into the image. A shorter chain is left as it is.
        type: int
      backing: &backing
        description:
          - The file on which the image shall rest.
          - Where it is a layer of the chain already, the layers between are copied into the image. Another file is compared with the old
            chain, and a new overlay that holds just the differences takes the place of O(path) when it is whole. That
            needs space for the differences. Dirty bitmaps would be lost, so an image that has any is refused.
        type: dict
        suboptions:
          path:
            description: Absolute path of the backing file.
            type: path
            required: true
          format:
            description:
              - Its format, which is always recorded in the header of O(path).
              - By default the format in the collection's record on the file, or the one that its header shows. A raw file needs V(raw) here.
            type: str
            choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
          chain:
            description: Absolute paths of the files that the backing file's own chain may use.
            type: list
            elements: path
          relative:
            description:
              - Whether the header names the backing file from the folder of O(path) (V(true)), or by its absolute path (V(false)).
              - By default a name that leads to the right file stays as it is, and a new one is absolute.
            type: bool
          unsafe:
            description:
              - Write the new name into the header and read neither the old nor the new chain. The content changes unless both hold the same.
              - This is for a backing file that was moved, or that the header names badly. The file must be there all the same.
            type: bool
            default: false
      commit: &commit
        description:
          - Write all that O(path) and the layers down to a lower file hold into that file, which grows when it is smaller.
          - O(path) and the layers between are removed afterwards, since the layers between would read wrongly.
          - When O(path) is gone and the file's record says that it was committed there, nothing is done.
        type: dict
        suboptions:
          into:
            description: Absolute path of the lower file, a qcow2 or raw image. Nothing else may rest on it.
            type: path
            required: true
          keep:
            description: Leave an empty overlay over the file at O(path) instead of removing it.
            type: bool
            default: false
      rewrite: &rewrite
        description:
          - With O(depth=1), write a flat image beside O(path) and give it that name when it is whole, instead of copying into O(path).
          - This is faster and leaves out what the guest has discarded. It needs space for the whole image, and dirty
            bitmaps would be lost, so an image that has any is refused.
        type: bool
      chain: &chain
        description:
          - Absolute paths of the files that the chain of O(path) may use.
          - What the collection's own records name may be used anyway. A chain that was made by others is refused without this.
        type: list
        elements: path
      verify: &verify
        description:
          - V(quick) lets the engine's result, C(qemu-img check) and the collection's parser decide.
          - V(deep) also compares the new chain with the old one byte by byte before the old one is given up.
        type: str
        choices: [quick, deep]
      remove_unused: &remove_unused
        description:
          - Remove the files that O(path) no longer rests on after O(depth) or O(backing), where they carry a record of the
            collection, and neither a VM nor another image uses them.
          - A later run still removes what an earlier one left.
        type: bool
      bandwidth: &bandwidth
        description: Most bytes a second that are copied, as bytes or a size such as V(100M). By default there is no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the work. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes.
        type: int
      search_paths: &search_paths
        description: >-
          More folders whose images may rest on files of the chain. The folders of these files and all storage pools are looked at
          anyway. Each must exist.
        type: list
        elements: path
  path:
    description: Absolute path of the image at the top of the chain, a qcow2 file.
    type: path
  depth: *depth
  backing: *backing
  commit: *commit
  rewrite:
    <<: *rewrite
    default: false
  chain: *chain
  verify:
    <<: *verify
    default: quick
  remove_unused:
    <<: *remove_unused
    default: false
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
  search_paths: *search_paths
notes:
  - Give just one of O(depth), O(backing) and O(commit).
  - Images with internal snapshots, encrypted layers or external data files are refused.
seealso:
  - module: imageops.fleet.disk
  - module: imageops.fleet.disk_convert
  - module: imageops.fleet.disk_info
"""

EXAMPLES = r"""
- name: The disk of web1 needs no other file any more
  imageops.fleet.disk_chain:
    path: /var/lib/libvirt/images/web1.qcow2
    depth: 1

- name: Chains of two files at most, and what nobody needs afterwards goes
  imageops.fleet.disk_chain:
    depth: 2
    remove_unused: true
    disks:
      - path: /var/lib/libvirt/images/web1.qcow2
      - path: /var/lib/libvirt/images/web2.qcow2

- name: The overlay rests on the new golden image and keeps its content
  imageops.fleet.disk_chain:
    path: /var/lib/libvirt/images/web1.qcow2
    backing:
      path: /var/lib/libvirt/images/debian-13.qcow2
      format: qcow2
    verify: deep

- name: The golden image was moved, its content is the same
  imageops.fleet.disk_chain:
    path: /var/lib/libvirt/images/web1.qcow2
    backing:
      path: /srv/golden/debian-12.qcow2
      format: qcow2
      unsafe: true

- name: What was tried in the overlay becomes part of the golden image, at 100 MiB a second at most
  imageops.fleet.disk_chain:
    path: /srv/golden/trial.qcow2
    commit:
      into: /srv/golden/debian-12.qcow2
    bandwidth: 100M
"""

RETURN = r"""
disks:
  description: One entry per chain, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path of the image, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    chain_before:
      description: The chain as it was, from the top down.
      type: list
      elements: dict
      returned: success
      contains: &layer
        path:
          description: Resolved path of the layer.
          type: str
          returned: success
        format:
          description: Its format.
          type: str
          returned: success
        virtual_size:
          description: Its virtual size in bytes.
          type: int
          returned: success
        allocated_size:
          description: Bytes that it takes on disk; C((known after apply)) in check mode where it would change.
          type: raw
          returned: success
    chain_after:
      description: The chain as it is now, or would be. After a commit that removed O(path) it begins with O(commit.into).
      type: list
      elements: dict
      returned: success
      contains: *layer
    unused:
      description:
        - Files that the image rested on before and that neither it nor anything else uses now.
        - In check mode, all files that it would not rest on any more.
      type: list
      elements: str
      returned: success
    removed:
      description: The files that O(remove_unused) removed in this run.
      type: list
      elements: str
      returned: success
    changed:
      description: Whether this item was changed, or would be.
      type: bool
      returned: always
    joined:
      description: Whether work that ran already was waited for.
      type: bool
      returned: when joined
    job:
      description:
        - The job that did it, with C(id), C(launcher), C(seconds), C(bytes) and C(rate) (bytes a second, null when nothing was counted)
          of the phase that moved most, C(phases), a list of C(name), C(bytes), C(seconds) and C(rate), and C(verify).
        - C(act) names what was done, V(copy-up) (content was read into the layer above it), V(header) (only the name of the base was
          written), V(anew) (a new image took the place of the old one), V(commit), V(tidy) (files that an interrupted run left were
          removed), or V(nothing) when another task had done it.
      type: dict
      returned: when the chain was changed in this run
    steps:
      description: What was done, or would be.
      type: list
      elements: str
      returned: success
    failed:
      description: Whether this item failed.
      type: bool
      returned: failure
    msg:
      description: Why this item failed.
      type: str
      returned: failure
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.chain_spec import CHAIN
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_chain import OPERATION


def main() -> None:
    run_module(CHAIN, OPERATION)


if __name__ == "__main__":
    main()
