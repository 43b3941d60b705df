#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_capture."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_capture
short_description: Make an image of a VM or of another machine's disk
version_added: 0.5.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Takes a disk of a stopped or running VM, or of another machine over SSH, removes the identity and the traces of the machine on a copy or a
    layer, does further steps there, and writes an image, compressed and whole. The source stays as it is.
  - At every moment the name shows the old image or the new one. The list of the guest's packages is written beside it as an SBOM (SPDX 2.3, JSON).
  - A source writes all the time. What was captured once with the same options isn't captured again, unless O(force) says so.
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.job
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    details: With O(force) each run captures.
    support: partial
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - For V(guestfs) C(guestfish) on the host (Debian's package C(guestfish)) and a kernel that the host can read (C(linux-image-cloud-amd64))
  - For V(chroot) root, C(unshare), C(blkid) and loop devices
  - For O(vm) the Python library C(libvirt) (C(python3-libvirt)), for running ones also C(nbd) (C(python3-libnbd))
  - For O(ssh) C(ssh) (C(openssh-client)), and C(dd) and C(blockdev) on the machine
options:
  captures:
    description:
      - Many images in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path of the image to make. Its folder must exist.
        type: path
        required: true
      format: &format
        description: Its format.
        type: str
        choices: [qcow2, raw]
      vm: &vm
        description:
          - Name of a VM. Excludes O(ssh).
          - A stopped VM's disk is read as it is, below a layer. Until the image is there the VM doesn't start, since QEMU keeps it from writing to
            what is read.
          - The disk of a running one is read as it is at one moment, by a backup of libvirt's, while the guest goes on.
        type: str
      uri: &uri
        description: libvirt's URI, of the host itself.
        type: str
      disk: &disk
        description: Target of the disk, such as V(vda). By default the VM's first one.
        type: str
      quiesce: &quiesce
        description: Freeze the file systems of a running guest by its agent for the moment at which its disk is taken. Without it they are as after a
          power cut.
        type: bool
      quiesce_timeout: &quiesce_timeout
        description: Seconds that the guest may be frozen at most. The task fails when that is too short.
        type: int
      ssh: &ssh
        description:
          - A disk of another machine, read over SSH from the host. Excludes O(vm).
          - Nothing may write to it meanwhile, so it is best read from a rescue system, or be a snapshot of its volume manager. Else the image is as torn
            as after a power cut that lasted as long as the reading.
        type: dict
        suboptions:
          host:
            description: Name or address of the machine.
            type: str
            required: true
          port:
            description: Port of its SSH server.
            type: int
            default: 22
          user:
            description: User to log in as. By default the one that SSH's configuration on the host says.
            type: str
          key:
            description: Absolute path on the host of a private key without a passphrase. By default those of SSH's configuration.
            type: path
          known_hosts:
            description: Absolute path on the host of a file with the machine's own key. A machine that isn't known is refused.
            type: path
          sudo:
            description: Whether the disk is read by C(sudo) on the machine.
            type: bool
            default: false
          disk:
            description: Absolute path of the disk on the machine, such as V(/dev/vda).
            type: str
            required: true
      size: &size
        description: Least size of the disk that the guest sees, as bytes or a size such as V(20G). By default the source's.
        type: str
      steps: &steps
        description:
          - What is done in the guest, in this order. Each step is of just one kind.
          - The guest's own programs do it, as root, and services don't start meanwhile. The guest's processor must be of the host's kind.
        type: list
        elements: dict
        suboptions:
          packages:
            description: Packages to install by apt, dnf, yum, zypper, apk or pacman, whichever the guest has. The guest gets a network for it.
            type: list
            elements: str
          remove_packages:
            description: Packages to remove, with their configuration where the package manager does that.
            type: list
            elements: str
          upgrade:
            description: Upgrade all packages. The guest gets a network for it.
            type: bool
          copy:
            description: Copy a file, or what is in a folder, from the host into the guest.
            type: dict
            suboptions:
              src:
                description: Absolute path on the host. Its content is part of what is compared.
                type: path
                required: true
              dest: &dest
                description: Absolute path in the guest. Folders above it are made.
                type: str
                required: true
              owner: &owner
                description: Owner in the guest, by default root.
                type: str
              group: &group
                description: Group in the guest, by default root.
                type: str
              mode: &mode
                description: Permissions of a file, octal digits in quotes. By default V(0644), of a secret V(0600).
                type: raw
          write:
            description: Write a text to a file in the guest.
            type: dict
            suboptions:
              dest: *dest
              owner: *owner
              group: *group
              mode: *mode
              content:
                description: The text.
                type: str
              secret:
                description: The text, where nobody may see it. It is in no file of the host, argument, log or result.
                type: str
          delete:
            description: Absolute paths in the guest to remove, folders with all that is in them.
            type: list
            elements: str
          user:
            description: A user, made when missing, with a home.
            type: dict
            suboptions:
              name:
                description: The user's name.
                type: str
                required: true
              uid:
                description: Number of a new user.
                type: int
              groups:
                description: Groups to be in besides. They must exist.
                type: list
                elements: str
              shell:
                description: Absolute path of the login shell.
                type: str
              sudo:
                description: Whether the user may do everything by C(sudo) without a password.
                type: bool
                default: false
              password:
                description: Password in plain words. The guest's own C(chpasswd) hashes it.
                type: str
              password_hash:
                description: Password as it stands in C(/etc/shadow).
                type: str
          ssh_key:
            description: Public keys that may log in as a user.
            type: dict
            suboptions:
              user:
                description: The user's name.
                type: str
                required: true
              keys:
                description: Public keys, each a line.
                type: list
                elements: str
                required: true
          run:
            description: Commands for the guest's shell, which ends at the first that fails.
            type: dict
            suboptions:
              script:
                description: The commands.
                type: str
                required: true
              network:
                description: Whether they may reach a network.
                type: bool
                default: false
          service:
            description: What a service does at the guest's starts, by systemd or OpenRC.
            type: dict
            suboptions:
              name:
                description: Name of the service.
                type: str
                required: true
              state:
                description: What it does.
                type: str
                choices: [enabled, disabled, masked]
                default: enabled
          timezone:
            description: Time zone, such as V(Europe/Berlin). The guest must have tzdata.
            type: str
          hostname:
            description: Host name.
            type: str
          harden:
            description:
              - What makes a guest harder to attack, of V(no_core_dumps), V(root_locked) (root has no password), V(ssh_no_passwords), V(ssh_no_root),
                V(sysctl) (settings of the kernel) and V(umask) (V(027) for logins).
            type: list
            elements: str
          grow:
            description:
              - The partition that takes the new room of O(size) together with its file system, V(last) is the last one on the disk. It grows before
                all other steps, and only ext2, ext3, ext4, btrfs and XFS do.
            type: str
            choices: [last]
      generalise: &generalise
        description: Whether the identity and the traces of a machine are removed, on the copy, so that each machine from the image gets its own.
        type: bool
      keep: &keep
        description:
          - What O(generalise) leaves alone, of V(machine_id), V(ssh_host_keys), V(dhcp_leases), V(persistent_net), V(cloud_init) (what cloud-init
            remembers), V(random_seed), V(logs), V(history), V(package_caches) and V(temporary_files).
          - Where there is no cloud-init a unit of systemd makes new SSH host keys at the first start.
        type: list
        elements: str
      compression: &compression
        description: How the clusters of a qcow2 image are compressed, V(zstd) by default.
        type: str
        choices: [none, zlib, zstd]
      engine: &engine
        description:
          - What opens the guest's file systems. V(guestfs) is libguestfs, whose small machine keeps what the guest's programs do apart from the
            host. The processor is emulated where KVM doesn't work.
          - With V(chroot) the host's kernel mounts a raw copy of the disk, and the guest's programs run on the host as root, in namespaces of their own.
            That is quick, and no wall against a hostile guest. Use it for guests that you trust. It knows ext2, ext3, ext4 and XFS, and no LVM.
          - V(auto) takes V(guestfs) where that works on the host, else V(chroot). RV(captures[].engine) tells, and RV(captures[].job) why.
        type: str
        choices: [auto, guestfs, chroot]
      guest_timeout: &guest_timeout
        description: Seconds that each step may take, 1 or more.
        type: int
      force: &force
        description: Capture again what is there already, and replace also what no capture made.
        type: bool
      search_paths: &search_paths
        description: More folders whose images may rest on the one that is replaced. Its own folder and all storage pools are looked at anyway.
        type: list
        elements: path
      owner: &file_owner
        description: Owner of the image, by default who runs the task.
        type: str
      group: &file_group
        description: Group of the image.
        type: str
      mode: &file_mode
        description: Permissions of the image, octal digits in quotes. By default V(0640) for a new one.
        type: raw
      bandwidth: &bandwidth
        description: Most bytes a second that are fetched and written, as bytes or a size such as V(100M). By default there is no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the work. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes. Negative numbers are refused.
        type: int
  path:
    description: Absolute path of the image to make. Its folder must exist.
    type: path
  format:
    <<: *format
    default: qcow2
  vm: *vm
  uri:
    <<: *uri
    default: qemu:///system
  disk: *disk
  quiesce:
    <<: *quiesce
    default: false
  quiesce_timeout:
    <<: *quiesce_timeout
    default: 10
  ssh: *ssh
  size: *size
  steps: *steps
  generalise:
    <<: *generalise
    default: true
  keep: *keep
  compression: *compression
  engine:
    <<: *engine
    default: auto
  guest_timeout:
    <<: *guest_timeout
    default: 1800
  force:
    <<: *force
    default: false
  search_paths: *search_paths
  owner: *file_owner
  group: *file_group
  mode: *file_mode
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
notes:
  - UEFI variables and the description of a VM are no part of a disk. M(imageops.fleet.image_publish) keeps them with its option C(vm), but generalises
    nothing.
  - Where the guest runs SELinux it labels its files at its first start.
seealso:
  - module: imageops.fleet.image_build
  - module: imageops.fleet.image_publish
  - module: imageops.fleet.vm_clone
"""

EXAMPLES = r"""
- name: An image of a VM that was set up by hand, while it runs
  imageops.fleet.vm_capture:
    path: /srv/golden/web.qcow2
    vm: web1
    quiesce: true

- name: Of a machine that boots a rescue system
  imageops.fleet.vm_capture:
    path: /srv/golden/old-server.qcow2
    ssh:
      host: 192.0.2.7
      user: root
      known_hosts: /root/.ssh/known_hosts
      disk: /dev/sda
    steps:
      - packages: [qemu-guest-agent]

- name: Of several VMs, anew each time
  imageops.fleet.vm_capture:
    force: true
    captures:
      - path: /srv/golden/web.qcow2
        vm: web1
      - path: /srv/golden/database.qcow2
        vm: database1
        disk: vdb
"""

RETURN = r"""
captures:
  description: One entry per image, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path of the image, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    format:
      description: Its format.
      type: str
      returned: success
    virtual_size:
      description: Its virtual size in bytes; C((known after apply)) in check mode where it would be made.
      type: raw
      returned: success
    allocated_size:
      description: Bytes that it takes on disk; C((known after apply)) in check mode where it would be made.
      type: raw
      returned: success
    recipe:
      description: Digest of the source's name, the steps and all options that make the image what it is, but for secrets.
      type: str
      returned: success
    base:
      description: What it was made from, with C(kind), and C(vm), C(host) and C(disk).
      type: dict
      returned: success
    engine:
      description: What opened the guest's file systems; C((known after apply)) in check mode where it would be made.
      type: str
      returned: success
    packages:
      description: How many packages the guest has; C((known after apply)) in check mode where it would be made.
      type: raw
      returned: success
    sbom:
      description: Path of the SBOM; C((known after apply)) in check mode where it would be made.
      type: str
      returned: success
    owner:
      description: Owner of the image.
      type: str
      returned: success
    group:
      description: Group of the image.
      type: str
      returned: success
    mode:
      description: Permissions of the image.
      type: str
      returned: success
    changed:
      description: Whether it was made, or would be.
      type: bool
      returned: always
    joined:
      description: Whether work that ran already was waited for.
      type: bool
      returned: when joined
    job:
      description:
        - The job that did it, with C(id), C(launcher), C(seconds), C(phases), one for each step, and C(changed).
        - C(engine) is what opened the guest's file systems, C(engine_reason) why it wasn't V(guestfs), C(growth) what grew, C(method) the engine
          that wrote the image.
      type: dict
      returned: when the image was made in this run
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.vm_capture_spec import VM_CAPTURE
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_capture import OPERATION


def main() -> None:
    run_module(VM_CAPTURE, OPERATION)


if __name__ == "__main__":
    main()
