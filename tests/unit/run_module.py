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
from typing import Any, Callable
from unittest import mock

from ansible.module_utils import _internal
from ansible.module_utils.testing import patch_module_args
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import launch

_MODULES = "ansible_collections.imageops.fleet.plugins.modules"


def run_module(name: str, params: dict[str, Any], *, check: bool = False, diff: bool = False) -> dict[str, Any]:
    """The result of the module `name`, which may be one of a failure."""
    return result_of(importlib.import_module(f"{_MODULES}.{name}").main, params, check=check, diff=diff)


def result_of(
    main: Callable[[], None], params: dict[str, Any], *, check: bool = False, diff: bool = False
) -> dict[str, Any]:
    """What the module whose entry is `main` prints for `params`."""
    printed = io.StringIO()
    arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": diff}
    # Tests of plugins load the controller's half of Ansible, and then warnings would go to its display.
    on_host = mock.patch.object(_internal, "is_controller", False)
    with on_host, patch_module_args(arguments), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main()
    result = json.loads(printed.getvalue().strip().splitlines()[-1])
    assert isinstance(result, dict)
    if "warnings" in result:
        result["warnings"] = [_text(warning) for warning in result["warnings"]]
    return result


def _text(warning: Any) -> str:
    """Newer cores send warnings as objects."""
    return str(warning["event"]["msg"] if isinstance(warning, dict) else warning)


if __name__ == "__main__":
    launch.launcher_here = lambda: launch.SESSION
    print(json.dumps(run_module(sys.argv[1], json.loads(sys.argv[2]))))
