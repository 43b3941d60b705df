# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The creation options of each disk format: tables, what they demand of each other, and their text for qemu-img."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import InvalidOption
from .._formats.names import canonical_format
from .._formats.reader import MAX_VIRTUAL_SIZE
from .._sizes import format_size
from .option import Choice, Number, Option, Switch, joined, one_of
from .vhd_size import MAX_VHD_SIZE, chs_size

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
SECTOR = 512
# Entries of a level-1 table that QEMU accepts: 32 MiB of 8 bytes (block/qcow2.h, QCOW_MAX_L1_SIZE).
_QCOW2_L1_ENTRIES = (32 << 20) // 8

_SEVERAL_FILES = (
    "its data lies in files of their own whose names are written into the descriptor, so it can't be put in place in one "
    "step; use monolithicSparse or streamOptimized"
)
_ONLY_CONVERTED = "it can't be written to, so an empty one is of no use; make it with imageops.fleet.disk_convert"

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
        "subformat": Choice(
            "monolithicSparse",
            words=("monolithicSparse", "streamOptimized"),
            refused=tuple(
                (word, _SEVERAL_FILES) for word in ("monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat")
            ),
        ),
        "adapter_type": Choice("ide", words=("ide", "lsilogic", "buslogic", "legacyESX")),
        # Hardware 4 is Workstation 4 and ESX 2, 22 is what VMware's products write last.
        "hwversion": Number(4, least=3, most=22),
    },
    "vhd": {
        "subformat": Choice("dynamic", words=("dynamic", "fixed")),
        "size_rule": Choice("exact", words=("exact", "mib", "chs")),
    },
    "vhdx": {
        "subformat": Choice("dynamic", words=("dynamic", "fixed")),
        "block_size": Number(0, least=_MIB, most=256 * _MIB, power_of_two=True, size=True, automatic=True),
        "log_size": Number(_MIB, least=_MIB, most=4 * _GIB - _MIB, multiple=_MIB, size=True),
    },
    "vdi": {"static": Switch(False)},
    # Its options are those of encryption.py.
    "luks": {},
}

# What needs the third version of qcow2's header (docs/interop/qcow2.txt): option -> the value that version 2 can hold.
_QCOW2_VERSION_2 = {"compression_type": "zlib", "lazy_refcounts": False, "refcount_bits": 16, "extended_l2": False}
# Space is taken at creation, and the space is that of the whole disk.
_FULL_SPACE = (("preallocation", "falloc"), ("preallocation", "full"), ("subformat", "fixed"), ("static", True))


def parse_options(format: str, given: Mapping[str, Any], *, option: str = "options") -> dict[str, Any]:
    """The typed values of the options that were given for a new image of `format`.

    Raises InvalidOption for an unknown option, a wrong value, or two that exclude each other.
    """
    name = canonical_format(format)
    table = TABLES[name]
    for key in given:
        if key not in table:
            raise InvalidOption(f"{option}.{key}: {name} has no such option; it has {one_of(sorted(table))}.")
    values = {key: table[key].parse(value, name=f"{option}.{key}") for key, value in given.items() if value is not None}
    if name == "qcow2":
        _check_qcow2(values, option=option)
    return values


def creatable(format: str, values: Mapping[str, Any], *, option: str = "options") -> None:
    """Raise InvalidOption for what only a conversion can write."""
    if values.get("subformat") == "streamOptimized":
        raise InvalidOption(f"{option}.subformat: 'streamOptimized' can't be used here: {_ONLY_CONVERTED}.")


def _check_qcow2(values: Mapping[str, Any], *, option: str) -> None:
    if values.get("compat") == "0.10":
        for key, old in _QCOW2_VERSION_2.items():
            if values.get(key, old) != old:
                raise InvalidOption(f"{option}.{key}: '{values[key]}' needs {option}.compat '1.1', not '0.10'.")
    if values.get("extended_l2") and completed("qcow2", values)["cluster_size"] < 16 * _KIB:
        raise InvalidOption(f"{option}.extended_l2: needs a cluster_size of 16 KiB or more.")


def completed(format: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` and the defaults of all that was not given."""
    return {**{key: option.default for key, option in TABLES[canonical_format(format)].items()}, **values}


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
