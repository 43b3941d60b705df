# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that QEMU finds anywhere in a descriptor, also in a comment or outside it: what it reads there must be what we read.

QEMU looks for `parentFileNameHint` and `createType` as bare strings (block/vmdk.c); in a file with a sparse header it looks
for the parent in the twenty sectors from the second on, wherever the header says that the descriptor is.
"""

from __future__ import annotations

from .facts import Draft
from .reader import SECTOR
from .rules import finding

PARENT_AT, PARENT_AREA = SECTOR, 20 * SECTOR
PARENT, KIND = b"parentFileNameHint", b"createType"


def check_lookalikes(draft: Draft, area: bytes, *, embedded: bool) -> None:
    """Note words in the area that a reader of lines doesn't see; the kind of an embedded descriptor decides nothing."""
    text = area.split(b"\0", 1)[0]
    hidden = _after(text[:PARENT_AREA], PARENT)
    named = draft.backing.name if draft.backing else ""
    if hidden is not None and hidden != named:
        draft.findings.append(
            finding("backing-protocol", f"The VMDK hides a parent, '{hidden}', where QEMU finds it; do not use it.")
        )
    kind = None if embedded else _after(text, KIND)
    if kind is not None and kind != draft.variant:
        draft.findings.append(
            finding("header-mismatch", f"The VMDK is a '{draft.variant}' to one reader and a '{kind}' to another.")
        )


def _after(text: bytes, word: bytes) -> str | None:
    """What QEMU takes for the value: from two bytes behind the word to the next quotation mark."""
    at = text.find(word)
    if at < 0:
        return None
    return text[at + len(word) + 2 :].split(b'"', 1)[0].decode("utf-8", "surrogateescape")
