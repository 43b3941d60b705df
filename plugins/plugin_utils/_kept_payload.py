# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends to hosts for a module, kept from one run of ansible-playbook to the next.

In each run Ansible follows the imports of a module through some hundred files and packs them, which takes longer than a task without
changes. Within the run it keeps the packed module as a file in its folder for temporary files (`ansible.executor.module_common`): that
file is put there beforehand when an earlier run packed the same files. Where anything isn't as it should be, Ansible packs as ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator

import ansible.module_utils
from ansible import constants
from ansible.plugins.loader import module_utils_loader
from ansible.release import __version__ as ansible_version
from ansible_collections.imageops.fleet.plugins.module_utils._files import remove_halves, write_bytes

_PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CORE = os.path.dirname(os.path.abspath(ansible.module_utils.__file__))
# Of one module, for controllers that use it in several versions.
_MOST_KEPT = 3
# What is beside a packed module while it is made.
_NO_PAYLOADS = (".lock", "-part")


@contextlib.contextmanager
def kept_payload(action: str) -> Iterator[None]:
    """Have the module of an action plugin (its full Python name) as an earlier run has packed it; keep it when none has."""
    module = action.replace(".action.", ".modules.")
    run = os.path.join(str(constants.DEFAULT_LOCAL_TMP), "ansiballz_cache")
    if _payloads(run, module) or _may_be_replaced():
        yield
        return
    key, kept = "", ""
    with contextlib.suppress(OSError):
        key, kept = _key(module), _folder()
        for name in _payloads(kept, module):
            if name.endswith(f".{key}"):
                os.makedirs(run, exist_ok=True)
                _copy(os.path.join(kept, name), os.path.join(run, name.removesuffix(f".{key}")))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for name in _payloads(run, module) if kept else []:
                _keep(os.path.join(run, name), os.path.join(kept, f"{name}.{key}"))


def _payloads(folder: str, module: str) -> list[str]:
    """Names of the packed forms of a module; what follows its name in them is Ansible's matter."""
    with contextlib.suppress(FileNotFoundError):
        names = [name for name in os.listdir(folder) if name.startswith(f"{module}-")]
        return [name for name in names if not name.endswith(_NO_PAYLOADS)]
    return []


def _may_be_replaced() -> bool:
    """Whether there are folders of the user's from which Ansible takes files of the same names instead of its own."""
    folders = module_utils_loader.print_paths().split(os.pathsep)  # type: ignore[no-untyped-call]
    return any(os.path.isdir(folder) and not folder.startswith(_CORE) for folder in folders)


def _key(module: str) -> str:
    """What names the state of all files that may be packed; a change of one is a change of its inode's times."""
    name = module.rpartition(".")[2]
    files = [os.path.join(_PLUGINS, "modules", f"{name}.py"), os.path.join(_PLUGINS, "..", "meta", "runtime.yml")]
    for top in (os.path.join(_PLUGINS, "module_utils"), _CORE):
        for folder, _folders, names in os.walk(top):
            files += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    told = [sys.version, ansible_version]
    for path in sorted(files):
        status = os.stat(path)
        told.append(f"{path} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]


def _folder() -> str:
    """Where packed modules are kept; raises PermissionError unless only this user can write there: what is in it is run."""
    folder = os.path.join(str(constants.ANSIBLE_HOME), "imageops", "payloads")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    status = os.stat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder} is not this user's own")
    return folder


def _keep(payload: str, path: str) -> None:
    """Keep a packed module, and of its older ones the last few."""
    if os.path.exists(path):
        return
    folder, name = os.path.split(path)
    remove_halves(folder)
    _copy(payload, path)
    alike = [
        os.path.join(folder, other) for other in os.listdir(folder) if other.startswith(f"{name.rpartition('.')[0]}.")
    ]
    for old in sorted(alike, key=os.path.getmtime)[:-_MOST_KEPT]:
        os.unlink(old)


def _copy(source: str, dest: str) -> None:
    with open(source, "rb") as stream:
        write_bytes(dest, stream.read(), durable=False)
