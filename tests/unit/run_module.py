# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a module in this process, as Ansible would, and reading its result.

As a program: run_module.py MODULE '{"option": ...}' prints the result.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
from typing import Any

from ansible.module_utils.testing import patch_module_args
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import launch

_MODULES = "ansible_collections.imageops.fleet.plugins.modules"


def run_module(name: str, params: dict[str, Any], *, check: bool = False, diff: bool = False) -> dict[str, Any]:
    """The result of the module `name`, which may be one of a failure."""
    module = importlib.import_module(f"{_MODULES}.{name}")
    printed = io.StringIO()
    arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": diff}
    with patch_module_args(arguments), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        module.main()
    result = json.loads(printed.getvalue().strip().splitlines()[-1])
    assert isinstance(result, dict)
    return result


if __name__ == "__main__":
    launch.launcher_here = lambda: launch.SESSION
    print(json.dumps(run_module(sys.argv[1], json.loads(sys.argv[2]))))
