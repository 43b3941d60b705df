#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_clone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_clone
short_description: Clone VMs, stopped or running
version_added: 0.1.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Makes full or linked clones of a libvirt VM, several in one task, of what it is now or of one of its snapshots.
  - With O(hypervisor=qmp) it copies the disks of a running QEMU process, all of one moment. There is no definition to clone, so no VM
    is defined, and the disks are the clone.
  - A running VM goes on running. Its disks are read as they were at one moment, all of them at the same one, through a backup of
    libvirt's in pull mode, and nothing stays at the source afterwards, neither an overlay nor a checkpoint.
  - Each clone has an identity of its own, that is name, UUID, the MAC of each network interface, serial numbers, UEFI variables
    (NVRAM), log and socket paths of its consoles, and a cloud-init seed with its own instance-id and host name where
    the source has one. O(identity) says what becomes of the guest's own ids.
  - Every file is written under a hidden name, given a record of what it was made from, flushed to disk and then
    renamed. A run that was killed at any moment is finished by the next one.
  - What takes longer runs as a job of the host helper. A second run of the same task joins it.
  - A clone that is there already is never made again, whatever was written to it or to the source since, and is never changed, but
    for its start. What says how it is made counts only then, such as O(directory), O(mac), O(disks), O(snapshot), O(identity),
    O(tpm) and O(serials). Only an O(mac) that the clone hasn't is told, as a warning; another O(mode) or O(source) is refused.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.catalog
  - imageops.fleet.signature
  - imageops.fleet.job
requirements:
  - Python's C(libvirt) on the host (Debian's package C(python3-libvirt))
  - For running sources libnbd's Python library C(nbd) on the host (Debian's package C(python3-libnbd))
  - Python's C(pycdlib) on the host when the clone gets a cloud-init seed (Debian's package C(python3-pycdlib))
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - C(qemu.qmp) for Python on the host for O(hypervisor=qmp) (the role C(imageops.fleet.hypervisor) installs it)
  - For O(identity=edit) C(virt-sysprep) (Debian's package C(guestfs-tools)) and a kernel that the host can read (Debian's package
    C(linux-image-cloud-amd64))
notes:
  - Without O(quiesce) the disks of a running source hold what they would hold after a power cut at that moment, which journalling
    file systems and databases are made for.
  - All clones of one running source in a task are of the same moment; the source is read once for them.
  - While a running source is read, what its guest overwrites is kept in C(/var/lib/imageops/run). When less than 256 MiB are left
    there the reading ends, since QEMU would else refuse the guest's own writes.
  - A VM that one item of a list starts can't be the source of another item. Clone it in a task before or behind.
  - Linked clones never rest on a file that the source may still write to, so a running source can only be linked to by an external
    O(snapshot). Where the disk of a stopped source is an overlay with at
    most 64 MiB of its own, each clone gets a copy of that layer over the same backing file, and the source stays as it
    is. Any other disk becomes a base that is shared read-only, and the source is redefined to go on in a new overlay of
    it, named C(<source>-<target>.<number>.qcow2). The result tells this as RV(clones[].shared). Such a base must stay
    where it is as long as the source or a clone of it exists.
  - Read-only disks other than the cloud-init seed are shared with the source.
  - The clone has the description of the source's next start, also when it is made from a snapshot. UEFI variables are those of the
    moment when the clone is defined. Of a published VM they are those in the image.
  - Refused are host devices, encrypted disks, disks that are not files, and disks shared between VMs; disks can be
    left out or shared by O(disks).
  - Fixed ports of displays and fixed vsock addresses become automatic ones in the clone.
