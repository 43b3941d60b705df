# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a disk nobody's in particular: the identity and the traces of the machine that it was are removed."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import InvalidOption
from .build_scripts import GuestScript

# sshd doesn't start without host keys, and where there is no cloud-init nobody would make them.
_KEYS = r"""rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
if command -v systemctl >/dev/null && command -v ssh-keygen >/dev/null && ! command -v cloud-init >/dev/null; then
  cat >/etc/systemd/system/imageops-ssh-keys.service <<'UNIT'
[Unit]
Description=SSH host keys of this machine
Before=ssh.service sshd.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=multi-user.target
UNIT
  systemctl enable imageops-ssh-keys.service
fi
"""
_MACHINE_ID = r"""if [ -e /etc/machine-id ] || [ -d /run/systemd ] || command -v systemctl >/dev/null; then : >/etc/machine-id; fi
rm -f /var/lib/dbus/machine-id
"""
_LOGS = r"""if [ -d /var/log ]; then
  rm -rf /var/log/journal/*
  find /var/log -xdev -type f -exec sh -c 'for one; do : >"$one"; done' sh {} +
  find /var/log -xdev -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.[0-9]' -o -name '*.old' \) -exec rm -f {} +
fi
"""
_CACHES = r"""if command -v apt-get >/dev/null; then apt-get clean; rm -rf /var/lib/apt/lists/*; fi
rm -rf /var/cache/apt/*.bin /var/cache/dnf/* /var/cache/yum/* /var/cache/zypp/* /var/cache/apk/* /var/cache/pacman/pkg/*
"""
OPERATIONS = {
    "machine_id": _MACHINE_ID,
    "ssh_host_keys": _KEYS,
    "dhcp_leases": "rm -rf /var/lib/dhcp/* /var/lib/dhclient/* /var/lib/dhcpcd/* /var/lib/NetworkManager/* /var/lib/systemd/network/*\n",
    "persistent_net": "rm -f /etc/udev/rules.d/70-persistent-net.rules /etc/udev/rules.d/75-persistent-net-generator.rules\n",
    "cloud_init": "rm -rf /var/lib/cloud /run/cloud-init\n",
    "random_seed": "rm -f /var/lib/systemd/random-seed /var/lib/urandom/random-seed /var/lib/random-seed\n",
    "logs": _LOGS,
    "history": "rm -f /root/.bash_history /home/*/.bash_history /root/.lesshst /root/.viminfo\n",
    "package_caches": _CACHES,
    "temporary_files": "for folder in /tmp /var/tmp; do [ ! -d $folder ] || find $folder -xdev -mindepth 1 -delete; done\n",
}


def chosen(wanted: bool, keep: Sequence[str]) -> list[str]:
    """The operations to do; raises InvalidOption for names that are none."""
    for name in keep:
        if name not in OPERATIONS:
            raise InvalidOption(f"keep: '{name[:80]}' is none of {', '.join(OPERATIONS)}.")
    return [name for name in OPERATIONS if wanted and name not in keep]


def generalising(names: Sequence[str]) -> list[GuestScript]:
    """The script of these operations."""
    text = "".join(OPERATIONS[name] for name in names)
    return [GuestScript("generalise", text)] if names else []
