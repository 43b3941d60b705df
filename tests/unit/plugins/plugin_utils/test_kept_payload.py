# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible import constants
from ansible_collections.imageops.fleet.plugins.plugin_utils import _kept_payload
from ansible_collections.imageops.fleet.plugins.plugin_utils._kept_payload import kept_payload

ACTION = "ansible_collections.imageops.fleet.plugins.action.vm"
COLLECTIONS = next(path.parent for path in Path(_kept_payload.__file__).parents if path.name == "ansible_collections")
PACKED = "ansible_collections.imageops.fleet.plugins.modules.vm-ZIP_DEFLATED-none"


class Controller:
    """Where a collection, Ansible's own files, and runs of ansible-playbook are; `packs` counts how often the module was packed."""

    def __init__(self, top: Path, patched: pytest.MonkeyPatch) -> None:
        self.top = top
        self.packs = 0
        self._patched = patched
        self.home = top / "home"
        self.source = top / "plugins" / "module_utils" / "thing.py"
        self.core = top / "core" / "basic.py"
        for path in (top / "plugins" / "modules" / "vm.py", top / "meta" / "runtime.yml", self.source, self.core):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# {path.name}\n", encoding="ascii")
        patched.setattr(_kept_payload, "_PLUGINS", str(top / "plugins"))
        patched.setattr(_kept_payload, "_CORE", str(self.core.parent))
        patched.setattr(constants, "ANSIBLE_HOME", str(self.home))
        self.search(self.core.parent)

    def search(self, *folders: Path) -> None:
        """Folders in which Ansible looks for module_utils."""
        told = os.pathsep.join(map(str, folders))
        self._patched.setattr(_kept_payload.module_utils_loader, "print_paths", lambda: told)

    def run(self, content: str = "", *, uses: int = 1) -> str:
        """One run of ansible-playbook with so many uses of the module, which packs `content`; what is sent."""
        number = len(list(self.top.glob("run-*")))
        folder = self.top / f"run-{number}"
        self._patched.setattr(constants, "DEFAULT_LOCAL_TMP", str(folder))
        packed = folder / "ansiballz_cache" / PACKED
        for _use in range(uses):
            with kept_payload(ACTION):
                if not packed.exists():
                    self.packs += 1
                    packed.parent.mkdir(parents=True, exist_ok=True)
                    (packed.parent / f"{PACKED}.lock").touch()
                    packed.write_text(content, encoding="ascii")
        return packed.read_text(encoding="ascii")

    @property
    def kept(self) -> list[Path]:
        return sorted((self.home / "imageops" / "payloads").iterdir())


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    return Controller(tmp_path, monkeypatch)


def test_what_one_run_packs_the_next_one_has(controller: Controller) -> None:
    assert [controller.run("first"), controller.run("second", uses=2), controller.run()] == ["first"] * 3
    assert controller.packs == 1 and len(controller.kept) == 1
    assert controller.kept[0].parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "changed", ["plugins/module_utils/thing.py", "plugins/modules/vm.py", "meta/runtime.yml", "core/basic.py"]
)
def test_a_file_that_was_written_since_is_packed_anew(controller: Controller, changed: str) -> None:
    controller.run("old")
    path = controller.top / changed
    status, text = path.stat(), path.read_text(encoding="ascii")
    path.write_text(text.upper(), encoding="ascii")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert controller.run("new") == "new"


def test_new_files_and_versions_are_packed_anew(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    controller.run("old")
    (controller.source.parent / "sub").mkdir()
    (controller.source.parent / "sub" / "more.py").touch()
    assert controller.run("more") == "more"
    monkeypatch.setattr(_kept_payload, "ansible_version", "99")
    assert controller.run("newer") == "newer"


def test_of_older_ones_the_last_few_are_kept(controller: Controller) -> None:
    for number in range(5):
        controller.source.write_text(f"# {number}\n" * number, encoding="ascii")
        controller.run(str(number))
    assert len(controller.kept) == 3


def test_a_folder_that_others_may_write_to_is_not_used(controller: Controller) -> None:
    controller.run("old")
    controller.kept[0].parent.chmod(0o777)
    assert controller.run("new") == "new"


def test_files_of_the_user_s_own_may_replace_ansible_s(controller: Controller) -> None:
    controller.run("old")
    controller.search(controller.core.parent, controller.top / "nothing there")
    assert controller.run("new") == "old"
    own = controller.top / "own"
    own.mkdir()
    controller.search(controller.core.parent, own)
    assert controller.run("new") == "new"


def test_a_home_that_can_not_be_written_is_no_reason_to_fail(controller: Controller) -> None:
    controller.home.write_text("a file", encoding="ascii")
    assert [controller.run("first"), controller.run("second")] == ["first", "second"]


def test_a_failed_module_is_kept_too(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = controller.top / "run"
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(folder))
    with pytest.raises(ValueError), kept_payload(ACTION):
        (folder / "ansiballz_cache").mkdir(parents=True)
        (folder / "ansiballz_cache" / PACKED).write_text("first", encoding="ascii")
        raise ValueError("unreachable")
    assert controller.run("second") == "first"


def test_ansible_sends_what_was_kept(tmp_path: Path) -> None:
    """With the real one, whose files these are."""
    task = {"imageops.fleet.disk_job_info": {}}
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task, task]}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="ascii")
    told = {
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "IMAGEOPS_STATE_DIR": str(tmp_path / "state"),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-vvvvv", str(tmp_path / "play.yml")]
    sent = []
    for _run in range(2):
        done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        sent.append(done.stdout.count("Including module_utils file ansible_collections/imageops/fleet/"))
    assert sent[0] > 20 and sent[1] == 0
