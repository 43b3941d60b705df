#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm
short_description: Define, start, stop and remove virtual machines
version_added: 0.1.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Makes libvirt domains from a plain description or from whole XML, brings them into a run state, waits for what they
    say on their serial console, and removes them. One task does it for many VMs of a host.
  - What is declared is set on the VM's XML by path; what isn't declared stays as it is on a VM that exists. UUID and MAC
    addresses stay when a VM is defined again. A VM is never restarted for a change, the result says when that is needed.
  - A declared disk file anywhere in the chain of the VM's disk counts as attached, so a task stays unchanged after
    snapshots. A disk that was made from an image is never made again.
  - New disks are written under a hidden name, given a record of how they were made, and then renamed. A run that was
    interrupted at any moment is finished by the next one.
  - Images are inspected by the collection's own parsers before anything is made. One that names files that nobody
    declared is refused.
  - Networks, bridges, firmware, machine type, CPU model, TPM and huge pages are looked for before anything is made, and so is room for
    the disks and the memory of all VMs of the task together.
  - Acceleration by KVM is only taken where it works, which needs C(/dev/kvm) and a CPU with VMX or SVM. The result says
    what was taken and why.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.catalog
  - imageops.fleet.signature
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - O(state=restarted) restarts the VM each time.
requirements:
  - C(libvirt) for Python on the host (Debian's package C(python3-libvirt))
  - C(qemu-img) on the host (Debian's package C(qemu-utils)), to make disks
  - C(pycdlib) for Python on the host (Debian's package C(python3-pycdlib)), for O(cloud_init)
  - UEFI firmware on the host (Debian's package C(ovmf)), for O(firmware=uefi)
  - C(swtpm) on the host (Debian's packages C(swtpm) and C(swtpm-tools)), for O(tpm)
  - C(zstandard) for Python on the host (Debian's package C(python3-zstandard)), to pull images from catalogs
  - C(qemu.qmp) for Python on the host for O(hypervisor=qmp) (the role C(imageops.fleet.hypervisor) installs it)
options:
  vms:
    description:
      - Many VMs in one task, with the same options as the single form.
      - A VM that is named twice is refused, also when its O(vms[].uri) is written in two ways. So is a process, by its O(vms[].socket).
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the VM. Letters, digits, V(.), V(_), V(+) and V(-) are allowed.
        type: str
        required: true
      state: &state
        description:
          - V(present) makes sure that the VM is defined and leaves its run state as it is.
          - V(running) starts or resumes it, V(paused) pauses it or starts it paused.
          - V(stopped) asks the guest to shut down, see O(shutdown_timeout) and O(force_stop).
          - V(restarted) stops and starts it, so that a changed definition takes effect. A stopped VM is started.
          - V(absent) stops it and removes it with its NVRAM, its TPM state and the metadata of its snapshots and
            checkpoints. The seed of O(cloud_init) is deleted, disks only with O(remove_disks).
        type: str
        choices: [present, running, stopped, restarted, paused, absent]
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
        description: libvirt's URI. It must be the host's own, since files on the host are touched.
        type: str
      memory: &memory
        description: Memory with a unit such as V(512MiB) or V(2GiB), or in bytes, up to V(4PiB). A new VM has V(1GiB) by default.
        type: str
      vcpus: &vcpus
        description: Number of virtual CPUs. A new VM has one by default.
        type: int
      cpu: &cpu
        description:
          - A mode (V(host-passthrough), V(host-model), V(maximum)), the name of a CPU model, or V(default) for QEMU's own.
          - A new VM has V(host-passthrough) with KVM and V(maximum) without by default.
        type: str
      machine: &machine
        description:
          - Machine type, such as V(q35), V(pc) or a version of them. A new VM on x86_64 is a V(q35) by default.
          - A family's name fits each version of it.
        type: str
      title: &title
        description: A short title. An empty one removes it.
        type: str
      description: &description
        description: A free text, whose lines end with a line feed in the VM. An empty one removes it.
        type: str
      disks: &disks
        description:
          - Disks of the VM. Needed to make a VM from the plain description; an empty list makes one without disks.
          - A disk of the VM that isn't declared stays.
        type: list
        elements: dict
        suboptions:
          image:
            description:
              - Absolute path of an image from which the disk is made, as an overlay or a copy (see O(vms[].disks[].copy)).
              - An image that a running QEMU writes to, or an overlay on the disk of another VM, is refused.
              - Or the reference of an image in a catalog, as M(imageops.fleet.image_pull) takes it. The disk is made from
                the file that this host holds of it; the catalog isn't asked then. Where there is none it is pulled first, to a file
                V(NAME-DIGEST.qcow2) in O(images_dir).
              - What a tag names counts when the disk is made. A tag that moves changes no VM that exists, and is no difference; pull the
                new version to have new VMs made from it. Another reference for a disk that exists is refused, unless it is the same by digest.
              - When the first disk of a new VM is made from an image that was published from a VM with UEFI, the new VM starts with a copy of
                those variables (NVRAM). That needs O(vms[].firmware=uefi) and the same O(vms[].secure_boot) as the published VM had; otherwise
                a warning says that they aren't used. What O(vms[].xml) says of C(nvram) goes first.
            type: path
          image_disk:
            description: Name of the disk of an image in a catalog that has several.
            type: str
            version_added: 0.3.0
          image_format:
            description:
              - Format of the image. By default it is found from the image's own header; a contradiction is an error.
              - An image of a catalog is pulled as V(qcow2) by default, or as V(raw).
            type: str
            choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
          copy:
            description:
              - V(linked) makes a qcow2 overlay at once. The image must stay where it is, and unchanged.
              - V(full) copies the image, by shared blocks where the file system can do that.
            type: str
            choices: [linked, full]
            default: linked
          size:
            description:
              - Size of a new and empty disk, or the size that the disk shall at least grow to.
              - A disk is grown also while the VM runs. It is never shrunk.
            type: str
          path:
            description:
              - Absolute path of the disk's file. A file that exists, given without O(vms[].disks[].image), is attached as it is.
              - A file that another VM or an overlay rests on is refused, unless O(vms[].disks[].readonly) is set.
              - So is one that another VM of the same task writes to, reads, rests on or is copied from, also where O(vms[].xml) names it.
                All may read a file together.
              - By default a file V(NAME-TARGET.qcow2) in the folder of the storage pool C(default), or in
                C(/var/lib/libvirt/images).
              - For a cdrom the medium. Without it the drive is empty.
            type: path
          format:
            description:
              - Format of a new disk, V(qcow2) by default; of a file that exists the format that it must have.
            type: str
            choices: [raw, qcow2]
          target:
            description: Name of the device in the VM, such as V(vdb). By default the first free one of the bus, in order.
            type: str
          bus:
            description: Bus of the disk. By default V(virtio), for a cdrom V(sata); see also O(vms[].os).
            type: str
            choices: [virtio, scsi, sata, ide]
          device:
            description: Kind of device.
            type: str
            choices: [disk, cdrom]
            default: disk
          readonly:
            description: Whether the guest may only read. A cdrom always is.
            type: bool
          boot:
            description: Place in the boot order, from 1. Without any place the first disk is booted.
            type: int
      networks: &networks
        description:
          - Network interfaces. Each is found by its MAC address when that is declared, else by its place.
          - An interface of the VM that isn't declared stays. A new VM has none by default.
        type: list
        elements: dict
        suboptions:
          network:
            description: Name of a libvirt network. It must be active. Excludes O(vms[].networks[].bridge).
            type: str
          bridge:
            description: Name of a bridge on the host. Excludes O(vms[].networks[].network).
            type: str
          mac:
            description:
              - MAC address. By default libvirt chooses one for a new interface, which then stays.
              - One that another item of the list has is refused. One that another VM of the host has is told as a warning when the VM is
                defined or changed.
            type: str
          model:
            description: Model of the card, V(virtio) for a new one by default; see also O(vms[].os).
            type: str
          vlan:
            description:
              - VLAN in which the VM's frames are tagged, 1 to 4094; 0 for none.
              - Bridges of Open vSwitch do that. A Linux bridge does it from libvirt 11.0 on when it has C(vlan_filtering);
                otherwise it is refused, and a bridge that is in the VLAN itself is the way.
            type: int
            version_added: 0.3.0
          boot:
            description: Place in the boot order, from 1.
            type: int
      console: &console
        description:
          - Whether the VM has a serial console that libvirt's log daemon writes to a file, which begins anew at each start.
            That is C(/var/log/libvirt/qemu/NAME-serial.log).
          - A new VM has one by default.
        type: bool
      agent: &agent
        description:
          - Whether the VM has the channel on which QEMU's guest agent listens, for freezing its file systems, its addresses and what
            O(vms[].wait_for) asks of the agent. The guest needs C(qemu-guest-agent).
          - A new VM has none by default.
        type: bool
        version_added: 0.3.0
      cloud_init: &cloud_init
        description:
          - Data for cloud-init, given to the VM as a NoCloud seed, an ISO image on a cdrom behind virtio-scsi.
          - The seed is V(NAME-seed.iso) in the default folder for disks, with mode 0600. It is replaced when the data
            change; the guest sees it after its next start.
        type: dict
        suboptions:
          user_data:
            description:
              - Text as it is, or a dictionary that becomes C(#cloud-config).
              - It is kept out of logs. Ansible masks each value of a dictionary wherever it occurs in the result, so a
                text is the better form for data with short values.
            type: raw
          meta_data:
            description:
              - Text as it is, or a dictionary. V(instance-id) and V(local-hostname) come from O(vms[].name) unless told.
            type: raw
          network_config:
            description: Text as it is, or a dictionary.
            type: raw
          detached:
            version_added: 0.3.0
            description:
              - Take the seed away, such as when the guest has read it. It is ejected from a running guest, whose drive stays
                empty until the next start, and its file is removed from the host.
              - Excludes the other options of O(vms[].cloud_init), an error otherwise.
            type: bool
            default: false
      firmware: &firmware
        description:
          - V(uefi) lets libvirt choose a UEFI firmware from those of the host, see O(secure_boot).
          - A new VM has V(bios) by default, one with O(secure_boot) V(uefi). A host without such firmware is refused.
        type: str
        choices: [bios, uefi]
      secure_boot: &secure_boot
        description:
          - Whether the UEFI starts signed code only, with Microsoft's keys enrolled. It needs the machine V(q35), which a new
            VM on x86_64 is by default. A new VM with O(firmware=uefi) has none by default.
          - It can't be changed on a VM that has UEFI, since the firmware's variables belong to it; that is refused.
        type: bool
        version_added: 0.3.0
      tpm: &tpm
        description:
          - Whether the VM has a TPM 2.0, emulated by C(swtpm). A host without it is refused. A new VM has none by default.
          - A TPM is never taken from a VM that exists; that is refused, since its guest may have sealed keys in it.
        type: bool
        version_added: 0.3.0
      hugepages: &hugepages
        description:
          - Whether all memory is on huge pages, V(true) for those of the host's default size, or a size such as V(2MiB).
          - A size that the host doesn't have is refused, and so is a start for which too few of them are free.
        type: raw
        version_added: 0.3.0
      cpu_pinning: &cpu_pinning
        description:
          - The host's CPUs that each virtual CPU may run on, such as V(2), V(0-3) or V(0-7,^4). Either a list that begins with
            virtual CPU 0, or a dictionary by their numbers.
          - What isn't named is not pinned, so an empty list unpins all. CPUs that the host doesn't have are refused.
        type: raw
        version_added: 0.3.0
      os: &os
        description:
          - The kind of guest. V(windows) gives a B(new) VM what Windows expects, where the option for it is left out and the
            host can do it. That is a clock on local time with its timers, the hypervisor's enlightenments, a USB tablet, a TPM,
            and UEFI with secure boot.
          - Without O(virtio_media), new disks are then on the bus V(sata) and new interfaces are V(e1000e), for which Windows
            has drivers by itself; with it, both are V(virtio).
        type: str
        version_added: 0.3.0
        choices: [linux, windows]
      virtio_media: &virtio_media
        description: Absolute path of an ISO image with drivers for virtio, put into one more cdrom drive.
        type: path
        version_added: 0.3.0
      labels: &labels
        description:
          - Names and values that say what the VM is to you. They are kept in its description and told by M(imageops.fleet.vm_info).
          - The VM has just these afterwards. A change concerns nothing else, and shows at once also while the VM runs.
        type: dict
        version_added: 0.3.0
      graphics: &graphics
        description: A display on the loopback address, or none. A new VM has none by default.
        type: str
        choices: [none, vnc, spice]
      acceleration: &acceleration
        description:
          - V(auto) takes what an O(xml) beside it tells, else KVM where it works, else emulation (TCG). It is what a new VM gets by
            default.
          - V(kvm) where it can't work is refused.
        type: str
        choices: [auto, kvm, tcg]
      xml: &xml
        description:
          - Without any option of the plain description, the whole XML of the domain.
          - Beside such options (even an empty O(disks)), a part of it. What the part says is set in the VM's description,
            everything else stays. An element of which there may be many is found by what identifies it, such as the target of
            a disk or the MAC address of an interface; one that nothing identifies is added unless such a one is there already.
            See U(https://github.com/imageops/fleet/blob/main/docs/virtual-machines.md).
          - A part that says something else than an option, such as another O(memory), is refused.
          - The UUID and the MAC addresses of a VM that exists are kept where the XML has none, and so is a disk's active
            layer when the declared file is below it.
          - XML with a document type declaration is refused.
        type: str
      autostart: &autostart
        description: Whether the VM starts with the host.
        type: bool
      wait_for: &wait_for
        description:
          - What to wait for after the VM was brought into its state; also when nothing was changed, and not in check mode.
          - All that is given here must come within O(wait_for.timeout).
          - The VM that ends while it is waited for is an error.
        type: dict
        suboptions:
          running:
            description: Wait until the VM runs.
            type: bool
            default: true
          console:
            description:
              - A Python regular expression to find in what the serial console said since this start of the VM.
              - Terminal sequences and control characters are left out before. C(^) and C($) match at lines.
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
            description: Seconds to wait at most. The error shows the last lines of the console.
            type: int
            default: 120
      shutdown_timeout: &shutdown_timeout
        description: Seconds that the guest has to shut down. With V(0) it isn't asked.
        type: int
      force_stop: &force_stop
        description: Switch the VM off when the guest didn't shut down in time. Otherwise that is an error.
        type: bool
      remove_disks: &remove_disks
        description:
          - With O(state=absent), delete the disks too that were made for this VM, with the layers that snapshots put above.
          - A disk that isn't this collection's own, by its record, is never deleted; one that another VM or image uses is an
            error, also when the same task removes that VM. Remove linked clones in a task before the one for their source.
        type: bool
      search_paths: &search_paths
        description:
          - More folders in which images may use a disk that is to be deleted, and in which left-overs of this VM are looked for. Each must exist.
        type: list
        elements: path
  name:
    description: Name of the VM. Letters, digits, V(.), V(_), V(+) and V(-) are allowed.
    type: str
  state:
    <<: *state
    default: running
  hypervisor:
    <<: *hypervisor
    default: libvirt
  socket: *socket
  uri:
    <<: *uri
    default: qemu:///system
  memory: *memory
  vcpus: *vcpus
  cpu: *cpu
  machine: *machine
  title: *title
  description: *description
  disks: *disks
  networks: *networks
  console: *console
  agent: *agent
  cloud_init: *cloud_init
  firmware: *firmware
  secure_boot: *secure_boot
  tpm: *tpm
  hugepages: *hugepages
  cpu_pinning: *cpu_pinning
  os: *os
  virtio_media: *virtio_media
  labels: *labels
  graphics: *graphics
  acceleration: *acceleration
  xml: *xml
  autostart: *autostart
  wait_for: *wait_for
  shutdown_timeout:
    <<: *shutdown_timeout
    default: 60
  force_stop:
    <<: *force_stop
    default: false
  remove_disks:
    <<: *remove_disks
    default: false
  search_paths: *search_paths
  parallel:
    description: How many VMs are made, started or stopped at once. All are waited for at once.
    type: int
    default: 8
  lock_timeout:
    description: Seconds to wait for another task that works on one of the VMs.
    type: int
    default: 60
  images_dir:
    description:
      - Folder for images of catalogs that are pulled for O(vms[].disks[].image). It must be there, and QEMU's user must be able to enter it.
      - By default the folder of the storage pool C(default), or C(/var/lib/libvirt/images).
    type: path
    version_added: 0.3.0
seealso:
  - module: imageops.fleet.vm_info
  - module: imageops.fleet.vm_clone
  - module: imageops.fleet.vm_snapshot
"""

EXAMPLES = r"""
- name: A VM from an image, up when its console says so
  imageops.fleet.vm:
    name: web-1
    memory: 1GiB
    vcpus: 2
    disks:
      - image: /var/lib/libvirt/images/debian-12.qcow2
        size: 20GiB
    networks:
      - network: default
    cloud_init:
      user_data: |
        #cloud-config
        ssh_authorized_keys:
          - "{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"
    wait_for:
      console: "login: "
      timeout: 300

- name: A VM that is up when its guest agent and SSH answer and cloud-init has finished; its address is in the result
  imageops.fleet.vm:
    name: web-2
    memory: 1GiB
    disks:
      - image: /var/lib/libvirt/images/debian-12.qcow2
    networks:
      - network: default
    cloud_init: {}
    xml: "<domain><devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>"
    wait_for:
      agent: true
      ip: any
      ssh: 22
      cloud_init: true
      timeout: 300

- name: A VM from an image of a catalog, which is pulled where the host doesn't hold it
  imageops.fleet.vm:
    name: web-3
    memory: 1GiB
    disks:
      - image: registry.example.org:5000/team/debian:stable
        size: 20GiB
    require_signature:
      allowed_signers: /etc/imageops/allowed_signers

- name: Three VMs of one kind in one task
  imageops.fleet.vm:
    memory: 512MiB
    disks:
      - image: /var/lib/libvirt/images/debian-12.qcow2
    networks:
      - network: default
    vms:
      - name: app-1
      - name: app-2
      - name: app-3
        memory: 2GiB

- name: More memory for one of them; it runs on with the old until it is restarted
  imageops.fleet.vm:
    name: app-1
    state: present
    memory: 1GiB

- name: Restart it, by the power switch when the guest doesn't react for two minutes
  imageops.fleet.vm:
    name: app-1
    state: restarted
    shutdown_timeout: 120
    force_stop: true

- name: A UEFI VM with a full copy, an empty second disk and an installer's medium
  imageops.fleet.vm:
    name: db
    state: stopped
    firmware: uefi
    memory: 4GiB
    disks:
      - image: /srv/images/base.vmdk
        copy: full
        boot: 2
      - size: 100GiB
      - device: cdrom
        path: /srv/images/installer.iso
        boot: 1

- name: Windows, to be installed from its medium with drivers for virtio
  imageops.fleet.vm:
    name: win
    os: windows
    memory: 4GiB
    vcpus: 2
    graphics: vnc
    virtio_media: /srv/images/virtio-win.iso
    disks:
      - size: 64GiB
        boot: 2
      - device: cdrom
        path: /srv/images/windows.iso
        boot: 1

- name: Secure boot, a TPM, pinned CPUs, labels, and what has no option of its own
  imageops.fleet.vm:
    name: vault
    state: stopped
    secure_boot: true
    tpm: true
    vcpus: 2
    cpu_pinning: ["0", "1"]
    labels:
      tier: secrets
      owner: ops
    disks:
      - size: 20GiB
    networks:
      - network: default
    xml: |
      <domain>
        <memtune><hard_limit unit='GiB'>4</hard_limit></memtune>
        <devices>
          <disk><driver cache='none' io='native'/><target dev='vda'/></disk>
          <watchdog model='itco' action='reset'/>
        </devices>
      </domain>

- name: A VM by its own XML
  imageops.fleet.vm:
    name: special
    xml: "{{ lookup('ansible.builtin.template', 'special.xml.j2') }}"

- name: Gone, with the disks that were made for them
  imageops.fleet.vm:
    state: absent
    force_stop: true
    remove_disks: true
    vms:
      - name: app-1
      - name: app-2
      - name: app-3
"""

RETURN = r"""
vms:
  description:
    - One entry per VM, in the order given.
    - In check mode it holds what the real run will return, with C((known after apply)) for what only comes to be then.
    - With O(hypervisor=qmp) it holds what M(imageops.fleet.vm_info) tells of such a process, or only name, state and URI of one
      that is gone.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM.
      type: str
      returned: always
      sample: web-1
    state:
      description: V(running), V(paused), V(stopped), V(stopping), V(crashed), V(suspended) or V(absent).
      type: str
      returned: success
      sample: running
    uri:
      description: libvirt's URI.
      type: str
      returned: success
      sample: qemu:///system
    uuid:
      description: UUID of the VM.
      type: str
      returned: when the VM exists
      sample: bb2fa1ad-0e8f-46a9-a651-8494286727b6
    autostart:
      description: Whether it starts with the host.
      type: bool
      returned: when the VM exists
    memory:
      description: Memory at its next start, in bytes.
      type: int
      returned: when the VM exists
      sample: 268435456
    vcpus:
      description: Virtual CPUs at its next start.
      type: int
      returned: when the VM exists
      sample: 1
    cpu:
      description: Mode or model of the CPU.
      type: str
      returned: when the VM exists
      sample: host-passthrough
    machine:
      description: Machine type.
      type: str
      returned: when the VM exists
      sample: pc-q35-7.2
    firmware:
      description: V(bios) or V(uefi).
      type: str
      returned: when the VM exists
      sample: bios
    secure_boot:
      description: Whether its firmware starts signed code only.
      type: bool
      returned: when the VM exists
    tpm:
      description: Whether it has a TPM.
      type: bool
      returned: when the VM exists
    labels:
      description: Its labels.
      type: dict
      returned: when the VM exists
      sample:
        tier: web
    acceleration:
      description: Whether C(type) V(kvm) or V(tcg) is used, and for what C(reason).
      type: dict
      returned: when the VM exists
      sample:
        type: tcg
        reason: the CPU has neither vmx nor svm
    title:
      description: Title of the VM.
      type: str
      returned: when the VM exists
    description:
      description: Description of the VM.
      type: str
      returned: when the VM exists
    console_log:
      description: File that holds what the serial console said since the start, or an empty text.
      type: str
      returned: when the VM exists
      sample: /var/log/libvirt/qemu/web-1-serial.log
    disks:
      description: Disks of the VM.
      type: list
      elements: dict
      returned: when the VM exists
      contains:
        target:
          description: Name of the device.
          type: str
          sample: vda
        device:
          description: V(disk) or V(cdrom).
          type: str
        bus:
          description: Its bus.
          type: str
          sample: virtio
        path:
          description: The declared file.
          type: str
          sample: /var/lib/libvirt/images/web-1-vda.qcow2
        active_path:
          description: The file that the VM writes to; after an external snapshot another than the declared one.
          type: str
          sample: /var/lib/libvirt/images/web-1-vda.qcow2
        format:
          description: Format of the active file, as QEMU names it.
          type: str
          sample: qcow2
        readonly:
          description: Whether the guest may only read.
          type: bool
    networks:
      description: Network interfaces with C(mac), C(network) or C(bridge), C(model), and C(vlan) of those that have one.
      type: list
      elements: dict
      returned: when the VM exists
      sample:
        - mac: "52:54:00:ea:7d:20"
          model: virtio
          network: default
    restart_required:
      description: Whether the running VM still has an older definition.
      type: bool
      returned: when the VM exists
    console_match:
      description: The line of the console that was waited for.
      type: str
      returned: with O(wait_for.console)
    addresses:
      description: The IP addresses of the VM, IPv4 first.
      type: list
      elements: str
      returned: with O(wait_for.ip) or O(wait_for.ssh)
    cloud_init_errors:
      description: Errors that cloud-init tells of. It is left out when only the console told that cloud-init has finished.
      type: list
      elements: str
      returned: with O(wait_for.cloud_init), when the guest agent tells
    waited:
      description: Seconds that were waited.
      type: float
      returned: with O(wait_for)
    console_tail:
      description: Last lines of the console.
      type: list
      elements: str
      returned: when a wait failed
    removed:
      description: Files that were deleted, or would be.
      type: list
      elements: str
      returned: with O(state=absent)
    kept:
      description: Files made for the VM that were not deleted.
      type: list
      elements: str
      returned: with O(state=absent)
    changed:
      description: Whether this VM was changed, or would be.
      type: bool
      returned: always
    steps:
      description: What was done, or would be.
      type: list
      elements: str
      returned: success
      sample: ["define web-1", "start web-1"]
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
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.vm_spec import VM
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm import OPERATION


def main() -> None:
    run_module(VM, OPERATION)


if __name__ == "__main__":
    main()
