# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks and tests in lanes side by side, and one table at the end. Every stage runs, whatever became of the others.

One lane is for what needs no fleet, and then what may share it; one starts the fleet and does what needs it; in one the other
hosts of the fleet run their integration targets, while the first runs its own. What a stage says is printed when it ends, and
kept in .build/stages. Below the table stands the end of what the failed ones said.
Stages: see --list. With names as arguments only these run (and the set-up, the fleet and other stages that they need).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lanes import Lanes, Outcome, Stage, log_of

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / ".build"
INVENTORY = BUILD / "fleet" / "inventory.yml"
INSTALLED = BUILD / "installed"
SMOKE = INSTALLED / "ansible_collections" / "imageops" / "fleet" / "tests" / "smoke.yml"
LOGS = BUILD / "stages"
TAIL = 40  # lines
FAILED_TEST = re.compile(r"(FAILED|ERROR) \S+::")  # pytest's
ENVIRONMENT = {
    "PATH": f"{TOP}/.venv/bin:{os.environ['PATH']}",
    "PYTHONPATH": str(BUILD / "collections"),
    "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
    "ANSIBLE_ROLES_PATH": str(TOP / "tests" / "integration" / "targets"),
    "ANSIBLE_FORCE_COLOR": "false",
    "NO_COLOR": "1",
}


def without(*names: str) -> str:
    """Options of pytest's that leave out these files and folders."""
    return " ".join(f"--ignore-glob='*/{name}'" for name in names)


# With the current Python: all but what reads the tree and says the same with any Python, and what the fleet's newer host runs with it.
NOT_CURRENT = without(
    "test_completeness.py",
    "test_examples.py",
    "test_layers.py",
    "test_payload.py",
    "test_lanes.py",
    "_formats",
    "_qemu",
    "_transfer",
    "test_disk_c*.py",
    "test_disk_info.py",
    "test_disk_snapshot.py",
    "modules/test_image_p*.py",
    "_operations/test_convert_extents.py",
    "_operations/test_image_pull_container.py",
    "_operations/test_image_publish_job.py",
)
# With the oldest Python: all rooms on hosts, but for what needs Ansible, libvirt or a newer Python, or takes long.
ROOMS = "tests/unit/plugins/module_utils"
NOT_OLDEST = without(
    "_ansible",
    "_hypervisor",
    "test_layers.py",
    "_operations/test_vm*",
    "_operations/test_catalog_base.py",
    "_operations/test_disk_job_info.py",
    "_operations/test_held_anywhere.py",
    "_operations/test_image_pull_container.py",
    "_operations/test_host_info.py",
    "_operations/test_usage.py",
    "_formats/test_luks.py",
    "_formats/test_qcow2_options.py",
    "_formats/test_qcow2_tables.py",
    "_formats/test_robustness.py",
)

OF_INSTALLED = {"ANSIBLE_COLLECTIONS_PATH": str(INSTALLED)}
SET_UP = Stage("set-up", "tests/setup")
FLEET = Stage(
    "fleet", "tests/fleet/fleet up && tests/fleet/guest && tests/fleet/debian_guest && tests/fleet/fleet status"
)
ON_FLEET = (FLEET.name,)
# Beside others: its rounds keep their state in folders of their own.
FAULTS = Stage(
    "faults, sample",
    "tests/faults/run --quick --host first alias chain check compact convert disk jobs prune publish pull sign snapshot tasks",
    needs=ON_FLEET,
)
TARGETS = f"ansible-playbook -i {INVENTORY} tests/integration/run.yml --limit"
# At its own pace: a play of all hosts would wait for the slowest at each task.
OTHER_HOSTS = Stage("integration, other hosts", f"{TARGETS} 'hypervisors[1:]'", needs=ON_FLEET)
# Long, with many guests or such of Debian: `molecule test -s NAME` runs one of them on the fleet.
ON_DEMAND = ("build", "lab")
SCENARIOS = " ".join(["molecule test --all", *(f"--exclude {name}" for name in ON_DEMAND)])
FLEET_DOWN = Stage("fleet down", "tests/fleet/fleet down --keep-images")
STAGES = (
    Stage("ruff", "ruff check . && ruff format --check ."),
    Stage(
        "build and install",
        f"rm -rf {BUILD}/dist {INSTALLED} && ansible-galaxy collection build --output-path {BUILD}/dist"
        f" && ansible-galaxy collection install --offline --force -p {INSTALLED} {BUILD}/dist/*.tar.gz",
        variables=OF_INSTALLED,
    ),
    Stage("mypy", f"MYPYPATH={BUILD}/collections mypy -p ansible_collections.imageops.fleet.plugins.module_utils"),
    Stage("yamllint", "yamllint --strict ."),
    Stage(
        "shellcheck",
        "shellcheck .ci/run demo/run tests/{setup,run,run-sanity} tests/{faults,fuzz}/run"
        " tests/fleet/{customize,fleet,guest,guest_init,guest_network,guest_stop,installer,installer_init}"
        " tests/fleet/{debian_guest,debian_guest_customize,debian_guest_init}",
    ),
    Stage("ansible-lint", "ansible-lint --offline"),
    Stage("changelog", "antsibull-changelog lint"),
    Stage("docs", "antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck ."),
    Stage("sanity", "tests/run-sanity"),
    Stage("unit", "python -m pytest -q tests/unit"),
    Stage(
        "unit, current Python",
        f"tests/setup current && .build/venv-current/bin/python -m pytest -q tests/unit {NOT_CURRENT}",
    ),
    Stage(
        "unit, oldest Python", f"tests/setup oldest && .build/venv-oldest/bin/python -m pytest -q {ROOMS} {NOT_OLDEST}"
    ),
    Stage("corpus", "tests/setup corpus && .build/venv-corpus/bin/python -m pytest -q tests/corpus"),
    Stage("fuzz", "tests/fuzz/run --seconds 45"),
    Stage(
        "smoke, installed",
        f"ansible-playbook -i {INVENTORY} {SMOKE}",
        needs=(*ON_FLEET, "build and install"),
        variables=OF_INSTALLED,
    ),
    Stage("integration, first host", f"{TARGETS} 'hypervisors[0]'", needs=ON_FLEET),
    OTHER_HOSTS,
    FAULTS,
    Stage("molecule", SCENARIOS, needs=ON_FLEET, after=(OTHER_HOSTS.name,)),
    Stage("demo", "demo/run && demo/run --expect-unchanged", needs=ON_FLEET, after=(OTHER_HOSTS.name,)),
)