options:
  clones:
    description:
      - Many clones in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the clone.
        type: str
        required: true
      source: &source
        description:
          - Name of the VM to clone. With O(hypervisor=qmp) it may be left out.
          - Or the reference of an image that M(imageops.fleet.image_publish) made of a VM, such as V(registry.example:5000/team/web:7). The
            clone gets disks from the image, which are pulled to O(images_dir) where the host doesn't hold them, and is described as the module
            M(imageops.fleet.vm) describes VMs, with what the image tells of memory, CPUs, machine, firmware, disks, networks, display,
            guest agent and labels. All else of the published description is left out, since an image may be a stranger's.
          - Of an image O(clones[].snapshot), O(clones[].quiesce), V(edit) of O(clones[].identity), and other modes of O(clones[].disks)
            than V(skip) are refused. A tag that moves changes no clone.
        type: str
      mode: &mode
        description:
          - V(full) copies all disks, without backing files. Blocks are shared instead (reflink) where the file system
            can.
          - V(linked) makes overlays, which takes a moment and nearly no space.
        type: str
        choices: [full, linked]
      state: &state
        description:
          - V(running) also starts the clone.
          - V(stopped) leaves a new clone stopped, and one that is there already as it is. Stop VMs with
            M(imageops.fleet.vm).
        type: str
        choices: [stopped, running]
      directory: &directory
        description:
          - Folder for the clone's disks and seed. By default each is made beside the source's.
          - Disks are named C(<name>-<target>.<format>), a seed C(<name>-seed.iso).
        type: path
      mac: &mac
        description:
          - MACs for the network interfaces, in their order. Those left out are made up.
          - Pairs may be separated by colons or dashes. One that is given twice, or that another VM of the host has, is refused.
        type: list
        elements: str
      snapshot: &snapshot
        description:
          - Name of a snapshot of the source. The clone's disks hold what the source's held then, not the memory.
          - Disks whose layer was written to since (after a revert or a merge) are refused.
        type: str
      quiesce: &quiesce
        description:
          - Whether the guest agent of a running source freezes the guest's file systems for the moment at which its disks are taken,
            so that they are clean in the clone. Programs of the guest that write wait meanwhile.
          - They are thawed at the latest after O(quiesce_timeout), whatever is killed. A clone that would not be consistent is not made.
          - A running source without an agent that answers is refused. For a stopped one, and for a snapshot, there is nothing to freeze.
        type: bool
      quiesce_timeout: &quiesce_timeout
        description: Seconds after which a frozen guest is thawed in any case, 1 to 300.
        type: int
      disks: &disks
        description:
          - What becomes of single disks. The others are copied or linked as O(mode) says; read-only ones are shared.
          - A disk that the source doesn't have, or one that is named twice, is refused.
        type: list
        elements: dict
        suboptions:
          target:
            description: Name of the disk in the source's description, such as V(vdb). With O(hypervisor=qmp) it is the drive's id, as
              M(imageops.fleet.vm_info) shows it.
            type: str
            required: true
          mode:
            description:
              - V(copy) copies it, V(link) makes an overlay, V(skip) leaves it out.
              - V(share) lets the clone use the same file, which is only allowed for disks that are read-only or that their description
                calls shareable.
            type: str
            choices: [copy, link, share, skip]
            required: true
      identity: &identity
        description:
          - Who makes the guest another machine, in host name, machine-id, SSH host keys, DHCP ids and leases, and cloud-init instance.
          - V(none) leaves the guest as it is; a seed of the source is given its own instance-id and host name nevertheless.
          - V(seed) lets cloud-init in the guest do it at the first start. The clone gets a NoCloud seed with a new instance-id, also
            when the source has none, and user-data that are added to the source's own.
          - V(edit) edits the clone's disks with libguestfs (C(virt-sysprep)) before they get their names, for guests without cloud-init.
            It takes from half a minute to some minutes. The clone's name must be a host name. Where the program is missing,
            it is refused.
        type: str
        choices: [none, seed, edit]
      tpm: &tpm
        description:
          - What becomes of an emulated TPM. V(refuse) refuses sources that have one.
          - V(fresh) gives the clone an empty one, so that it can't open what the source's TPM sealed.
        type: str
        choices: [refuse, fresh]
      serials: &serials
        description:
          - V(new) gives disks whose serial number or WWN is described, and the board, numbers of their own.
          - V(keep) lets the clone have the source's, for guests that name their file systems by them.
        type: str
        choices: [new, keep]
      bandwidth: &bandwidth
        description:
          - Most bytes a second that are read for the copy, such as V(100MiB). By default as fast as it goes.
          - Of clones that are made together the slowest counts.
        type: str
      timeout: &timeout
        description: Seconds to wait for the job; 0 means no limit. The job goes on, and the next run of the task joins it. Less is refused.
        type: int
      wait_for: &wait_for
        description: What to wait for after a clone was started; only with O(state=running).
        type: dict
        suboptions:
          running:
            description: Whether the VM must be running.
            type: bool
            default: true
          console:
            description: A regular expression that a line of the serial console's output since the start must match.
            type: str
          agent:
            description:
              - Wait until the guest agent answers.
              - A VM without the channel C(org.qemu.guest_agent.0) is an error.
            type: bool
            default: false
          ip:
            description:
              - Wait until an IP address of the VM is known, and by which way. Loopback and link-local addresses don't count.
              - V(agent) asks the guest agent, V(lease) the DHCP server of libvirt's network, V(arp) the neighbours that the host knows.
              - V(any) takes the first of V(lease), V(agent) and V(arp) that tells an address.
            type: str
            choices: [any, agent, lease, arp]
          ssh:
            description:
              - Wait until an SSH server greets on this TCP port, at an address that is looked for as O(wait_for.ip) says, by default V(any).
              - The host of the VM must reach that address.
            type: int
          cloud_init:
            description:
              - Wait until cloud-init in the guest has finished, with success or not, in this start of the VM.
              - The guest agent is asked for its result file, and the console is searched for its last message.
            type: bool
            default: false
          screenshot:
            description:
              - Folder on the host, which must exist. When the wait fails, what the VM's screen shows is written there to V(NAME.png) with
                mode 0600, and the error's result tells its path as C(screenshot).
              - A VM that has no screen, or doesn't run any more, gives no picture; C(screenshot_error) says why.
            type: path
          timeout:
            description: Seconds to wait. The error shows the console's last lines.
            type: int
            default: 120
      hypervisor: &hypervisor
        description:
          - V(libvirt), or V(qmp) for a QEMU process that was started without libvirt and has a QMP socket, O(socket).
          - What V(qmp) can't do is refused with the way out. The guide's section "Without libvirt" has the table.
        type: str
        choices: [libvirt, qmp]
        version_added: 0.3.0
      socket: &socket
        description:
          - With O(hypervisor=qmp), the path of the process' QMP socket on the host, as in its option
            C(-qmp unix:PATH,server=on,wait=off). It must be root's or the task's user's own.
          - QEMU serves one client at a time. Another one that stays connected makes the task fail.
        type: path
        version_added: 0.3.0
      uri: &uri
        description: The local libvirt connection. URIs with a host part are refused, since disks of this host are
          copied.
        type: str
  name:
    description: Name of the clone.
    type: str
  source: *source
  mode:
    <<: *mode
    default: full
  state:
    <<: *state
    default: stopped
  directory: *directory
  mac: *mac
  snapshot: *snapshot
  quiesce:
    <<: *quiesce
    default: false
  quiesce_timeout:
    <<: *quiesce_timeout
    default: 10
  disks: *disks
  identity:
    <<: *identity
    default: none
  tpm:
    <<: *tpm
    default: refuse
  serials:
    <<: *serials
    default: new
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
  wait_for: *wait_for
  hypervisor:
    <<: *hypervisor
    default: libvirt
  socket: *socket
  uri:
    <<: *uri
    default: qemu:///system
  images_dir:
    description:
      - Folder for images that are pulled for a reference in O(source). By default the folder of the storage pool C(default), or
        C(/var/lib/libvirt/images).
    type: path
    version_added: 0.3.0
