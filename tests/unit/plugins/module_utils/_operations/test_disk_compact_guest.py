# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    EngineError,
    InvalidOption,
    TimedOut,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import disk_compact_guest
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_compact_guest import GuestPart
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_compact_request import CompactRequest
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.guestfs import Guestfs, Partition
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.node import Image

from .._formats.images import qemu_img

MIB = 1 << 20
pytestmark = pytest.mark.usefixtures("state_dir", "programs")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A libguestfs that works, unless the test lets a call fail."""
    fails: dict[str, Any] = {}

    def act(name: str, result: Any = None) -> Any:
        def run(self: Guestfs, *arguments: Any, **more: Any) -> Any:
            if name in fails:
                raise fails[name]
            return result

        return run

    monkeypatch.setattr(disk_compact_guest, "missing_programs", lambda: fails.get("missing", ""))
    monkeypatch.setattr(Guestfs, "launch", act("launch"))
    monkeypatch.setattr(Guestfs, "discard_free_space", act("discard"))
    monkeypatch.setattr(Guestfs, "partitions", act("partitions", [Partition("/dev/sda1"), Partition("/dev/sda5")]))
    monkeypatch.setattr(Guestfs, "expand", act("expand", "resize2fs"))
    return fails


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    qemu_img("create", "-q", "-f", "qcow2", str(path), "8M")
    return path


def part(image: Path, **given: Any) -> GuestPart:
    values: dict[str, Any] = {
        "path": str(image), "format": "qcow2", "files": [], "allowed": [], "old_size": 8 * MIB, "size": 8 * MIB,
        "options": {}, "compress": False, "base": None, "discard": "auto", "grow_partition": None, "guest_timeout": 60,
        "bandwidth": None, "declared": {},
    }  # fmt: skip
    state = JobState("compact-x", "compact", "r")
    return GuestPart(CompactRequest(**{**values, **given}), Progress(state, Clock()), 0)


def prepare(found: GuestPart, image: Path) -> str:
    found.probe()
    return found.prepare(f"{image}-work", f"{image}-grown").path


def test_discarding_works_on_a_copy(image: Path) -> None:
    found = part(image)
    assert prepare(found, image) == f"{image}-work"
    assert found.told == {"discard": "done"}


def test_growing_makes_a_larger_one(image: Path) -> None:
    found = part(image, size=16 * MIB, grow_partition="last")
    assert prepare(found, image) == f"{image}-grown"
    assert found.told == {"discard": "done", "growth": "the disk, the partition sda5 and its file system"}
    assert not Path(f"{image}-work").exists()
    assert '"virtual-size": 16777216' in qemu_img("info", "--output=json", f"{image}-grown")


def test_the_last_one_is_the_last_on_the_disk(
    image: Path, programs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one with the greatest number. It grows where it is, on a copy, since virt-resize would give it another number."""
    cloud = [Partition("/dev/sda14"), Partition("/dev/sda15"), Partition("/dev/sda1", file_system="ext4")]
    grown: list[Any] = []
    monkeypatch.setattr(Guestfs, "partitions", lambda *arguments: cloud)
    monkeypatch.setattr(Guestfs, "grow_last", lambda self, *arguments, **more: grown.append((arguments, more)))
    programs["expand"] = EngineError("must not run")
    for wanted, discard in (("last", "auto"), ("1", "never")):
        found = part(image, size=16 * MIB, grow_partition=wanted, discard=discard)
        assert prepare(found, image) == f"{image}-grown"
        assert found.told["growth"] == "the disk, the partition sda1 and its file system"
        assert grown.pop() == ((Image(f"{image}-grown", "qcow2"), cloud[-1]), {"size": 16 * MIB})
        assert '"virtual-size": 16777216' in qemu_img("info", "--output=json", f"{image}-grown")
        assert not Path(f"{image}-work").exists()
        assert '"virtual-size": 8388608' in qemu_img("info", "--output=json", str(image))
        Path(f"{image}-grown").unlink()
    cloud[-1] = Partition("/dev/sda1", file_system="ntfs")
    for wanted in ("last", "14"):
        with pytest.raises(Unsupported, match="^grow_partition: .* aren't numbered in their order on the disk"):
            prepare(part(image, discard="never", size=16 * MIB, grow_partition=wanted), image)


