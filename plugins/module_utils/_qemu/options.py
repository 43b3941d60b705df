# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The creation options of each disk format: tables, what they demand of each other, and their text for qemu-img."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Callable

from .._errors import InvalidOption, Unsupported
from .._formats.names import canonical_format
from .._formats.reader import MAX_VIRTUAL_SIZE
from .._sizes import format_size
from .option import Choice, Number, Option, Switch, joined, one_of
from .vhd_size import MAX_VHD_SIZE, chs_size

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
SECTOR = 512
# Entries of a level-1 table that QEMU accepts: 32 MiB of 8 bytes (block/qcow2.h, QCOW_MAX_L1_SIZE).
_QCOW2_L1_ENTRIES = (32 << 20) // 8

# VMDK whose data lie in files beside the descriptor.
SEVERAL_FILES = ("monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat")
_FLAT = ("monolithicFlat", "twoGbMaxExtentFlat")
_ONLY_CONVERTED = {
    "streamOptimized": "it can't be written to, so an empty one is of no use; make it with imageops.fleet.disk_convert",
    **{
        word: "its data lie in files of their own, which imageops.fleet.disk_convert puts in place together with it; make it "
        "there"
        for word in SEVERAL_FILES
    },
}
# Options of QEMU that are not taken, with the reason.
_REFUSED = {
    "qcow2": {
        "data_file": "the guest data would lie in a file of their own, which no step can put in place together with the image",
        "data_file_raw": "it belongs to data_file, which is not taken here",
        "backing_file": "a backing file is declared by its own option, with its format",
        "backing_fmt": "a backing file is declared by its own option, with its format",
    },
    "vmdk": {
        "backing_file": "a delta link rests on a parent that VMware finds by its own rules; make a flat copy, or a qcow2 overlay",
        "backing_fmt": "it belongs to backing_file, which is not taken here",
    },
    "vhd": {"force_size": "size_rule says how the size is kept: exact and mib force it, chs does not"},
}

# The version of VMware Tools by which VMware leaves them to the guest's owner (open-vm-tools).
_MANAGED_BY_USER = 2147483647

TABLES: dict[str, dict[str, Option]] = {
    "raw": {"preallocation": Choice("off", words=("off", "falloc", "full"))},
    "qcow2": {
        "cluster_size": Number(64 * _KIB, least=512, most=2 * _MIB, power_of_two=True, size=True),
        "compression_type": Choice("zlib", words=("zlib", "zstd")),
        "compat": Choice("1.1", words=("0.10", "1.1"), aliases=(("0.1", "0.10"), ("v2", "0.10"), ("v3", "1.1"))),
        "lazy_refcounts": Switch(False),
        "preallocation": Choice("off", words=("off", "metadata", "falloc", "full")),
        "refcount_bits": Number(16, least=1, most=64, power_of_two=True),
        "extended_l2": Switch(False),
    },
    "vmdk": {
        "subformat": Choice("monolithicSparse", words=("monolithicSparse", "streamOptimized", *SEVERAL_FILES)),
        "adapter_type": Choice("ide", words=("ide", "lsilogic", "buslogic", "legacyESX")),
        # Hardware 4 is Workstation 4 and ESX 2, 22 is what VMware's products write last.
        "hwversion": Number(4, least=3, most=22),
        "compat6": Switch(False),
        "toolsversion": Number(_MANAGED_BY_USER, least=0, most=_MANAGED_BY_USER),
        "zeroed_grain": Switch(False),
    },
    "vhd": {
        "subformat": Choice("dynamic", words=("dynamic", "fixed")),
        "size_rule": Choice("exact", words=("exact", "mib", "chs")),
    },
    "vhdx": {
        "subformat": Choice("dynamic", words=("dynamic", "fixed")),
        "block_size": Number(0, least=_MIB, most=256 * _MIB, power_of_two=True, size=True, automatic=True),
        "log_size": Number(_MIB, least=_MIB, most=4 * _GIB - _MIB, multiple=_MIB, size=True),
        "block_state_zero": Switch(True),
    },
    "vdi": {"static": Switch(False)},
    # Its options are those of encryption.py.
    "luks": {},
}

# What needs the third version of qcow2's header (docs/interop/qcow2.txt): option -> the value that version 2 can hold.
_QCOW2_VERSION_2 = {"compression_type": "zlib", "lazy_refcounts": False, "refcount_bits": 16, "extended_l2": False}
# The QEMU that came with an option, or a value of it; all other options are older than any that is in use. Of those here, QEMU
# 7.2 and 10.0 have the same.
_SINCE: dict[tuple[str, Any], tuple[int, int]] = {
    ("compression_type", "zstd"): (5, 1),
    ("extended_l2", None): (5, 2),
    ("toolsversion", None): (6, 2),
}
# What no header tells: it shows in the size, in the hardware version, or only in how QEMU writes zeros.
UNSEEN = ("size_rule", "compat6", "block_state_zero")
# Space is taken at creation, and the space is that of the whole disk.
_FULL_SPACE = (("preallocation", "falloc"), ("preallocation", "full"), ("subformat", "fixed"), ("static", True))


