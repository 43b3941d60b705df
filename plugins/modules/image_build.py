#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_build."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build a golden image from a recipe, without booting it
version_added: 0.5.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Makes a disk image of a base and an ordered list of steps, which are done in the guest's file systems while no guest runs.
  - Steps are done on a layer over the base, which stays as it is. Then the identity and the traces of a machine are removed, file systems
    give back what they don't use, and the image is written compressed, whole, and without a backing file.
  - The recipe has a digest, which the image's record keeps. A second run compares it and looks at nothing else, a changed recipe makes
    the image anew. At every moment the name shows the old image or the new one.
  - The list of the guest's packages is written beside the image as an SBOM (SPDX 2.3, JSON).
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
  - imageops.fleet.catalog
  - imageops.fleet.signature
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - For V(guestfs) C(guestfish) on the host (Debian's package C(guestfish)) and a kernel that the host can read (C(linux-image-cloud-amd64))
  - For V(chroot) root, C(unshare), C(blkid) and loop devices; for bases that are no disk yet C(mke2fs) (C(e2fsprogs)), and C(mmdebstrap)
  - For O(base.signature) C(gpgv) on the host
options:
  builds:
    description:
      - Many images in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path of the image to build. Its folder must exist.
        type: path
        required: true
      format: &format
        description: Its format.
        type: str
        choices: [qcow2, raw]
      base: &base
        description: What the image is built from, by just one of O(base.path), O(base.image), O(base.url), O(base.directory), O(base.tarball)
          and O(base.mmdebstrap).
        type: dict
        suboptions:
          path:
            description: Absolute path of a disk image on the host. Nothing may write to it meanwhile.
            type: path
          format:
            description: Format of O(base.path) or of what comes from O(base.url). By default the one that its header shows. A raw image needs V(raw)
              here, unless its record says so.
            type: str
            choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
          backing:
            description: Absolute paths of the files that O(base.path) may rest on. What the collection's own records name may be used anyway.
            type: list
            elements: path
          image:
            description:
              - Reference of an image in a catalog, such as V(dir:/srv/images/debian:12.8). The file that the host holds of it is used, else it is
                pulled into the folder of O(path), where it stays.
              - A tag that moves is no other recipe. Name a digest or a new tag to build from a newer one.
            type: str
          disk:
            description: Name of the disk in O(base.image), where it has several.
            type: str
          url:
            description: Address of a disk image on a web server, such as a distribution's cloud image.
            type: str
          checksum:
            description: Checksum of what O(base.url) holds, as V(sha256:DIGEST), or the list that holds it, as V(sha256:URL) or V(sha256:/PATH).
            type: str
          signature:
            description: Address of the OpenPGP signature of that list, in a file of its own. Nothing of a list is believed that isn't signed rightly.
            type: str
          keyring:
            description: Absolute path on the host of the keyring with the keys that may have signed, as C(gpgv) reads it.
            type: path
          directory:
            description:
              - Absolute path of a folder on the host with a root file system. It is copied, and the copy becomes a disk that boots by BIOS and UEFI.
              - What changed in it is found by names, sizes and times of all that is in it.
            type: path
          tarball:
            description: Absolute path of an archive on the host with a root file system, as C(tar) reads it. It becomes a disk as O(base.directory) does.
            type: path
          mmdebstrap:
            description: A Debian or Ubuntu system made by C(mmdebstrap), which becomes a disk as O(base.directory) does.
            type: dict
            suboptions:
              suite:
                description: The release, such as V(bookworm).
                type: str
                required: true
              variant:
                description: How much is in it, as C(mmdebstrap) knows it.
                type: str
                choices: [essential, apt, minbase, important, standard]
                default: minbase
              include:
                description: More packages.
                type: list
                elements: str
              components:
                description: Components of the archive, by default V(main).
                type: list
                elements: str
              mirrors:
                description: Addresses of the archive, or lines of C(sources.list). By default the distribution's own.
                type: list
                elements: str
      size: &size
        description: Least size of the disk that the guest sees, as bytes or a size such as V(20G). By default the base's, or what its files take and some
          room.
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
                description: Absolute path on the host. Its content is part of the recipe.
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
        description: Whether the identity and the traces of a machine are removed at the end, so that each machine from the image gets its own.
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
            That is quick, and no wall against a hostile guest. Use it for bases that you trust. It knows ext2, ext3, ext4 and XFS, and no LVM.
          - V(auto) takes V(guestfs) where that works on the host, else V(chroot). RV(builds[].engine) tells, and RV(builds[].job) why.
          - Bases that are no disk yet are always worked on by V(chroot).
        type: str
        choices: [auto, guestfs, chroot]
      guest_timeout: &guest_timeout
        description: Seconds that each step may take, 1 or more.
        type: int
      force: &force
        description: Build anew also what is there already, and replace also what no build made.
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
    description: Absolute path of the image to build. Its folder must exist.
    type: path
  format:
    <<: *format
    default: qcow2
  base: *base
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
  - Two builds of one recipe give images with the same files, but not the same bytes, since file systems keep times. What is not
    reproducible stands in the guide to building.
  - Where the guest runs SELinux it labels its files at its first start.
seealso:
  - module: imageops.fleet.image_publish
  - module: imageops.fleet.disk_compact
  - module: imageops.fleet.vm
"""

EXAMPLES = r"""
- name: A golden image with a web server
  imageops.fleet.image_build:
    path: /srv/golden/web.qcow2
    base:
      path: /srv/images/debian-12.qcow2
    size: 10G
    steps:
      - grow: last
      - packages: [nginx, qemu-guest-agent]
      - write:
          dest: /etc/nginx/conf.d/gzip.conf
          content: |
            gzip on;
      - user:
          name: ops
          sudo: true
      - ssh_key:
          user: ops
          keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGw8 ops@example.org"]
      - service:
          name: nginx
      - harden: [root_locked, ssh_no_passwords]

- name: From the distribution's cloud image, whose list of checksums is signed
  imageops.fleet.image_build:
    path: /srv/golden/ubuntu.qcow2
    base:
      url: https://cloud-images.ubuntu.com/releases/24.04/release/ubuntu-24.04-server-cloudimg-amd64.img
      checksum: sha256:https://cloud-images.ubuntu.com/releases/24.04/release/SHA256SUMS
      signature: https://cloud-images.ubuntu.com/releases/24.04/release/SHA256SUMS.gpg
      keyring: /usr/share/keyrings/ubuntu-cloudimage-keyring.gpg
    steps:
      - timezone: Europe/Berlin

- name: A Debian of nothing but its packages
  imageops.fleet.image_build:
    path: /srv/golden/debian-12.qcow2
    size: 4G
    base:
      mmdebstrap:
        suite: bookworm
        include: [openssh-server, cloud-init, netplan.io]
    steps:
      - packages: [qemu-guest-agent]

- name: Many images of one base in a catalog
  imageops.fleet.image_build:
    base:
      image: dir:/srv/images/debian:12.8
    builds:
      - path: /srv/golden/database.qcow2
        steps:
          - packages: [postgresql]
      - path: /srv/golden/cache.qcow2
        steps:
          - packages: [redis-server]
"""

RETURN = r"""
builds:
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
      description: Its virtual size in bytes; C((known after apply)) in check mode where only the base, which isn't here yet, tells it.
      type: raw
      returned: success
    allocated_size:
      description: Bytes that it takes on disk; C((known after apply)) in check mode where it would be built.
      type: raw
      returned: success
    recipe:
      description: Digest of the recipe, that is of base, steps and all options that make the image what it is, but for secrets.
      type: str
      returned: success
    base:
      description: What it was built from, with C(kind), C(path), C(reference) or C(url), and C(digest), the digest of the base's file.
      type: dict
      returned: success
    engine:
      description: What opened the guest's file systems; C((known after apply)) in check mode where it would be built.
      type: str
      returned: success
    packages:
      description: How many packages the guest has; C((known after apply)) in check mode where it would be built.
      type: raw
      returned: success
    sbom:
      description: Path of the SBOM; C((known after apply)) in check mode where it would be built.
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
      description: Whether it was built, or would be.
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
      returned: when the image was built in this run
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_build_spec import IMAGE_BUILD
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_build import OPERATION


def main() -> None:
    run_module(IMAGE_BUILD, OPERATION)


if __name__ == "__main__":
    main()
