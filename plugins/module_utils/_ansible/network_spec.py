# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_network."""

from __future__ import annotations

from typing import Any

from .specs import batch_spec

_LEASE: dict[str, Any] = {
    "mac": {"type": "str"},
    "id": {"type": "str"},
    "name": {"type": "str"},
    "address": {"type": "str", "required": True},
}
_ADDRESS: dict[str, Any] = {
    "address": {"type": "str", "required": True},
    "dhcp_start": {"type": "str"},
    "dhcp_end": {"type": "str"},
    "leases": {"type": "list", "elements": "dict", "options": _LEASE},
}
_DNS_HOST: dict[str, Any] = {
    "address": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
}
_ITEM: dict[str, Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "running", "stopped", "absent"]},
    "uri": {"type": "str"},
    "mode": {"type": "str", "choices": ["isolated", "nat", "routed", "bridge"]},
    "forward_dev": {"type": "str"},
    "bridge": {"type": "str"},
    "addresses": {"type": "list", "elements": "dict", "options": _ADDRESS},
    "domain": {"type": "str"},
    "domain_local": {"type": "bool"},
    "dns": {"type": "bool"},
    "dns_hosts": {"type": "list", "elements": "dict", "options": _DNS_HOST},
    "dns_forwarders": {"type": "list", "elements": "str"},
    "mtu": {"type": "int"},
    "vlan": {"type": "int"},
    "autostart": {"type": "bool"},
    "xml": {"type": "str"},
    "restart": {"type": "str", "choices": ["unused", "always", "never"]},
}

NETWORK = batch_spec(
    "networks",
    _ITEM,
    key="name",
    defaults={"state": "running", "uri": "qemu:///system", "restart": "unused"},
    common={"lock_timeout": {"type": "int", "default": 60}},
)