def parse_options(
    format: str, given: Mapping[str, Any], *, option: str = "options", also: Collection[str] = ()
) -> dict[str, Any]:
    """The typed values of the options that were given for a new image of `format`; `also` are those that the caller takes itself.

    Raises InvalidOption for an unknown option, a wrong value, or two that exclude each other.
    """
    name = canonical_format(format)
    table = TABLES[name]
    for key in given:
        reason = _REFUSED.get(name, {}).get(key)
        if reason:
            raise InvalidOption(f"{option}.{key}: can't be used here: {reason}.")
        if key not in table:
            raise InvalidOption(f"{option}.{key}: {name} has no such option; it has {one_of(sorted([*table, *also]))}.")
    values = {key: table[key].parse(value, name=f"{option}.{key}") for key, value in given.items() if value is not None}
    if name == "qcow2":
        _check_qcow2(values, option=option)
    if name == "vmdk":
        _check_vmdk(values, option=option)
    return values


def creatable(format: str, values: Mapping[str, Any], *, option: str = "options") -> None:
    """Raise InvalidOption for what only a conversion can write."""
    word = values.get("subformat")
    if word in _ONLY_CONVERTED:
        raise InvalidOption(f"{option}.subformat: '{word}' can't be used here: {_ONLY_CONVERTED[word]}.")


def several_files(values: Mapping[str, Any]) -> bool:
    """Whether an image with these options is a descriptor with extents beside it."""
    return values.get("subformat") in SEVERAL_FILES


def require_version(
    values: Mapping[str, Any], found: Callable[[], tuple[int, ...]], *, option: str = "options"
) -> None:
    """Raise Unsupported for an option that the installed QEMU doesn't have yet; `found` tells its version when it matters."""
    for key, value in values.items():
        since = _SINCE.get((key, value)) or _SINCE.get((key, None))
        if since and value not in (False, "zlib") and found()[:2] < since:
            had, wanted = (".".join(map(str, version)) for version in (found(), since))
            raise Unsupported(
                f"{option}.{key}: '{value}' needs QEMU {wanted} or newer, this host has {had}; leave it out, or convert on "
                f"another host."
            )


def _check_vmdk(values: Mapping[str, Any], *, option: str) -> None:
    """What QEMU refuses together (block/vmdk.c)."""
    if values.get("compat6") and "hwversion" in values:
        raise InvalidOption(
            f"{option}.compat6: gives the disk hardware version 6, so {option}.hwversion can't be given too."
        )
    if values.get("zeroed_grain") and values.get("subformat") in _FLAT:
        raise InvalidOption(
            f"{option}.zeroed_grain: a {values['subformat']} disk has no grains; leave one of them out."
        )


def _check_qcow2(values: Mapping[str, Any], *, option: str) -> None:
    if values.get("compat") == "0.10":
        for key, old in _QCOW2_VERSION_2.items():
            if values.get(key, old) != old:
                raise InvalidOption(f"{option}.{key}: '{values[key]}' needs {option}.compat '1.1', not '0.10'.")
    if values.get("extended_l2") and completed("qcow2", values)["cluster_size"] < 16 * _KIB:
        raise InvalidOption(f"{option}.extended_l2: needs a cluster_size of 16 KiB or more.")


def completed(format: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` and the defaults of all that was not given."""
    implied = {"hwversion": 6} if values.get("compat6") else {}
    return {**{key: option.default for key, option in TABLES[canonical_format(format)].items()}, **implied, **values}


def virtual_size(format: str, size: int, values: Mapping[str, Any], *, option: str = "size") -> int:
    """The size that a disk of `size` bytes gets in this format; raises InvalidOption when it can't be that large."""
    name = canonical_format(format)
    if size <= 0:
        raise InvalidOption(f"{option}: a disk of {size} bytes can't be used; give a size above 0.")
    most = _largest(name, values)
    wanted = _rounded(name, size, values)
    if wanted > most:
        raise InvalidOption(
            f"{option}: {wanted} bytes are too much for {name} with these options; it holds {most} bytes "
            f"({format_size(most)}) at most."
        )
    return wanted


def _rounded(name: str, size: int, values: Mapping[str, Any]) -> int:
    rule = values.get("size_rule", "exact") if name == "vhd" else "exact"
    if rule == "chs":
        return chs_size(-(-size // SECTOR) * SECTOR)
    step = _MIB if rule == "mib" else SECTOR
    return -(-size // step) * step


def _largest(name: str, values: Mapping[str, Any]) -> int:
    if name == "vhd":
        return MAX_VHD_SIZE
    if name != "qcow2":
        return MAX_VIRTUAL_SIZE
    options = completed(name, values)
    per_table: int = options["cluster_size"] // (16 if options["extended_l2"] else 8) * options["cluster_size"]
    return min(MAX_VIRTUAL_SIZE, _QCOW2_L1_ENTRIES * per_table)


def takes_full_space(values: Mapping[str, Any]) -> bool:
    """Whether an image with these options takes the space of its whole disk when it is made."""
    return any(values.get(key) == value for key, value in _FULL_SPACE)


def engine_arguments(format: str, values: Mapping[str, Any]) -> list[str]:
    """`-o` and its text for qemu-img, or nothing."""
    name = canonical_format(format)
    table = TABLES[name]
    pairs = [(key, table[key].text(value)) for key, value in values.items() if key != "size_rule"]
    if name == "vhd" and values.get("size_rule", "exact") != "chs":
        pairs.append(("force_size", "on"))
    text = joined(pairs)
    return ["-o", text] if text else []
