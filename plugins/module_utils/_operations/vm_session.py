# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a user's own libvirt keeps its files, which it tells nobody: by the variables that it reads itself (XDG), as GLib does.

Who connects to it starts it, with his own variables.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

CONFIG, CACHE, RUNTIME = "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"
# GLib takes the folder of caches where no other is for what lives as long as the login.
_DEFAULTS = {CONFIG: "~/.config", CACHE: "~/.cache"}


def is_session(uri: str) -> bool:
    """Whether the URI is that of a user's own libvirt; a socket or other parameters may follow."""
    return urlsplit(uri).path == "/session"


def session_folder(kind: str, name: str) -> str:
    """The folder `name` of the user's QEMU driver in that of the `kind`."""
    given = os.environ.get(kind) or (os.environ.get(CACHE) if kind == RUNTIME else "")
    return os.path.join(given or os.path.expanduser(_DEFAULTS.get(kind, _DEFAULTS[CACHE])), "libvirt/qemu", name)