@pytest.mark.parametrize(
    ("method", "kind", "told"),
    [
        ("resize2fs", "ext4", "the disk, the partition sda5 and its file system"),
        (
            "pvresize",
            "",
            "the disk, the partition sda5 and its LVM physical volume; grow in the guest the logical volumes",
        ),
        ("", "ntfs", "the disk and the partition sda5, not its file system (ntfs)"),
        ("", "unknown", "the disk and the partition sda5, not what is in it"),
    ],
)
def test_the_result_tells_what_grew(
    image: Path, monkeypatch: pytest.MonkeyPatch, method: str, kind: str, told: str
) -> None:
    monkeypatch.setattr(
        Guestfs, "partitions", lambda *_words: [Partition("/dev/sda5", file_system=kind, growing=False)]
    )
    monkeypatch.setattr(Guestfs, "expand", lambda *_words: method)
    monkeypatch.setattr(Partition, "can_grow_in_place", False)
    found = part(image, discard="never", size=16 * MIB, grow_partition="last")
    prepare(found, image)
    assert found.told["growth"].startswith(told)


@pytest.mark.parametrize("growing", [True, False])
def test_the_result_tells_of_xfs(image: Path, monkeypatch: pytest.MonkeyPatch, growing: bool) -> None:
    last = Partition("/dev/sda5", file_system="xfs", growing=growing)
    monkeypatch.setattr(Guestfs, "partitions", lambda *_words: [last])
    monkeypatch.setattr(Guestfs, "grow_last", lambda *_words, **_more: None)
    found = part(image, discard="never", size=16 * MIB, grow_partition="last")
    prepare(found, image)
    assert ("not its file system (xfs)" in found.told["growth"]) is not growing


def test_one_partition_by_its_number(image: Path) -> None:
    found = part(image, discard="never", size=16 * MIB, grow_partition="1")
    prepare(found, image)
    assert found.told["growth"] == "the disk, the partition sda1 and its file system"
    with pytest.raises(InvalidOption, match="has no partition 2; it has: sda1, sda5"):
        prepare(part(image, discard="never", size=16 * MIB, grow_partition="2"), image)


def test_nothing_is_started_where_nothing_is_asked_for(image: Path, programs: dict[str, Any]) -> None:
    programs["launch"] = EngineError("must not run")
    found = part(image, discard="never", size=16 * MIB)
    assert prepare(found, image) == str(image)
    assert found.told == {"discard": "not asked for", "growth": "the disk only"}


@pytest.mark.parametrize("why", ["missing", "launch"])
def test_without_libguestfs_the_result_says_why(image: Path, programs: dict[str, Any], why: str) -> None:
    programs[why] = "no programs" if why == "missing" else TimedOut("guestfish did not end.")
    found = part(image, size=16 * MIB, grow_partition="last")
    assert prepare(found, image) == str(image)
    reason = "no programs" if why == "missing" else "guestfish did not end"
    assert found.told["discard"] == f"not done: {reason}"
    assert found.told["growth"].startswith(
        "the disk only, the partition and its file system grow at the guest's next start"
    )
    with pytest.raises(Unsupported, match=f"^discard: libguestfs can't be used on this host: {reason}"):
        prepare(part(image, discard="always"), image)


@pytest.mark.parametrize(
    "error",
    [EngineError("virt-sparsify failed: no file system"), TimedOut("virt-sparsify did not end within 60 seconds.")],
)
def test_a_discard_that_fails(image: Path, programs: dict[str, Any], error: Exception) -> None:
    programs["discard"] = error
    found = part(image)
    assert prepare(found, image) == str(image)
    assert found.told["discard"] == f"not done: {str(error).rstrip('.')}"
    assert not Path(f"{image}-work").exists()
    with pytest.raises(type(error), match="^virt-sparsify"):
        prepare(part(image, discard="always"), image)
