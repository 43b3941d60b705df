# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks and tests, one after the other, and one table at the end. Every stage runs, whatever became of the others.

What a stage says is kept in .build/stages. Below the table stands the end of what the failed ones said.
Stages: see --list. With names as arguments only these run (and the set-up and the fleet, where they need them).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / ".build"
INVENTORY = BUILD / "fleet" / "inventory.yml"
INSTALLED = BUILD / "installed"
SMOKE = INSTALLED / "ansible_collections" / "imageops" / "fleet" / "tests" / "smoke.yml"
LOGS = BUILD / "stages"
TAIL = 40  # lines
FAILED_TEST = re.compile(r"(FAILED|ERROR) \S+::")  # pytest's
NOT_HERE = 3  # exit code of a set-up that finds no interpreter to set up

# With the oldest Python: all rooms on hosts, but for what needs Ansible, libvirt or a newer Python, or takes long.
ROOMS = "tests/unit/plugins/module_utils"
NOT_OLDEST = " ".join(
    f"--ignore-glob='*/{name}'"
    for name in (
        "_ansible",
        "_hypervisor",
        "test_layers.py",
        "_operations/test_vm*",
        "_operations/test_disk_job_info.py",
        "_operations/test_host_info.py",
        "_operations/test_usage.py",
        "_formats/test_luks.py",
        "_formats/test_qcow2_options.py",
        "_formats/test_qcow2_tables.py",
        "_formats/test_robustness.py",
    )
)


@dataclass(frozen=True)
class Stage:
    """One line of the table: shell commands that must all succeed."""

    name: str
    script: str
    fleet: bool = False
    collections: Path = BUILD / "collections"


STAGES = (
    Stage("ruff", "ruff check . && ruff format --check ."),
    Stage("mypy", f"MYPYPATH={BUILD}/collections mypy -p ansible_collections.imageops.fleet.plugins.module_utils"),
    Stage("yamllint", "yamllint --strict ."),
    Stage(
        "shellcheck",
        "shellcheck .ci/run demo/run tests/{setup,run,run-sanity} tests/{faults,fuzz}/run"
        " tests/fleet/{customize,fleet,guest,guest_init,guest_network,guest_stop}"
        " tests/fleet/{debian_guest,debian_guest_customize,debian_guest_init}",
    ),
    Stage("ansible-lint", "ansible-lint --offline"),
    Stage("changelog", "antsibull-changelog lint"),
    Stage("docs", "antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck ."),
    Stage("sanity", "tests/run-sanity"),
    Stage("unit", "python -m pytest -q tests/unit"),
    Stage("unit, current Python", "tests/setup current && .build/venv-current/bin/python -m pytest -q tests/unit"),
    Stage(
        "unit, oldest Python", f"tests/setup oldest && .build/venv-oldest/bin/python -m pytest -q {ROOMS} {NOT_OLDEST}"
    ),
    Stage("corpus", "tests/setup corpus && .build/venv-corpus/bin/python -m pytest -q tests/corpus"),
    Stage("fuzz", "tests/fuzz/run --seconds 45"),
    Stage(
        "build and install",
        f"rm -rf {BUILD}/dist {INSTALLED} && ansible-galaxy collection build --output-path {BUILD}/dist"
        f" && ansible-galaxy collection install --offline --force -p {INSTALLED} {BUILD}/dist/*.tar.gz",
        collections=INSTALLED,
    ),
    Stage("smoke, installed", f"ansible-playbook -i {INVENTORY} {SMOKE}", fleet=True, collections=INSTALLED),
    Stage("integration", f"ansible-playbook -i {INVENTORY} tests/integration/run.yml", fleet=True),
    Stage(
        "faults, sample", "tests/faults/run --quick --host first chain check compact convert disk snapshot", fleet=True
    ),
    Stage("molecule", "molecule test --all", fleet=True),
    Stage("demo", "demo/run && demo/run --expect-unchanged", fleet=True),
)


@dataclass
class Outcome:
    """What became of a stage."""

    stage: str
    result: str
    seconds: float


