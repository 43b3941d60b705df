# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import DiskEntry
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, MissingLibrary
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import Connection
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_anywhere import held_anywhere
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_images import note_held
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, read_record, write_record

# libvirt's test driver reads a whole host from a file.
NODE = """
<node>
  <domain type='test'>
    <name>web</name><memory>1024</memory><os><type>hvm</type></os>
    <devices><disk type='file' device='disk'><driver type='qcow2'/><source file='{disk}'/><target dev='vda'/></disk></devices>
  </domain>
  <pool type='dir'><name>images</name><target><path>{pool}</path></target></pool>
  <pool type='netfs'>
    <name>shared</name><source><host name='nas'/><dir path='/images'/></source><target><path>{pool}/shared</path></target>
  </pool>
</node>
"""


@pytest.fixture
def tools(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tools]:
    """A host with the pool `pool` and a domain whose disk `vm/disk.qcow2` lies in none; nothing is noted."""
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/",))
    for folder in ("pool", "vm", "bases"):
        (tmp_path / folder).mkdir()
    node = tmp_path / "node.xml"
    node.write_text(NODE.format(disk=tmp_path / "vm/disk.qcow2", pool=tmp_path / "pool"), encoding="utf-8")
    found = Tools(connect=lambda uri: Connection.open(f"test://{node}"))
    yield found
    found.close()


def pulled(path: Path, digest: str) -> Path:
    """A file that another user's pull made."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1M"], check=True)
    source = {"reference": "dir:/srv/x:1", "manifest": digest, "disk": "vda", "content": "c"}
    write_record(str(path), Record("pull", "qcow2", 1 << 20, source=source))
    return path


def over(path: Path, base: Path) -> None:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(path), "1M"], check=True
    )


def digests(tools: Tools) -> list[str]:
    return [held.digest for held in held_anywhere(tools)]


def test_a_file_in_a_pool(tools: Tools, tmp_path: Path) -> None:
    path = pulled(tmp_path / "pool/base.qcow2", "a")
    (held,) = held_anywhere(tools)
    assert (held.path, held.reference, held.digest, held.disk) == (str(path), "dir:/srv/x:1", "a", "vda")
    assert (held.format, held.size, held.valid) == ("qcow2", 1 << 20, True)
    path.write_bytes(b"written")
    assert [held.valid for held in held_anywhere(tools)] == [False]


def test_the_base_of_a_domain_s_disk(tools: Tools, tmp_path: Path) -> None:
    over(tmp_path / "vm/disk.qcow2", pulled(tmp_path / "bases/base.qcow2", "a"))
    assert digests(tools) == ["a"]


def test_the_base_of_an_overlay_in_a_pool(tools: Tools, tmp_path: Path) -> None:
    over(tmp_path / "pool/overlay.qcow2", pulled(tmp_path / "bases/base.qcow2", "a"))
    pulled(tmp_path / "bases/unknown.qcow2", "b")
    assert digests(tools) == ["a"]


def test_names_of_one_file_and_copies(tools: Tools, tmp_path: Path) -> None:
    path = pulled(tmp_path / "pool/base.qcow2", "a")
    (tmp_path / "pool/link.qcow2").hardlink_to(path)
    shutil.copy2(path, tmp_path / "pool/copy.qcow2")
    assert digests(tools) == ["a"]


def test_a_host_whose_pools_can_not_be_asked(tools: Tools) -> None:
    def missing(_uri: str) -> Connection:
        raise MissingLibrary("no libvirt")

    with pytest.raises(MissingLibrary, match="install python3-libvirt"):
        held_anywhere(Tools(connect=missing))


def note(path: Path, digest: str) -> Path:
    """A file that a pull of ours made."""
    pulled(path, digest)
    record = read_record(str(path))
    assert record
    note_held(str(path), record, DiskEntry("vda", 1 << 20, "c"))
    return path


def test_a_file_whose_folder_is_not_there(tools: Tools, tmp_path: Path) -> None:
    """The file system may be not mounted; a file that is gone from its folder is gone."""
    for name in ("mounted", "bases"):
        (tmp_path / name).mkdir(exist_ok=True)
        note(tmp_path / name / "base.qcow2", name)
    shutil.move(tmp_path / "mounted", tmp_path / "elsewhere")
    (tmp_path / "bases/base.qcow2").unlink()
    assert [(held.digest, held.valid) for held in held_anywhere(tools)] == [("mounted", False)]


def test_a_pool_that_is_not_mounted(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.hypervisor("qemu:///system").raw.storagePoolLookupByName("shared").destroy()
    with pytest.raises(
        Conflict, match=r"^The storage pool shared isn't started, so .*/pool/shared; start it \(virsh pool"
    ):
        held_anywhere(tools)
    # Somebody else may have mounted it.
    monkeypatch.setattr(os.path, "ismount", lambda path: path.endswith("/shared"))
    assert held_anywhere(tools) == []


def test_a_folder_that_can_not_be_listed(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(folder: str) -> Iterator[os.DirEntry[str]]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(Conflict, match=f"^{tmp_path}/pool can't be looked at .Permission denied., so it isn't known"):
        held_anywhere(tools)


def test_a_file_that_the_user_may_not_read(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pool/disk.raw"
    path.touch()
    monkeypatch.setattr(os, "access", lambda name, _mode, **_options: name != str(path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert held_anywhere(tools) == []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Conflict, match=f"^{path} can't be looked at .Permission denied., so it isn't known"):
        held_anywhere(tools)
