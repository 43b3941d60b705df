# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts of steps, run by a real shell where they only touch what they are given."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_generalise import (
    OPERATIONS,
    chosen,
    generalising,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_scripts import (
    BEGIN,
    END,
    LIST,
    RUN,
    Scripts,
)

FILE = {"dest": "/etc/a b/x", "owner": None, "group": None, "mode": None}
USER = {
    "name": "ops", "uid": 1234, "groups": ["adm"], "shell": "/bin/sh", "sudo": True, "password": None, "password_hash": None,
}  # fmt: skip
STEPS: list[dict[str, Any]] = [
    {"packages": ["nginx", "vim=2:9.0"]},
    {"remove_packages": ["nano"]},
    {"upgrade": True},
    {"write": {**FILE, "content": "text", "secret": None}},
    {"delete": ["/etc/it's"]},
    {"user": USER},
    {"user": {**USER, "password": "step7.password"}},
    {"ssh_key": {"user": "ops", "keys": ["ssh-ed25519 AAAA x"]}},
    {"run": {"script": "true", "network": False}},
    {"service": {"name": "nginx", "state": "masked"}},
    {"timezone": "Europe/Berlin"},
    {"hostname": "one"},
    {"harden": ["no_core_dumps", "root_locked", "ssh_no_passwords", "ssh_no_root", "sysctl", "umask"]},
    {"grow": "last"},
]


def scripts(*steps: dict[str, Any], **secrets: str) -> Any:
    return Scripts({name.replace("_", "."): text for name, text in secrets.items()}).of(steps)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_script_is_one(shell: str) -> None:
    made = [*scripts(*STEPS, step7_password="hidden"), *generalising(list(OPERATIONS)), BEGIN, LIST, END]
    for script in made:
        done = subprocess.run([shell, "-n"], input=script.text, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script.title
    assert len(made) == len(STEPS) - 1 + 4


def test_only_steps_that_need_a_network_get_one() -> None:
    made = scripts({"run": {"script": "curl x", "network": True}}, *STEPS, step7_password="hidden")
    assert [script.title for script in made if script.network] == [
        "run curl x",
        "install nginx, vim=2:9.0",
        "upgrade all packages",
    ]


def test_secrets_are_in_files_only() -> None:
    (made,) = scripts({"user": {**USER, "password": "step1.password"}}, step1_password="hidden")
    assert "hidden" not in made.text and "hidden" not in made.title and "hidden" not in repr(made)
    (file,) = made.files
    assert file.content == b"ops:hidden\n" and file.path.startswith(RUN)
    assert f"chpasswd <{file.path}" in made.text


@pytest.mark.parametrize(("shell", "ends"), [("/bin/ash", 0), ("/bin/sh", 1)])
def test_without_shadow_utils_the_tools_of_busybox_make_a_user(tmp_path: Path, shell: str, ends: int) -> None:
    (made,) = scripts({"user": {**USER, "uid": 0, "groups": [], "shell": "/bin/ash", "sudo": False}})
    (tmp_path / "passwd").write_text(f"ops:x:0:0::/home/ops:{shell}\n")
    tools = 'command() { false; }\nid() { false; }\nadduser() { echo "adduser $*"; }\n'
    text = made.text.replace("/etc/passwd", str(tmp_path / "passwd"))
    done = subprocess.run(["bash", "-e"], input=tools + text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (ends, "adduser -D -u 0 -s /bin/ash ops\n")


def test_a_secret_file_is_for_its_owner_only() -> None:
    (made,) = scripts({"write": {**FILE, "content": None, "secret": "step1.secret"}}, step1_secret="hidden")
    assert "install -m 0600" in made.text and "'/etc/a b/x'" in made.text


def test_a_small_file_is_kept_in_memory_and_a_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (folder,), (file,) = (
        scripts({"copy": {**FILE, "src": str(source)}})[0].files for source in (tmp_path, tmp_path / "file")
    )
    assert not folder.path.startswith("/run") and file.path.startswith("/run")


def test_keys_are_added_once(tmp_path: Path) -> None:
    (made,) = scripts(STEPS[7])
    keys = tmp_path / "keys"
    keys.write_bytes(made.files[0].content)
    (tmp_path / "passwd").write_text(f"ops:x:0:0::{tmp_path}/home:/bin/sh\n")
    (tmp_path / "home").mkdir()
    text = made.text.replace(made.files[0].path, str(keys)).replace("/etc/passwd", str(tmp_path / "passwd"))
    text = text.replace("chown", ": chown")
    for _run in range(2):
        subprocess.run(["sh", "-e"], input=text, text=True, check=True)
    found = tmp_path / "home/.ssh/authorized_keys"
    assert found.read_text() == "ssh-ed25519 AAAA x\n"
    assert found.stat().st_mode & 0o777 == 0o600


def test_what_is_kept_is_not_removed() -> None:
    assert chosen(False, []) == []
    assert "logs" not in chosen(True, ["logs"]) and "machine_id" in chosen(True, ["logs"])
    with pytest.raises(InvalidOption, match="keep: 'x' is none of machine_id"):
        chosen(True, ["x"])