def print_tail(stage: str) -> None:
    """Once more the end of what a failed stage said, failed tests first: of a long log often only the end is kept."""
    lines = log_of(LOGS, stage).read_text(encoding="utf-8", errors="replace").splitlines()
    tests = [line for line in lines if FAILED_TEST.match(line)]
    rest = [line for line in lines if not FAILED_TEST.match(line)]
    print(f"\n---- {stage}: its last lines {'-' * (72 - len(stage))}")
    print("\n".join([*tests[:TAIL], *rest[-TAIL:]]))


def table(outcomes: Sequence[Outcome], seconds: float) -> int:
    print(f"\n{'=' * 96}\n{'stage':<28}{'result':<16}{'seconds':>8}")
    for outcome in outcomes:
        print(f"{outcome.stage:<28}{outcome.result:<16}{outcome.seconds:>8.0f}")
    failed = [outcome.stage for outcome in outcomes if outcome.result.startswith("FAILED")]
    for stage in failed:
        if log_of(LOGS, stage).exists():
            print_tail(stage)
    passed = sum(outcome.result == "passed" for outcome in outcomes)
    print(f"\n{seconds:.0f} s\n{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


def lanes_of(stages: Sequence[Stage], *, keep_fleet: bool) -> list[list[Stage]]:
    """What needs no fleet, with the faults; the fleet and what else needs it; what other hosts do beside it. A stage waits only
    for those that are there."""
    names = {stage.name for stage in stages}
    stages = [replace(stage, after=tuple(name for name in stage.after if name in names)) for stage in stages]
    beside = [stage for stage in stages if stage.name in (FAULTS.name, OTHER_HOSTS.name)]
    with_fleet = [stage for stage in stages if FLEET.name in stage.needs and stage not in beside]
    others = [stage for stage in stages if FLEET.name not in stage.needs]
    if not with_fleet and not beside:
        return [others]
    down = [] if keep_fleet else [replace(FLEET_DOWN, after=tuple(stage.name for stage in beside))]
    faults, other_hosts = (
        [stage for stage in beside if stage.name == name] for name in (FAULTS.name, OTHER_HOSTS.name)
    )
    return [[*others, *faults], [FLEET, *with_fleet, *down], other_hosts]


def run_lanes(lanes: Sequence[Sequence[Stage]]) -> list[Outcome]:
    """What became of the stages, in the order of the lanes' stages."""
    found = Lanes(lanes, logs=LOGS, folder=TOP, environment={**os.environ, **ENVIRONMENT}).run()
    order = [stage.name for lane in lanes for stage in lane]
    return sorted(found, key=lambda outcome: order.index(outcome.stage))


def run_all(stages: Sequence[Stage]) -> int:
    shutil.rmtree(LOGS, ignore_errors=True)
    began, keep_fleet = time.monotonic(), INVENTORY.exists()
    outcomes = run_lanes([[SET_UP]])
    if outcomes[0].result == "passed":
        outcomes += run_lanes(lanes_of(stages, keep_fleet=keep_fleet))
    return table(outcomes, time.monotonic() - began)


def chosen(words: Sequence[str]) -> list[Stage]:
    """The stages whose names begin so, and those that they need; all without words."""
    names = {stage.name for stage in STAGES if not words or stage.name.startswith(tuple(words))}
    needed = {need for stage in STAGES if stage.name in names for need in stage.needs}
    return [stage for stage in STAGES if stage.name in names | needed]


def interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="stage", help="first words of stages' names; all when left out")
    parser.add_argument("--list", action="store_true", help="name the stages")
    wanted = parser.parse_args()
    if wanted.list:
        print("\n".join(stage.name for stage in STAGES))
        return 0
    unknown = [word for word in wanted.stages if not any(stage.name.startswith(word) for stage in STAGES)]
    if unknown:
        parser.error(f"no stage begins with '{unknown[0]}'; they are: {', '.join(stage.name for stage in STAGES)}")
    signal.signal(signal.SIGTERM, interrupted)
    try:
        return run_all(chosen(wanted.stages))
    except KeyboardInterrupt:
        print("\ninterrupted; what the stages said is in .build/stages", flush=True)
        return 130


if __name__ == "__main__":
    sys.exit(main())
