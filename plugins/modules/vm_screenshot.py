#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_screenshot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_screenshot
short_description: Save what the screens of virtual machines show
version_added: 0.3.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Writes what the screen of a running or paused VM shows to a PNG file on the host, with mode 0600, since a screen may show secrets.
  - The file is written under a hidden name and renamed, so it is a whole picture at every moment.
  - A VM has a screen when it has a video card, such as by O(imageops.fleet.vm#module:graphics=vnc).
extends_documentation_fragment:
  - imageops.fleet.attributes
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: none
    details:
      - Each run takes a new picture.
requirements:
  - C(libvirt) for Python on the host (Debian's package C(python3-libvirt))
  - C(qemu.qmp) for Python on the host for O(hypervisor=qmp) (the role C(imageops.fleet.hypervisor) installs it)
options:
  screenshots:
    description:
      - Pictures of many VMs in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the VM. One that isn't there, or doesn't run, is an error.
        type: str
        required: true
      dest: &dest
        description:
          - Path of the file on the host, which must end with C(.png), in a folder that exists. A file that is there is replaced.
          - Required, in the item or in the task.
        type: path
      screen: &screen
        description: Number of the screen, from V(0), of a VM that has several.
        type: int
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
        description: The local libvirt connection. URIs with a host part are refused.
        type: str
  name:
    description: Name of the VM. One that isn't there, or doesn't run, is an error.
    type: str
  dest: *dest
  screen:
    <<: *screen
    default: 0
  hypervisor:
    <<: *hypervisor
    default: libvirt
  socket: *socket
  uri:
    <<: *uri
    default: qemu:///system
seealso:
  - module: imageops.fleet.vm
  - module: ansible.builtin.fetch
    description: Brings the picture to the controller.
"""

EXAMPLES = r"""
- name: What does the VM show?
  imageops.fleet.vm_screenshot:
    name: web-1
    dest: /var/tmp/web-1.png

- name: Bring the picture to the controller
  ansible.builtin.fetch:
    src: /var/tmp/web-1.png
    dest: screens/
"""

RETURN = r"""
screenshots:
  description: One entry per VM, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM.
      type: str
      returned: always
    path:
      description: The file with every link resolved.
      type: str
      returned: success
    width:
      description: Columns of the picture.
      type: int
      returned: success and not in check mode
    height:
      description: Rows of the picture.
      type: int
      returned: success and not in check mode
    size:
      description: Bytes of the file.
      type: int
      returned: success and not in check mode
    sha256:
      description: SHA-256 of the file; V((known after apply\)) in check mode.
      type: str
      returned: success
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.screenshot_spec import SCREENSHOT
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_screenshot import OPERATION


def main() -> None:
    run_module(SCREENSHOT, OPERATION)


if __name__ == "__main__":
    main()