seealso:
  - module: imageops.fleet.vm
  - module: imageops.fleet.vm_snapshot
"""

EXAMPLES = r"""
- name: A full copy of a VM, independent of it
  imageops.fleet.vm_clone:
    source: web
    name: web-staging

- name: Three linked clones that run, and one full copy
  imageops.fleet.vm_clone:
    source: template
    mode: linked
    state: running
    clones:
      - name: worker1
      - name: worker2
      - name: worker3
        mac:
          - "52:54:00:12:34:56"
      - name: archive
        mode: full
        state: stopped
        directory: /srv/archive

- name: Two machines like a running one, which it doesn't notice, with the guest's ids made anew by cloud-init
  imageops.fleet.vm_clone:
    source: web
    identity: seed
    state: running
    clones:
      - name: web-test1
      - name: web-test2

- name: Two machines as the published one is
  imageops.fleet.vm_clone:
    source: registry.example.org:5000/team/web:7
    mode: linked
    state: running
    require_signature:
      allowed_signers: /etc/imageops/allowed_signers
    clones:
      - name: web-1
      - name: web-2

- name: What a running database had at a clean moment, without its scratch disk
  imageops.fleet.vm_clone:
    source: database
    name: database-copy
    quiesce: true
    disks:
      - target: vdb
        mode: skip

