# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule a finding can name, with its severity and the reason. Parsers never invent a severity of their own."""

from __future__ import annotations

from .facts import Finding

UNSAFE, ERROR, WARNING, INFO = "unsafe", "error", "warning", "info"

# rule -> (severity, reason)
RULES: dict[str, tuple[str, str]] = {
    "backing-file": (UNSAFE, "the image reads another file of the host (CVE-2015-1850, CVE-2015-5163)"),
    "backing-format-missing": (UNSAFE, "QEMU would guess the format of the backing file (CVE-2026-24708)"),
    "backing-format-unknown": (UNSAFE, "the overlay names a driver that is no disk format"),
    "backing-protocol": (
        UNSAFE,
        "the backing name is a URL or a driver tree, the host would connect out (CVE-2024-4467)",
    ),
    "data-file": (UNSAFE, "guest data lies in another file of the host (CVE-2024-32498, CVE-2024-4467)"),
    "extent-file": (UNSAFE, "an extent of the descriptor names a file of the host (CVE-2022-47951)"),
    "parent-file": (UNSAFE, "a differencing disk: QEMU refuses it or reads it as if it had no parent, wrong data"),
    "unknown-feature": (UNSAFE, "the image says that a reader without this feature misreads it"),
    "absurd-size": (UNSAFE, "a size or count beyond every lawful image (CVE-2014-0142 to 0147, 0222, 0223)"),
    "table-bounds": (UNSAFE, "a table contradicts the header or the file (CVE-2014-0142 to 0147)"),
    "table-overlap": (UNSAFE, "two tables share bytes, so writing guest data could rewrite the header"),
    "shared-table": (UNSAFE, "more guest data than the file can hold: tables are shared, an expansion bomb"),
    "second-signature": (UNSAFE, "guest bytes look like another format, a probing reader is fooled (CVE-2024-40767)"),
    "polyglot": (UNSAFE, "the file is valid as two formats (OSSA-2024-002)"),
    "header-mismatch": (UNSAFE, "two copies of the header disagree, readers see different disks"),
    "too-many-snapshots": (UNSAFE, "listing them exhausts memory (KubeVirt CDI sample)"),
    "encryption-header": (UNSAFE, "an encryption method without its header crashes qemu-img"),
    "not-a-file": (UNSAFE, "only regular files and block devices are read (CVE-2026-44919)"),
    "format-contradiction": (ERROR, "the file is not what the caller says"),
    "malformed-header": (ERROR, "a field of the header has a value that its format does not allow"),
    "truncated": (ERROR, "tables point past the end of the file; QEMU would deliver zeros for the lost part"),
    "corrupt": (ERROR, "the image is marked corrupt"),
    "dirty-log": (ERROR, "a VHDX log was not replayed; QEMU cannot open it read-only"),
    "checksum": (ERROR, "the header does not match its own checksum"),
    "unsupported-format": (ERROR, "a format that this collection does not handle"),
    "unsupported-variant": (ERROR, "a variant of the format that this collection does not handle"),
    "backing-missing": (ERROR, "the backing file is not there"),
    "chain-loop": (ERROR, "the chain comes back to itself; qemu-img recurses until descriptors run out"),
    "reference-missing": (ERROR, "a file that holds guest data of the image is not there"),
    "chain-depth": (ERROR, "the chain is longer than the limit"),
    "unclean": (WARNING, "the last writer did not close the image"),
    "unpadded-end": (WARNING, "the file ends inside the padding of its last cluster; no guest data are missing"),
    "tables-unchecked": (WARNING, "tables beyond the limit of the check were not read"),
    "bitmap-in-use": (WARNING, "a dirty bitmap was not saved cleanly and cannot be trusted"),
    "legacy-encryption": (WARNING, "the old AES encryption of qcow2, which QEMU has given up for guests"),
    "encrypted": (INFO, "reading needs the secret"),
    "unknown-extension": (INFO, "a header extension that readers may ignore"),
    "unsound-partitions": (WARNING, "a partition table that contradicts itself or the disk; tools read it differently"),
    "other-content": (INFO, "a raw file that begins like an archive, a compressed file or a program"),
    "iso-image": (INFO, "a raw disk that carries an ISO 9660 file system"),
}


def finding(rule: str, message: str, *, file: str | None = None) -> Finding:
    """A finding with the severity that the table gives its rule."""
    return Finding(rule=rule, severity=RULES[rule][0], message=message, file=file)
