# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images the role `deploy` takes, by its own expressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:
    # Before ansible-core 2.19 every text is a template.
    trust_as_template = str

ROLE = Path(__file__).resolve().parents[2] / "roles/deploy"
DIGEST = f"sha256:{'0' * 64}"


def first_task(image: str, folder: Path) -> tuple[bool, str]:
    """Whether the role's first task lets the image pass, and what it says else, for a playbook in the folder."""
    task = yaml.safe_load((ROLE / "tasks/main.yml").read_text(encoding="utf-8"))[0]["ansible.builtin.assert"]
    own: dict[str, Any] = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    known = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in own.items()}
    templar = Templar(loader=DataLoader(), variables={**known, "deploy_image": image, "playbook_dir": str(folder)})
    passed = templar.template(trust_as_template(f"{{{{ {task['that']} }}}}"))
    return str(passed) == "True", str(templar.template(trust_as_template(task["fail_msg"])))


@pytest.mark.parametrize(
    "image",
    [
        "/srv/images/web.vmdk",
        "~/web.vmdk",
        "dir:/srv/images/debian:12",
        f"dir:/srv/images/debian@{DIGEST}",
        "https://images.example/debian:12",
        "http://127.0.0.1:8080/debian",
        "registry.example:5000/team/debian:stable",
        f"registry.example/debian@{DIGEST}",
        "registry:5000/debian",
        "localhost/debian",
        "[::1]:5000/debian:12",
    ],
)
def test_paths_and_references_pass(tmp_path: Path, image: str) -> None:
    assert first_task(image, tmp_path)[0]


@pytest.mark.parametrize(
    "image",
    ["web.vmdk", "images/web.vmdk", "./web.vmdk", "../images/web.vmdk", "dir:images/debian:12", "web:12", "a.b/", ""],
)
def test_relative_paths_are_refused(tmp_path: Path, image: str) -> None:
    passed, words = first_task(image, tmp_path)
    assert not passed
    assert words.startswith(f"deploy_image: {image} is neither an absolute path nor the reference")
    assert f"such as {tmp_path}/{image}, or HOST" in words


def test_a_file_beside_the_playbook_is_no_reference(tmp_path: Path) -> None:
    (tmp_path / "web-1.4").mkdir()
    assert first_task("web-1.4/web", tmp_path)[0]
    (tmp_path / "web-1.4/web").touch()
    assert not first_task("web-1.4/web", tmp_path)[0]