- name: The state of a snapshot, with the guest's ids made anew before the first start
  imageops.fleet.vm_clone:
    source: web
    snapshot: before-upgrade
    name: web-before
    identity: edit

- name: The disks of a QEMU process that runs without libvirt, as they are at one moment
  imageops.fleet.vm_clone:
    hypervisor: qmp
    socket: /run/router/qmp.sock
    name: router-copy
    directory: /srv/copies
"""

RETURN = r"""
clones:
  description: One entry per clone, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the clone.
      type: str
      returned: always
    source:
      description: The VM it was cloned from.
      type: str
      returned: success
    mode:
      description: V(full) or V(linked).
      type: str
      returned: success
    state:
      description: What it does now, such as V(stopped) or V(running).
      type: str
      returned: success, with O(hypervisor=libvirt)
    uuid:
      description: Its UUID; C((known after apply)) in check mode when it would be made.
      type: str
      returned: success, with O(hypervisor=libvirt)
    macs:
      description: MACs of its network interfaces, in their order.
      type: list
      elements: str
      returned: success, with O(hypervisor=libvirt)
    disks:
      description: Its own disks.
      type: list
      elements: dict
      returned: success
      contains:
        target:
          description: Name of the disk, such as V(vda).
          type: str
        path:
          description: Path of its file.
          type: str
        format:
          description: Format of the file.
          type: str
        backing:
          description: Path of the backing file, or an empty string.
          type: str
    waited:
      description: Seconds that were waited for it.
      type: float
      returned: when O(wait_for) is given
    console_match:
      description: The console's line that matched.
      type: str
      returned: when O(wait_for.console) is given
    addresses:
      description: The IP addresses of the VM, IPv4 first.
      type: list
      elements: str
      returned: when O(wait_for.ip) or O(wait_for.ssh) is given
    cloud_init_errors:
      description: Errors that cloud-init tells of. It is left out when only the console told that cloud-init has finished.
      type: list
      elements: str
      returned: when O(wait_for.cloud_init) is given, when the guest agent tells
    seed:
      description: Path of its cloud-init seed, or an empty string.
      type: str
      returned: success, with O(hypervisor=libvirt)
    shared:
      description: Disks of the source that became bases with this clone, each with C(target), C(base) and C(overlay).
      type: list
      elements: dict
      returned: when the clone was made, with O(hypervisor=libvirt)
    job:
      description:
        - How the job went that made the disks, with C(id), C(launcher), C(phases), C(bytes), C(seconds) and C(rate).
        - C(clones) are the names of all clones that it made, C(method) is V(pull) for a running source and else V(copy).
        - With V(pull), C(moment) is the time of which the disks are, and C(frozen_seconds) how long the guest was frozen, with O(quiesce).
      type: dict
      returned: when the disks were made by a job
    changed:
      description: Whether this item changed something, or would.
      type: bool
      returned: always
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.clone_spec import CLONE
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone import OPERATION


def main() -> None:
    run_module(CLONE, OPERATION)


if __name__ == "__main__":
    main()
