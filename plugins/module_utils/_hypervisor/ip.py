# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IP addresses that a guest tells: what of it is one, and leads to the guest from elsewhere.

A guest may tell anything. Options for ssh, templates and names of other hosts are no addresses; 127.0.0.1 is one, but whoever follows it
arrives at himself.
"""

from __future__ import annotations

import ipaddress
from typing import Any


def usable(told: Any) -> str:
    """The address as it is usually written; empty for what is none, and for loopback, link-local, multicast and unspecified ones."""
    # A zone (%eth0) may be any text, and means something inside of the guest only.
    if not isinstance(told, str) or "%" in told:
        return ""
    try:
        address = ipaddress.ip_address(told)
    except ValueError:
        return ""
    address = getattr(address, "ipv4_mapped", None) or address
    nowhere = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return "" if nowhere else str(address)
