# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that work in a guest's file systems and write an image: image_build and vm_capture.

What such a fragment says of a list's suboptions replaces what a module says of them, so each module's own options are here too.
"""

from __future__ import annotations

from textwrap import indent

_ITEM = r"""
path:
  description: Absolute path of the image to make. Its folder must exist.
  type: path
  required: true
format: &format
  description: Its format.
  type: str
  choices: [qcow2, raw]
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
          description: Absolute path on the host. Its content is part of what is compared in the next run.
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
      That is quick, and no wall against a hostile guest. Use it for guests that you trust. It knows ext2, ext3, ext4 and XFS, and no LVM.
    - V(auto) takes V(guestfs) where that works on the host, else V(chroot). The result's C(engine) tells, and its C(job) why.
  type: str
  choices: [auto, guestfs, chroot]
guest_timeout: &guest_timeout
  description: Seconds that each step may take, 1 or more.
  type: int
force: &force
  description: Make anew also what is there already, and replace also what this module did not make.
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
"""
_TASK = r"""
path:
  description: Absolute path of the image to make. Its folder must exist.
  type: path
format:
  <<: *format
  default: qcow2
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
"""
_BUILD_ITEM = r"""
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
        - Of other file systems that are mounted in it, such as C(/proc), only the empty mount points are copied.
        - Bases that are no disk yet are always worked on as by O(engine=chroot).
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
"""
_BUILD_TASK = r"""
base: *base
"""
_CAPTURE_ITEM = r"""
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
"""
_CAPTURE_TASK = r"""
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
"""


def _section(items: str, item: str, task: str) -> str:
    """The options of a module with the list `items`, for one item and for the task."""
    return f"""
options:
  {items}:
    description:
      - Many images in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
{indent(item + _ITEM, "      ")}
{indent(task + _TASK, "  ")}
notes:
  - Where the guest runs SELinux it labels its files at its first start.
"""


class ModuleDocFragment:
    """What is done in a guest, and how the image is written."""

    # Annotated: ansible-test's yamllint takes each plain assignment for a literal text.
    BUILDS: str = _section("builds", _BUILD_ITEM, _BUILD_TASK)
    CAPTURES: str = _section("captures", _CAPTURE_ITEM, _CAPTURE_TASK)
