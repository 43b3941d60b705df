# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words for the host's shell; that they work is shown by the target image_build."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import build_chroot
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_chroot import (
    ChrootSession,
    Mount,
    chroot_obstacle,
)


def test_a_file_system_is_mounted_from_its_place_on_the_disk() -> None:
    said = Mount("/a b/disk", 1048576, 4096, "/").command("/a b/tree")
    assert said == "mount -o loop,offset=1048576,sizelimit=4096,nodev '/a b/disk' '/a b/tree'"


def test_a_link_leads_no_mount_out_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "boot").symlink_to("/etc")
    said = Mount("/disk", 0, 4096, "/boot").command(str(tmp_path / "boot"))
    done = subprocess.run(["sh", "-c", said.replace("mount -o", "echo")], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no plain folder /boot" in done.stderr
    (tmp_path / "boot").unlink()
    (tmp_path / "boot").mkdir()
    done = subprocess.run(["sh", "-c", said.replace("mount -o", "echo")], capture_output=True, text=True, check=False)
    assert done.returncode == 0


def test_the_host_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "become: true" in chroot_obstacle()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(build_chroot.shutil, "which", lambda name: None if name == "unshare" else name)
    assert chroot_obstacle() == "unshare is not installed (Debian: util-linux)"


# Lets its child live on when it is killed, as the real one may for a moment.
UNSHARE = """#!/bin/sh
/bin/sh
exit $?
"""


def test_nothing_runs_in_the_tree_any_more_when_the_engine_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unshare").write_text(UNSHARE)
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(build_chroot, "chroot_obstacle", lambda: "")
    session = ChrootSession("/nowhere", network=False, carried=(), seconds=1.0, watch=lambda: None)
    session._talk.tell("echo $$\necho told\nexec sleep 1000\n")
    pid = int(session._talk.answer("told", seconds=60.0))
    session.close()
    assert not os.path.exists(f"/proc/{pid}")


def test_only_the_first_process_of_a_namespace_ends_all_others() -> None:
    started = subprocess.run(
        ["sh", "-c", build_chroot._ALONE.replace("kill", "echo kill")], capture_output=True, check=True
    )
    assert started.stdout == b""
    assert build_chroot._ALONE.startswith('[ "$$" != 1 ] || kill -KILL -1')


def test_file_systems_that_a_killed_process_leaves_are_unmounted_a_moment_later(tmp_path: Path) -> None:
    umount = f'umount() {{ [ -e {tmp_path}/gone ] || {{ touch {tmp_path}/gone; return 1; }}; echo "umount $1"; }}\n'
    script = f"{umount}{build_chroot._UNMOUNT}unmount /a"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "umount /a\n")