def environment(stage: Stage) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{TOP}/.venv/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(BUILD / "collections"),
        "ANSIBLE_COLLECTIONS_PATH": str(stage.collections),
        "ANSIBLE_ROLES_PATH": str(TOP / "tests" / "integration" / "targets"),
        "ANSIBLE_FORCE_COLOR": "false",
        "NO_COLOR": "1",
    }


def log_of(stage: str) -> Path:
    return LOGS / f"{re.sub('[^a-z]+', '-', stage.lower())}.log"


def run_logged(stage: Stage) -> int:
    """Show what a stage says while it runs, and keep it. A file and not a pipe: daemons that it starts may outlive it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log_of(stage.name).write_bytes(b"")
    with log_of(stage.name).open("ab") as said, log_of(stage.name).open("rb") as news:
        argv = ["bash", "-c", stage.script]
        with subprocess.Popen(argv, cwd=TOP, env=environment(stage), stdout=said, stderr=subprocess.STDOUT) as process:
            ended = False
            while not ended:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                ended = process.returncode is not None
                sys.stdout.buffer.write(news.read())
                sys.stdout.buffer.flush()
    return int(process.returncode)


def run(stage: Stage) -> Outcome:
    print(f"\n==== {stage.name} {'=' * (90 - len(stage.name))}\n", flush=True)
    began = time.monotonic()
    code = run_logged(stage)
    result = {0: "passed", NOT_HERE: "not run here"}.get(code, f"FAILED ({code})")
    seconds = time.monotonic() - began
    print(f"\n---- {stage.name}: {result}, {seconds:.0f} s", flush=True)
    return Outcome(stage.name, result, seconds)


def print_tail(stage: str) -> None:
    """Once more the end of what a failed stage said, failed tests first: of a long log often only the end is kept."""
    lines = log_of(stage).read_text(encoding="utf-8", errors="replace").splitlines()
    tests = [line for line in lines if FAILED_TEST.match(line)]
    rest = [line for line in lines if not FAILED_TEST.match(line)]
    print(f"\n---- {stage}: its last lines {'-' * (72 - len(stage))}")
    print("\n".join([*tests[:TAIL], *rest[-TAIL:]]))


def table(outcomes: list[Outcome]) -> int:
    print(f"\n{'=' * 96}\n{'stage':<28}{'result':<16}{'seconds':>8}")
    for outcome in outcomes:
        print(f"{outcome.stage:<28}{outcome.result:<16}{outcome.seconds:>8.0f}")
    failed = [outcome.stage for outcome in outcomes if outcome.result.startswith("FAILED")]
    for stage in failed:
        if log_of(stage).exists():
            print_tail(stage)
    passed = sum(outcome.result == "passed" for outcome in outcomes)
    print(f"\n{sum(outcome.seconds for outcome in outcomes):.0f} s\n{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


def run_all(stages: list[Stage]) -> int:
    shutil.rmtree(LOGS, ignore_errors=True)
    outcomes = [run(Stage("set-up", "tests/setup"))]
    was_up = INVENTORY.exists()
    with_fleet = any(stage.fleet for stage in stages)
    if outcomes[0].result != "passed":
        return table(outcomes)
    if with_fleet:
        outcomes.append(
            run(
                Stage(
                    "fleet",
                    "tests/fleet/fleet up && tests/fleet/guest && tests/fleet/debian_guest && tests/fleet/fleet status",
                )
            )
        )
    fleet_is_up = with_fleet and outcomes[-1].result == "passed"
    outcomes += [run(stage) for stage in stages if fleet_is_up or not stage.fleet]
    outcomes += [Outcome(stage.name, "FAILED (no fleet)", 0) for stage in stages if stage.fleet and not fleet_is_up]
    if with_fleet and not was_up:
        outcomes.append(run(Stage("fleet down", "tests/fleet/fleet down --keep-images")))
    return table(outcomes)


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
    return run_all([s for s in STAGES if not wanted.stages or any(s.name.startswith(word) for word in wanted.stages)])


if __name__ == "__main__":
    sys.exit(main())
