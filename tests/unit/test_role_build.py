# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `build` makes of images and profiles, by its own expressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:
    # Before ansible-core 2.19 every text is a template.
    trust_as_template = str

ROLE = Path(__file__).resolve().parents[2] / "roles/build"
WEB = {"path": "/web", "base": {"path": "/base"}, "steps": [{"packages": ["nginx"]}]}


def read(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def trusted(value: Any) -> Any:
    return trust_as_template(value) if isinstance(value, str) else value


def templated(name: str, **given: Any) -> Any:
    known = {**read("defaults/main.yml"), **read("vars/main.yml")}
    variables = {**{key: trusted(value) for key, value in known.items()}, **given}
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(f"{{{{ {name} }}}}"))


def test_a_profile_stands_around_an_images_own_steps() -> None:
    (item,) = templated("__build_items", build_images=[WEB])
    assert item["path"] == "/web" and item["compression"] == "zstd"
    assert [next(iter(step)) for step in item["steps"]] == ["upgrade", "packages", "harden"]
    (item,) = templated("__build_items", build_images=[{**WEB, "profile": "development", "compression": "none"}])
    assert "profile" not in item and item["compression"] == "none" and "logs" in item["keep"]
    assert item["steps"][-1]["packages"][0] == "strace"


def test_users_add_profiles_and_change_these() -> None:
    mine = {"small": {"options": {"size": "2G"}}, "production": {"first": []}}
    items = templated(
        "__build_items",
        build_profiles=mine,
        build_images=[WEB, {**WEB, "profile": "small"}],
        build_options={"size": "3G"},
    )
    assert [next(iter(step)) for step in items[0]["steps"]] == ["packages", "harden"]
    assert items[1]["steps"] == WEB["steps"] and items[1]["size"] == "3G"
    assert templated("__build_unknown", build_images=[{**WEB, "profile": "no"}]) == ["no"]


def test_what_says_so_is_published_with_its_profile() -> None:
    image = {**WEB, "publish": {"image": "dir:/catalog:1", "labels": {"team": "a"}}}
    (found,) = templated("__build_published", build_images=[WEB, image])
    assert found == {
        "disks": [{"path": "/web"}],
        "image": "dir:/catalog:1",
        "labels": {"profile": "production", "team": "a"},
    }
