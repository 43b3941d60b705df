# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qcow2, versions 2 and 3 (QEMU's docs/interop/qcow2.txt): what the header says and whether it may."""

from __future__ import annotations

from .facts import Backing, Draft, Reference
from .qcow2_extensions import Extensions, read_extensions
from .qcow2_header import Header, read_header
from .qcow2_region import ACTIVE, REFCOUNTS, Region
from .qcow2_snapshots import read_snapshots
from .qcow2_tables import check_tables
from .reader import SECTOR, Malformed, Reader, check_virtual_size, text
from .rules import finding
from .signatures import LUKS

DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED_L2 = 1, 2, 4, 8, 16
INCOMPATIBLE = {
    DIRTY: "dirty",
    CORRUPT: "corrupt",
    DATA_FILE: "external data file",
    COMPRESSION: "compression type",
    EXTENDED_L2: "extended L2 entries",
}
COMPATIBLE = {1: "lazy refcounts"}
AUTOCLEAR = {1: "bitmaps", 2: "raw external data"}
ENCRYPTION = {0: None, 1: "aes", 2: "luks"}
COMPRESSIONS = {0: "zlib", 1: "zstd"}
MAX_BACKING_NAME = 1023
# QEMU's own limits (block/qcow2.h)
MAX_L1_BYTES = 32 << 20
MAX_REFCOUNT_TABLE_BYTES = 8 << 20


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from the whole header, its extensions and its tables."""
    header = read_header(image)
    _describe(header, draft)
    _check_fields(header, draft)
    check_virtual_size(draft)
    extensions = read_extensions(image, draft, start=header.length, end=_extensions_end(header))
    _features(header, extensions, draft)
    encrypted = _encryption(image, header, extensions, draft)
    _backing(image, header, extensions, draft)
    regions = _regions(image, header) + encrypted
    regions += read_snapshots(
        image, draft, offset=header.snapshot_offset, count=header.snapshot_count, cluster_size=header.cluster_size
    )
    if extensions.bitmaps and header.autoclear & 1:
        from .qcow2_bitmaps import read_bitmaps

        regions += read_bitmaps(image, draft, directory=extensions.bitmaps)
    check_tables(
        image,
        draft,
        regions=regions,
        extended=bool(header.incompatible & EXTENDED_L2),
        external=bool(header.incompatible & DATA_FILE),
        refcount_bits=1 << min(header.refcount_order, 6),
    )


def _describe(header: Header, draft: Draft) -> None:
    draft.variant = f"v{header.version}"
    draft.virtual_size = header.size
    draft.cluster_size = header.cluster_size
    draft.header_area = header.cluster_size
    draft.compression = COMPRESSIONS.get(header.compression_type)
    draft.dirty = bool(header.incompatible & DIRTY)
    draft.corrupt = bool(header.incompatible & CORRUPT)
    draft.encryption = ENCRYPTION.get(header.crypt_method, "unknown")
    draft.header = {
        "version": header.version,
        "cluster_bits": header.cluster_bits,
        "refcount_bits": 1 << min(header.refcount_order, 7),
        "header_length": header.length,
        "l1_entries": header.l1_entries,
        "snapshot_count": header.snapshot_count,
        "incompatible_features": names(header.incompatible, INCOMPATIBLE),
        "compatible_features": names(header.compatible, COMPATIBLE),
        "autoclear_features": names(header.autoclear, AUTOCLEAR),
        "lazy_refcounts": bool(header.compatible & 1),
        "extended_l2": bool(header.incompatible & EXTENDED_L2),
        "data_file_raw": bool(header.autoclear & 2),
        "tables_checked": True,
    }


def names(bits: int, known: dict[int, str]) -> list[str]:
    """The set bits by name, unknown ones by number."""
    return [known.get(1 << bit, f"bit {bit}") for bit in range(64) if bits >> bit & 1]


def _check_fields(header: Header, draft: Draft) -> None:
    problems = {
        f"a refcount order of {header.refcount_order}": header.refcount_order > 6,
        f"the encryption method {header.crypt_method}": header.crypt_method not in ENCRYPTION,
        f"the compression type {header.compression_type}": header.compression_type not in COMPRESSIONS,
        "a compression type that its feature bits contradict": bool(header.incompatible & COMPRESSION)
        != bool(header.compression_type),
        "extended L2 entries with clusters under 16 KiB": bool(header.incompatible & EXTENDED_L2)
        and header.cluster_bits < 14,
    }
    for problem in [told for told, wrong in problems.items() if wrong]:
        draft.findings.append(finding("malformed-header", f"The qcow2 header gives {problem}, which QEMU refuses."))


def _extensions_end(header: Header) -> int:
    """Extensions end where the backing name starts (version 2 has them too), at the latest with the first cluster."""
    return header.backing_offset if 0 < header.backing_offset <= header.cluster_size else header.cluster_size


def _features(header: Header, extensions: Extensions, draft: Draft) -> None:
    for bit in range(64):
        if header.incompatible >> bit & 1 and 1 << bit not in INCOMPATIBLE:
            name = extensions.feature_names.get((0, bit), "no name given")
            draft.findings.append(
                finding(
                    "unknown-feature",
                    f"The image needs the unknown incompatible feature bit {bit} "
                    f"({name}); convert it with the program that made it.",
                )
            )
    if header.incompatible & DATA_FILE:
        draft.data_file = extensions.data_file or ""
        draft.references.append(Reference(kind="data-file", name=draft.data_file, format="raw"))
        draft.findings.append(
            finding(
                "data-file",
                f"The guest data lies in another file, '{draft.data_file}', which was not declared; "
                "declare it or use an image without a data file.",
                file=draft.data_file,
            )
        )
    if draft.corrupt:
        draft.findings.append(
            finding("corrupt", "The image is marked corrupt; repair it with 'qemu-img check -r all'.")
        )
    if draft.dirty:
        draft.findings.append(
            finding("unclean", "The image was not closed; its refcounts are rebuilt at the next opening.")
        )


def _encryption(image: Reader, header: Header, extensions: Extensions, draft: Draft) -> list[Region]:
    """What the method is, and the place of the LUKS header in the file."""
    found = extensions.luks if header.crypt_method == 2 else None
    if header.crypt_method == 2 and not (found and image.upto(found[0], len(LUKS)) == LUKS):
        draft.findings.append(finding("encryption-header", "The image says LUKS but has no LUKS header; get it again."))
        return []
    if header.crypt_method == 1:
        draft.cipher = {"type": "aes", "cipher": "aes", "mode": "cbc-plain64"}
        draft.findings.append(
            finding("legacy-encryption", "The image uses the old AES encryption; convert it to LUKS.")
        )
    if header.crypt_method:
        draft.findings.append(finding("encrypted", f"The image is encrypted ({draft.encryption})."))
    if not found:
        return []
    from .luks import read_luks1

    read_luks1(image, draft, at=found[0], length=found[1])
    return [Region("LUKS header", *found).checked(image, header.cluster_size)]


def _backing(image: Reader, header: Header, extensions: Extensions, draft: Draft) -> None:
    if not header.backing_offset:
        return
    if header.backing_length > MAX_BACKING_NAME or header.backing_offset + header.backing_length > header.cluster_size:
        raise Malformed(
            "table-bounds",
            f"The backing file name of {header.backing_length} bytes at "
            f"{header.backing_offset} lies outside the first cluster.",
        )
    name = text(
        image.exact(header.backing_offset, header.backing_length, what="backing file name")
        if header.backing_length
        else b""
    )
    if name:
        draft.backing = Backing(name=name, format=extensions.backing_format)
        draft.findings.append(
            finding(
                "backing-file",
                f"The image reads the backing file '{name}', which was not declared; declare it or use a flat copy.",
                file=name,
            )
        )
    if name and not extensions.backing_format:
        draft.findings.append(
            finding(
                "backing-format-missing",
                f"The format of the backing file '{name}' is not recorded; "
                "record it with 'qemu-img rebase -u -b FILE -F FORMAT'.",
            )
        )


def _regions(image: Reader, header: Header) -> list[Region]:
    """The tables that the header points to, each checked against QEMU's limits and the file."""
    size, l1_bytes = header.cluster_size, header.l1_entries * 8
    refcount_bytes = header.refcount_clusters * size
    if l1_bytes > MAX_L1_BYTES or refcount_bytes > MAX_REFCOUNT_TABLE_BYTES:
        raise Malformed(
            "absurd-size",
            f"The L1 table of {l1_bytes} or refcount table of {refcount_bytes} bytes is larger than QEMU allows.",
        )
    entry = 16 if header.incompatible & EXTENDED_L2 else 8
    needed = -(-header.size // (size * (size // entry)))
    if header.l1_entries < needed:
        raise Malformed(
            "table-bounds", f"The L1 table has {header.l1_entries} entries, the virtual size needs {needed}."
        )
    if header.size % SECTOR:
        raise Malformed("malformed-header", f"The virtual size {header.size} is no multiple of {SECTOR}.")
    if not refcount_bytes:
        raise Malformed("malformed-header", "The image has no refcount table; QEMU refuses it.")
    tables = [
        Region("active L1 table", header.l1_offset, l1_bytes, ACTIVE, header.size),
        Region("refcount table", header.refcount_offset, refcount_bytes, REFCOUNTS),
    ]
    return [Region("header", 0, size)] + [table.checked(image, size) for table in tables if table.length]
