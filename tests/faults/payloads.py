# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible would send for each module, made once: the fault rounds put their own options in and start it on the host."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar


def main() -> int:
    """Arguments: the collections' folder, the folder to write to, modules' names."""
    collections, folder, *names = sys.argv[1:]
    init_plugin_loader([collections])
    for name in names:
        module = f"imageops.fleet.{name}"
        built = modify_module(
            module_name=module,
            module_path=module_loader.find_plugin(module),
            module_args={},
            templar=Templar(loader=DataLoader()),
            task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
            module_compression="ZIP_DEFLATED",
        )
        Path(folder, f"{name}.py").write_bytes(built.b_module_data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
