# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print, as JSON, what AnsiballZ would send for each module: all bytes, those of our module_utils, and their names.

A program of its own, since Ansible's collection loader wants to be there before anything is imported.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import zipfile
from pathlib import Path

from ansible.executor import module_common
from ansible.module_utils.common.text.converters import to_text
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

_OURS = "imageops/fleet/plugins/module_utils"
_ZIPDATA = re.compile(r"[\"'](?P<data>[A-Za-z0-9+/=\n]{1000,})[\"']")


def payload(path: Path) -> bytes:
    """The zip for one module."""
    built = module_common.modify_module(
        module_name=f"imageops.fleet.{path.stem}",
        module_path=str(path),
        module_args={},
        templar=Templar(loader=DataLoader()),
        task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
        module_compression="ZIP_DEFLATED",
    )
    found = _ZIPDATA.search(to_text(built.b_module_data))
    return base64.b64decode(found["data"]) if found else b""


def main() -> None:
    init_plugin_loader([])
    sizes = {}
    for path in sorted(Path(sys.argv[1]).glob("*.py")):
        data = payload(path)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            ours = [entry for entry in archive.infolist() if _OURS in entry.filename]
            sizes[path.stem] = {
                "bytes": len(data),
                "our_bytes": sum(entry.compress_size for entry in ours),
                "our_files": [entry.filename for entry in ours],
            }
    print(json.dumps(sizes))


if __name__ == "__main__":
    main()
