#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_network."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_network
short_description: Define, change, start and remove virtual networks
version_added: 0.3.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Makes libvirt networks from a plain description, changes them, and removes them. One task does it for many networks of a host.
  - What is declared is set on the network's XML by path; what isn't declared stays as it is on a network that exists.
  - A running network gets new leases, DHCP ranges and names of DNS without a restart. All else takes effect when it is started again,
    see O(restart).
  - Before anything is made, subnets are compared with those of the host's interfaces and of its other networks, and bridges are looked for.
  - A network that VMs have an interface on is neither stopped nor removed.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
requirements:
  - C(libvirt) for Python on the host (Debian's package C(python3-libvirt))
  - C(ip) on the host (Debian's package C(iproute2)), to restart a network that running VMs use
options:
  networks:
    description:
      - Many networks in one task, with the same options as the single form. They are done in the order given.
      - A network that is named twice is refused.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the network. Letters, digits, V(.), V(_), V(+) and V(-) are allowed.
        type: str
        required: true
      state: &state
        description:
          - V(present) makes sure that the network is defined and leaves it running or stopped as it is.
          - V(running) starts it, V(stopped) stops it.
          - V(absent) stops and removes it. One that a VM has an interface on, now or at its next start, is refused.
        type: str
        choices: [present, running, stopped, absent]
      uri: &uri
        description: The local libvirt connection. URIs with a host part are refused, since the host's interfaces are looked at.
        type: str
      mode: &mode
        description:
          - V(isolated) connects guests with each other and with the host, V(nat) lets them out under the host's address, V(routed) lets them
            out under their own. V(bridge) puts them on a O(bridge) that the host has.
          - IPv6 isn't translated by V(nat) unless O(xml) says so (C(<forward><nat ipv6='yes'/></forward>)).
          - A new network is V(isolated) by default.
        type: str
        choices: [isolated, nat, routed, bridge]
      forward_dev: &forward_dev
        description: The only interface of the host by which guests of a V(nat) or V(routed) network get out. An empty one means any.
        type: str
      bridge: &bridge
        description:
          - With O(mode=bridge), the host's bridge. One that isn't the kernel's own is taken for one of Open vSwitch.
          - Else the name of the network's own bridge, 15 characters at most, which nobody else may have. By default libvirt chooses one.
        type: str
      addresses: &addresses
        description:
          - The host's addresses in the network. The list is all that the network has; an empty one removes them.
          - One IPv4 and one IPv6 subnet may have DHCP.
        type: list
        elements: dict
        suboptions:
          address:
            description: Address with its prefix, such as V(10.20.0.1/24) or V(fd00:20::1/64).
            type: str
            required: true
          dhcp_start:
            description: First address that DHCP gives away. Without it only those of O(networks[].addresses[].leases).
            type: str
          dhcp_end:
            description: Last address that DHCP gives away, in the same subnet.
            type: str
          leases:
            description: Guests that always get the same address. The list is all that the subnet has.
            type: list
            elements: dict
            suboptions:
              address:
                description: The guest's address, in the subnet.
                type: str
                required: true
              mac:
                description: MAC address by which the guest is known, for IPv4.
                type: str
              id:
                description: DUID by which the guest is known, for IPv6.
                type: str
              name:
                description: Name that the guest is given, or by which it is known without the others.
                type: str
      domain: &domain
        description: Domain of DNS that guests are in. An empty one removes it.
        type: str
      domain_local: &domain_local
        description: Whether names of O(domain) that nobody here has are not asked for elsewhere.
        type: bool
      dns: &dns
        description: Whether the network has a DNS server. A new one has, when it has an address.
        type: bool
      dns_hosts: &dns_hosts
        description: Names that the DNS server tells. The list is all that it has.
        type: list
        elements: dict
        suboptions:
          address:
            description: Address of the names.
            type: str
            required: true
          names:
            description: Names of the address.
            type: list
            elements: str
            required: true
      dns_forwarders: &dns_forwarders
        description: Addresses of DNS servers that are asked for all other names. By default those of the host.
        type: list
        elements: str
      mtu: &mtu
        description: Size of packets, 68 to 65535; V(0) for the usual one. Networks with O(mode=bridge) have that of their bridge.
        type: int
      vlan: &vlan
        description:
          - With O(mode=bridge), the VLAN in which guests' frames are tagged, 1 to 4094; V(0) for none.
          - Bridges of Open vSwitch do that. A Linux bridge does it from libvirt 11.0 on when it has C(vlan_filtering); otherwise it is
            refused, and a bridge that is in the VLAN itself is the way.
        type: int
      autostart: &autostart
        description: Whether the network starts with the host. A new one doesn't by default.
        type: bool
      xml: &xml
        description:
          - Part of a network's XML, C(<network>) with what no option has, such as port groups or routes. It is merged by path into what is there.
          - Where it contradicts an option, it is refused.
        type: str
      restart: &restart
        description:
          - When a running network is restarted for a change that takes effect at its start only.
          - With V(unused), when no running VM has an interface on it. With V(always) also then; links go down for a moment and are put back.
            With V(never) not at all.
          - When it isn't, a warning says so, and RV(networks[].restart_required) is true.
        type: str
        choices: [unused, always, never]
  name:
    description: Name of the network. Letters, digits, V(.), V(_), V(+) and V(-) are allowed.
    type: str
  state:
    <<: *state
    default: running
  uri:
    <<: *uri
    default: qemu:///system
  mode: *mode
  forward_dev: *forward_dev
  bridge: *bridge
  addresses: *addresses
  domain: *domain
  domain_local: *domain_local
  dns: *dns
  dns_hosts: *dns_hosts
  dns_forwarders: *dns_forwarders
  mtu: *mtu
  vlan: *vlan
  autostart: *autostart
  xml: *xml
  restart:
    <<: *restart
    default: unused
  lock_timeout:
    description: Seconds to wait for another task that works on the host's networks.
    type: int
    default: 60
seealso:
  - module: imageops.fleet.vm
    description: Puts VMs on a network by its option C(networks).
"""

EXAMPLES = r"""
- name: A network behind the host's address, with DHCP and a guest that always gets the same address
  imageops.fleet.vm_network:
    name: shop
    mode: nat
    domain: shop.example
    autostart: true
    addresses:
      - address: 10.20.0.1/24
        dhcp_start: 10.20.0.100
        dhcp_end: 10.20.0.199
        leases:
          - {mac: "52:54:00:20:00:10", address: 10.20.0.10, name: web-1}
      - address: fd00:20::1/64

- name: Two networks of their own, without a way out
  imageops.fleet.vm_network:
    mode: isolated
    networks:
      - name: red
        addresses: [{address: 10.30.1.1/24}]
      - name: blue
        addresses: [{address: 10.30.2.1/24}]

- name: A port group, which no option has
  imageops.fleet.vm_network:
    name: shop
    state: present
    xml: |
      <network>
        <portgroup name="slow"><bandwidth><inbound average="1000"/></bandwidth></portgroup>
      </network>

- name: Guests on a bridge that the host has
  imageops.fleet.vm_network:
    name: office
    mode: bridge
    bridge: br0

- name: Remove them
  imageops.fleet.vm_network:
    state: absent
    networks: [{name: red}, {name: blue}]
"""

RETURN = r"""
networks:
  description: One entry per network, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the network.
      type: str
      returned: always
      sample: shop
    uri:
      description: libvirt's URI.
      type: str
      returned: success
      sample: qemu:///system
    uuid:
      description: UUID of the network; V((known after apply\)) in check mode for a new one.
      type: str
      returned: when it is there
    state:
      description: V(running), V(stopped) or V(absent).
      type: str
      returned: success
      sample: running
    autostart:
      description: Whether it starts with the host.
      type: bool
      returned: when it is there
    mode:
      description: V(isolated), V(nat), V(routed) or V(bridge); libvirt's own word for another mode.
      type: str
      returned: when it is there
      sample: nat
    forward_dev:
      description: Interface by which guests get out, or an empty text.
      type: str
      returned: when it is there
    bridge:
      description: Name of the bridge; V((known after apply\)) in check mode for a new network that names none.
      type: str
      returned: when it is there
      sample: virbr1
    addresses:
      description:
        - Addresses with C(dhcp_start), C(dhcp_end) and C(leases), IPv4 first. C(other_ranges) where there are more ranges than one.
      type: list
      elements: dict
      returned: when it is there
      sample: [{address: 10.30.1.1/24, dhcp_start: '', dhcp_end: '', leases: []}]
    domain:
      description: Domain of DNS, or an empty text.
      type: str
      returned: when it is there
    domain_local:
      description: Whether other names of the domain are not asked for elsewhere.
      type: bool
      returned: when it is there
    dns:
      description: Whether a DNS server is allowed.
      type: bool
      returned: when it is there
    dns_hosts:
      description: Names that the DNS server tells, each C(address) with its C(names).
      type: list
      elements: dict
      returned: when it is there
    dns_forwarders:
      description: DNS servers that are asked for other names.
      type: list
      elements: str
      returned: when it is there
    mtu:
      description: Size of packets, V(0) for the usual one.
      type: int
      returned: when it is there
    vlan:
      description: VLAN in which frames are tagged, V(0) for none.
      type: int
      returned: when it is there
    restart_required:
      description: Whether it runs with another description than it will have after its next start.
      type: bool
      returned: when it is there
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.network_spec import NETWORK
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_network import OPERATION


def main() -> None:
    run_module(NETWORK, OPERATION)


if __name__ == "__main__":
    main()
