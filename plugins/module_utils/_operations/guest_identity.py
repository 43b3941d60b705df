# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a guest another machine at its first start, as cloud-init user-data beside what the source's seed has.

cloud-init itself gives a new instance new SSH host keys, its host name and its network configuration. The rest is a command that
runs once per instance, as early as cloud-init runs any.
"""

from __future__ import annotations

import email
import email.policy
import json
from email.message import EmailMessage

_NAME = "imageops-identity"
# machine-id(5): both files name the same machine; systemd-networkd's and NetworkManager's DHCP ids come from it, dhclient's from
# its leases. What already runs takes them by a restart.
_SCRIPT = """
set -u
rm -f /etc/machine-id /var/lib/dbus/machine-id
if command -v systemd-machine-id-setup >/dev/null; then systemd-machine-id-setup; fi
if [ ! -s /etc/machine-id ]; then tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id; fi
if [ -d /var/lib/dbus ]; then ln -sf /etc/machine-id /var/lib/dbus/machine-id; fi
rm -rf /var/lib/dhcp/*.lease* /var/lib/dhclient/*.lease* /var/lib/NetworkManager/*lease* /var/lib/NetworkManager/secret_key
rm -rf /run/systemd/netif/leases/* /var/lib/systemd/random-seed
systemctl try-restart systemd-journald.service systemd-networkd.service NetworkManager.service 2>/dev/null || true
"""
# Lists of several parts become one list; else a part of the source's user-data would put ours out of force.
_MERGE = "list(append)+dict(recurse_list)+str()"


def identity_config() -> str:
    """The cloud-config that makes the guest another machine."""
    command = ["cloud-init-per", "instance", _NAME, "sh", "-c", _SCRIPT.strip()]
    values = {"bootcmd": [command], "ssh_deletekeys": True, "preserve_hostname": False, "merge_how": _MERGE}
    return "#cloud-config\n" + json.dumps(values, indent=1) + "\n"


def with_identity_config(user_data: str) -> str:
    """The user-data of a clone: ours, and the source's behind it when there is any."""
    if not _says_something(user_data):
        return identity_config()
    whole = EmailMessage()
    whole.make_mixed()
    _attach(whole, identity_config(), "cloud-config")
    for part in _parts(user_data):
        whole.attach(part)
    whole["MIME-Version"] = "1.0"
    return whole.as_string(policy=email.policy.default.clone(max_line_length=None))


def _says_something(user_data: str) -> bool:
    lines = [line.strip() for line in user_data.splitlines()]
    return any(line and not line.startswith("#") and line != "{}" for line in lines) or user_data.startswith("#!")


def _parts(user_data: str) -> list[EmailMessage]:
    """What the source has: the parts of a MIME message, or the one text, whose first line tells cloud-init what it is."""
    if user_data.lstrip().lower().startswith(("content-type:", "mime-version:")):
        found = email.message_from_string(user_data, policy=email.policy.default)
        return [part for part in found.walk() if isinstance(part, EmailMessage) and not part.is_multipart()]
    whole = EmailMessage()
    whole.make_mixed()
    _attach(whole, user_data, "plain")
    return [part for part in whole.iter_parts() if isinstance(part, EmailMessage)]


def _attach(whole: EmailMessage, text: str, kind: str) -> None:
    part = EmailMessage()
    part.set_content(text, subtype=kind, cte="base64")
    whole.attach(part)
