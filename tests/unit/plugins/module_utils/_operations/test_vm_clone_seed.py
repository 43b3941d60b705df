# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
from pathlib import Path

import pycdlib
import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_seed import (
    clone_seed,
    fixed_host_name,
    is_seed,
    read_seed,
    with_identity,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_seed import build


def test_json_stays_json() -> None:
    meta = with_identity('{"instance-id": "a", "local-hostname": "b", "x": 1}', name="copy", uuid="u")
    assert json.loads(meta) == {"instance-id": "u", "local-hostname": "copy", "x": 1}


def test_yaml_keeps_its_other_lines() -> None:
    meta = with_identity("# c\ninstance-id: a\nlocal-hostname : b\nx:\n  instance-id: deep\n", name="copy", uuid="u")
    assert meta == "# c\nx:\n  instance-id: deep\ninstance-id: u\nlocal-hostname: copy\n"


def test_meta_data_that_was_empty() -> None:
    assert with_identity("", name="copy", uuid="u") == "instance-id: u\nlocal-hostname: copy\n"


def test_a_seed_of_ours_becomes_the_clones(tmp_path: Path) -> None:
    source = tmp_path / "web-seed.iso"
    files = {
        "meta-data": '{"instance-id": "a"}',
        "user-data": "#cloud-config\n{}\n",
        "network-config": "mac: 52:54:00:AA:00:01",
    }
    source.write_bytes(build(files))
    assert is_seed(str(source)) and read_seed(str(source)) == files
    seed = clone_seed(
        str(source),
        name="copy",
        uuid="u",
        folder="/new",
        macs={"52:54:00:aa:00:01": "52:54:00:bb:00:02"},
        another_machine=False,
    )
    assert seed.path == "/new/copy-seed.iso"
    assert json.loads(seed.files["meta-data"]) == {"instance-id": "u", "local-hostname": "copy"}
    assert seed.files["user-data"] == files["user-data"]
    assert seed.files["network-config"] == "mac: 52:54:00:bb:00:02"


def test_a_seed_with_rock_ridge_alone(tmp_path: Path) -> None:
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, rock_ridge="1.09", vol_ident="CIDATA")
    image.add_fp(io.BytesIO(b"x: 1\n"), 5, iso_path="/META.;1", rr_name="meta-data")
    image.write(str(tmp_path / "s.iso"))
    image.close()
    assert is_seed(str(tmp_path / "s.iso")) and read_seed(str(tmp_path / "s.iso")) == {"meta-data": "x: 1\n"}


def test_what_is_no_seed(tmp_path: Path) -> None:
    other = tmp_path / "other.iso"
    other.write_bytes(b"\0" * 70000)
    assert not is_seed(str(other)) and not is_seed(str(tmp_path / "missing"))


def test_a_broken_seed_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.iso"
    broken.write_bytes(build({"meta-data": "x", "user-data": "y"})[:33000])
    with pytest.raises(UnsafeImage, match="broken.iso can't be read"):
        read_seed(str(broken))


@pytest.mark.parametrize(
    ("text", "fixed"),
    [("#cloud-config\nhostname: a\n", True), ('#cloud-config\n{"fqdn": "a"}', True), ("#cloud-config\n{}\n", False)],
)
def test_host_names_that_clones_would_share(text: str, fixed: bool) -> None:
    assert fixed_host_name(text) is fixed
