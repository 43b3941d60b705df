#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_install."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_install
short_description: Install operating systems onto new disks, unattended
version_added: 0.3.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Installs an operating system from scratch with its own installer, which is started from an ISO image, from a kernel and an
    initrd, or over the network, and gets its answers from a file of preseed, kickstart, autoinstall, AutoYaST, Ignition, Combustion
    or Windows' unattended set-up. The result is a disk, ready for M(imageops.fleet.vm) or M(imageops.fleet.image_publish).
  - The installer runs in a machine that exists only meanwhile, and writes to a disk under a hidden name. The disk gets its name
    when the installation is complete, so at every moment the name shows the old content or the finished disk.
  - What the machine says on its serial console is followed for progress, for the end, and for failures. A failed installation tells
    the last lines, and takes a picture of the screen where O(finish.screenshot) is given.
  - A second run finds in the record of the finished disk that it was made from the same media, answers and options, and looks no
    further. What a guest wrote to the disk since is its own matter.
  - Before anything is made, media, answers, memory, space, firmware and network are looked at.
  - The work runs as a job of the host helper. A second run of the same task joins it. The machine ends with the job.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
requirements:
  - C(libvirt) for Python on the host (Debian's package C(python3-libvirt))
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - C(pycdlib) for Python on the host (Debian's package C(python3-pycdlib)) for answers on a CD, and for a kernel on an ISO image
options:
  installs:
    description:
      - Many installations in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path of the disk to make, in a folder that exists and that QEMU's user can enter.
        type: path
        required: true
      format: &format
        description: Format of the disk.
        type: str
        choices: [raw, qcow2]
      size: &size
        description: Size of the disk, such as V(20GiB). Required until the disk is installed.
        type: str
      force: &force
        description:
          - Replace a file that is there and is not what this task installs, once the new installation is complete. Without it
            such a file is an error.
          - A disk that a VM or another image uses is never replaced.
        type: bool
      boot: &boot
        description:
          - How the installer is started. V(direct) starts O(kernel) with O(initrd) and O(arguments). V(cdrom) starts the loader of O(iso). V(network)
            has the machine boot over the network.
          - With V(network) and O(kernel), or O(tftp_root), the files are served by DHCP and TFTP on a network of libvirt's that is made for
            the time of the installation, and leads outside by NAT. Without both the service that O(network) or O(bridge) has is asked.
          - By default V(direct) with O(kernel), else V(cdrom) with O(iso), else V(network).
        type: str
        choices: [direct, cdrom, network]
      kernel: &kernel
        description:
          - The installer's kernel, by its absolute path on the host, or with O(iso) by its name on that image without a slash before it, such as
            V(install.amd/vmlinuz).
        type: str
      initrd: &initrd
        description: The initial RAM file system of O(kernel), named in the same way.
        type: str
      arguments: &arguments
        description:
          - Command line of O(kernel). Words that the installer needs to find its answers, and a console on the serial port, are put before it
            unless it has such words itself.
          - The record of the disk keeps only a digest of it. While the installer runs the host's users see it as words of QEMU's, so secrets are
            better in O(answers).
        type: str
      iso: &iso
        description:
          - Absolute path of an ISO image on the host. It is in the machine's drive with V(direct) and V(network), too.
        type: path
      tftp_root: &tftp_root
        description:
          - A folder on the host that is served to a machine that boots over the network, for loaders of your own, also of UEFI. The user
            that libvirt's DHCP server runs as must be able to read it.
        type: path
      boot_file: &boot_file
        description: The file of O(tftp_root) that is started, such as V(pxelinux.0).
        type: str
      subnet: &subnet
        description: >-
          Addresses of the network that serves the files, such as V(192.168.177.0/24), with a prefix of /16 to /30. By default a free one of 192.168.176.0/20.
        type: str
      answers: &answers
        description:
          - The answer file. It is readable by root and QEMU alone, stands in no log, and its content is told nowhere.
          - With O(boot=network) it is in the initrd that is served, so whoever reaches the network that serves it, such as the host's users,
            can fetch it meanwhile.
          - It reaches the installer in the way that it looks for it by itself.
        type: dict
        suboptions:
          kind:
            description:
              - V(preseed) is put into the initrd as C(preseed.cfg), so it needs O(kernel) and O(initrd). V(kickstart) is C(ks.cfg), and V(autoyast) is
                C(autoinst.xml), on a CD labelled C(OEMDRV). V(autoinstall) is C(user-data) on a CD labelled C(CIDATA). V(ignition) and V(combustion) are
                told by QEMU's firmware configuration. V(autounattend) is C(autounattend.xml) on a CD.
            type: str
            required: true
            choices: [preseed, kickstart, autoinstall, autoyast, ignition, combustion, autounattend]
          content:
            description:
              - The file as a text, which is taken as it is, or a dictionary that is written in the installer's language.
              - For V(preseed) questions and values, where true and false make booleans and lists several choices; for other types give a dictionary of
                C(type), C(value) and C(owner).
              - For V(kickstart) commands and their words. A list repeats the command, true gives it no words. C(packages), C(pre) and C(post) are sections.
              - For V(autoinstall) and V(ignition) their own structure. For V(combustion) C(script), a text or a list of lines, and C(network).
              - For V(autoyast) and V(autounattend) elements. In AutoYaST a list has an element C(listentry) for each value. For Windows the first level is
                passes, the second one components, and a list repeats its element.
            type: raw
            required: true
      memory: &memory
        description: Memory of the machine that the installer runs in.
        type: str
      vcpus: &vcpus
        description: Virtual CPUs of that machine.
        type: int
      cpu: &cpu
        description: >-
          CPU of that machine, as in O(imageops.fleet.vm#module:cpu). By default the best one that the accelerator has.
        type: str
      machine: &machine
        description: Machine type, such as V(q35).
        type: str
      firmware: &firmware
        description:
          - Firmware of that machine. An installer for V(uefi) must put its loader where firmware finds it without variables
            (C(EFI/BOOT)), since those of the machine go with it.
        type: str
        choices: [bios, uefi]
      acceleration: &acceleration
        description: V(auto) takes KVM where it works.
        type: str
        choices: [auto, kvm, tcg]
      graphics: &graphics
        description: A display on the loopback address by which one can watch. The machine has a screen for pictures in any case.
        type: str
        choices: [none, vnc, spice]
      network: &network
        description: The virtual network that the installer is connected to. By default none.
        type: str
      bridge: &bridge
        description: The bridge of the host that the installer is connected to.
        type: str
      finish: &finish
        description: How the end of the installation is known.
        type: dict
        suboptions:
          when:
            description:
              - V(poweroff) when the machine powers off. V(console) when O(installs[].finish.console) is said there. V(agent) when the guest
                agent answers. With the latter two the machine goes on from its new disk after the installer, and is shut down at the end.
              - V(console) when O(installs[].finish.console) is given, else V(poweroff).
            type: str
            choices: [poweroff, console, agent]
          console:
            description: A regular expression for a line of the serial console that ends the installation.
            type: str
          failure:
            description: A regular expression for a line of the serial console by which the installation has failed.
            type: str
          progress:
            description: A regular expression for lines of the serial console that are worth to be shown. By default all.
            type: str
          timeout:
            description: Seconds that the installation may take. It fails after that.
            type: int
            default: 7200
          reboot:
            description:
              - Whether a restart by the guest V(ends) the installation, or it V(continues) from the new disk.
              - V(ends) with V(poweroff), V(continues) with the other two.
            type: str
            choices: [ends, continues]
          screenshot:
            description: A folder of the host for a picture of the screen when the installation fails, with mode 0600.
            type: path
      space: &space
        description:
          - What must be free in the disk's folder before the installation begins, such as V(4GiB). By default 1 GiB, or the disk's size
            if that is less.
        type: str
      uri: &uri
        description: The local libvirt connection. URIs with a host part are refused.
        type: str
      search_paths: &search_paths
        description: More folders whose images may rest on a disk that O(force) replaces.
        type: list
        elements: path
      owner: &owner
        description: Owner of the disk, a name or a number.
        type: str
      group: &group
        description: Group of the disk, a name or a number.
        type: str
      mode: &mode
        description: Mode of the disk, as octal digits in quotes. By default V('0640').
        type: raw
      timeout: &timeout
        description:
          - Seconds to wait for the work. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes. Negative numbers are refused.
        type: int
  path:
    description: Absolute path of the disk to make, in a folder that exists and that QEMU's user can enter.
    type: path
  format:
    <<: *format
    default: qcow2
  size: *size
  force:
    <<: *force
    default: false
  boot: *boot
  kernel: *kernel
  initrd: *initrd
  arguments: *arguments
  iso: *iso
  tftp_root: *tftp_root
  boot_file: *boot_file
  subnet: *subnet
  answers: *answers
  memory:
    <<: *memory
    default: 2GiB
  vcpus:
    <<: *vcpus
    default: 2
  cpu: *cpu
  machine: *machine
  firmware:
    <<: *firmware
    default: bios
  acceleration:
    <<: *acceleration
    default: auto
  graphics:
    <<: *graphics
    default: none
  network: *network
  bridge: *bridge
  finish: *finish
  space: *space
  uri:
    <<: *uri
    default: qemu:///system
  search_paths: *search_paths
  owner: *owner
  group: *group
  mode: *mode
  timeout:
    <<: *timeout
    default: 0
seealso:
  - module: imageops.fleet.vm
  - module: imageops.fleet.image_publish
  - module: imageops.fleet.disk_job_info
notes:
  - A job that is killed takes its machine along, unless libvirtd is killed at the same time. What it left then, and a network that served
    files, is removed by the next run of the task.
  - The machine has a virtio disk and a virtio network card, so an ISO image of Windows needs their drivers in it. Windows was not tried.
"""

EXAMPLES = r"""
- name: Debian, with its network installer and a preseed
  imageops.fleet.vm_install:
    path: /var/lib/libvirt/images/debian-12.qcow2
    size: 10GiB
    kernel: /var/lib/imageops/installers/debian/linux
    initrd: /var/lib/imageops/installers/debian/initrd.gz
    arguments: DEBIAN_FRONTEND=text
    network: default
    answers:
      kind: preseed
      content:
        debian-installer/locale: en_US.UTF-8
        keyboard-configuration/xkb-keymap: us
        netcfg/get_hostname: golden
        mirror/country: manual
        mirror/http/hostname: deb.debian.org
        mirror/http/directory: /debian
        passwd/make-user: false
        passwd/root-password-crypted: {type: password, value: "{{ root_password | password_hash }}"}
        partman-auto/method: regular
        partman-auto/choose_recipe: {type: select, value: atomic}
        partman/choose_partition: {type: select, value: finish}
        partman/confirm: true
        partman/confirm_nooverwrite: true
        grub-installer/bootdev: /dev/vda
        finish-install/reboot_in_progress: {type: note, value: ""}
        debian-installer/exit/poweroff: true

- name: Fedora, from its ISO image with a kickstart file of your own
  imageops.fleet.vm_install:
    path: /var/lib/libvirt/images/fedora.qcow2
    size: 20GiB
    iso: /srv/iso/Fedora-Server-netinst.iso
    kernel: images/pxeboot/vmlinuz
    initrd: images/pxeboot/initrd.img
    arguments: inst.stage2=cdrom inst.text
    network: default
    answers:
      kind: kickstart
      content: "{{ lookup('ansible.builtin.file', 'fedora.ks') }}"
    finish: {failure: "Traceback|anaconda: fatal", screenshot: /var/tmp}

- name: Windows, which restarts several times and powers off at the end of its answers
  imageops.fleet.vm_install:
    path: /var/lib/libvirt/images/windows.qcow2
    size: 40GiB
    iso: /srv/iso/windows.iso
    memory: 4GiB
    firmware: uefi
    answers:
      kind: autounattend
      content: "{{ lookup('ansible.builtin.file', 'autounattend.xml') }}"
    finish: {reboot: continues, timeout: 14400}

- name: Boot the installer over the network, with files served only meanwhile
  imageops.fleet.vm_install:
    path: /var/lib/libvirt/images/over-network.qcow2
    size: 10GiB
    boot: network
    kernel: /var/lib/imageops/installers/debian/linux
    initrd: /var/lib/imageops/installers/debian/initrd.gz
    answers:
      kind: preseed
      content: "{{ lookup('ansible.builtin.file', 'preseed.cfg') }}"

- name: Flatcar, whose live system installs itself when Ignition tells it to
  imageops.fleet.vm_install:
    path: /var/lib/libvirt/images/node.qcow2
    size: 10GiB
    iso: /srv/iso/flatcar.iso
    kernel: flatcar/vmlinuz
    initrd: flatcar/cpio.gz
    arguments: flatcar.first_boot=1 flatcar.oem.id=qemu
    memory: 4GiB
    network: default
    answers:
      kind: ignition
      content:
        ignition: {version: 3.3.0}
        systemd:
          units:
            - name: install.service
              enabled: true
              contents: |
                [Unit]
                Wants=network-online.target
                After=network-online.target
                [Service]
                Type=oneshot
                ExecStart=/usr/bin/flatcar-install -d /dev/vda
                ExecStartPost=/usr/bin/systemctl --no-block poweroff
                [Install]
                WantedBy=multi-user.target
    finish: {timeout: 3600}

- name: openSUSE MicroOS, whose image comes with its installer and is set up by Combustion when it starts first
  imageops.fleet.vm_install:
    path: /var/lib/libvirt/images/microos.qcow2
    size: 30GiB
    iso: /srv/iso/openSUSE-MicroOS-SelfInstall.iso
    kernel: boot/x86_64/loader/linux
    initrd: boot/x86_64/loader/initrd
    arguments: root=install:CDLABEL=INSTALL rd.kiwi.oem.installdevice=/dev/vda rd.kiwi.install.pass.bootparam
    network: default
    answers:
      kind: combustion
      content:
        network: true
        script:
          - set -e
          - echo 'root:{{ root_password | password_hash }}' | chpasswd -e
          - zypper --non-interactive install qemu-guest-agent
    finish: {console: "login:", timeout: 3600}
"""

RETURN = r"""
installs:
  description: One entry per installation, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The disk with every link resolved.
      type: str
      returned: always
    state:
      description: V(installed).
      type: str
      returned: success
    format:
      description: Format of the disk.
      type: str
      returned: success
    virtual_size:
      description: Size of the disk in bytes, as a guest sees it.
      type: int
      returned: success
    job:
      description: The job that did the work.
      type: dict
      returned: when something was installed
      contains:
        id:
          description: Its id, by which M(imageops.fleet.disk_job_info) tells of it.
          type: str
          returned: always
        launcher:
          description: How it was started, C(systemd-run) or C(setsid).
          type: str
          returned: always
        seconds:
          description: How long it ran.
          type: float
          returned: always
        installing:
          description: Seconds from the start of the installer to the finished disk.
          type: float
          returned: always
        reboots:
          description: How often the machine went on from its new disk.
          type: int
          returned: always
        phases:
          description: Its parts, each with name, bytes, seconds and rate.
          type: list
          elements: dict
          returned: always
    console_tail:
      description: The last lines of the installer's console.
      type: list
      elements: str
      returned: when the installation failed
    screenshot:
      description: The picture of the screen.
      type: str
      returned: when the installation failed while the machine ran, and finish.screenshot was given
    screenshot_error:
      description: Why there is no picture.
      type: str
      returned: when the picture could not be taken
    changed:
      description: Whether this item changed something, or would.
      type: bool
      returned: always
    joined:
      description: Whether another run's job did the work.
      type: bool
      returned: when it did
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.install_spec import INSTALL
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install import OPERATION


def main() -> None:
    run_module(INSTALL, OPERATION)


if __name__ == "__main__":
    main()
