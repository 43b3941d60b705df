# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML beside the plain description: a part of the domain's that is merged into it by path.

libvirt rewrites some of what it is given (units, defaults), and a second run must not set that again. So what merging would still
change right after the definition is noted in our metadata, and is no difference as long as the same part is declared.
"""

from __future__ import annotations

from collections.abc import Collection

from .._hypervisor import hardware
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.merge import Change, merge
from .._hypervisor.xml import IMAGEOPS, Element, clone, ensure, get, put
from . import vm_whole
from .operation import Tools
from .vm_define_whole import require_media
from .vm_host import acceleration
from .vm_labels import OURS
from .vm_request import VmRequest

_NOTE = f"{OURS}/{{{IMAGEOPS}}}part"
_DECLARED, _REWRITTEN = f"{_NOTE}/@sha256", f"{_NOTE}/@rewritten"


class Part:
    """The part of a domain's XML that a task declares; an empty one changes nothing."""

    def __init__(self, request: VmRequest) -> None:
        text = request.plain("xml")
        self._request = request
        self._root = vm_whole.declared_root(text, name=request.name) if text else None
        self._digest = vm_whole.digest(self._root) if self._root is not None else ""
        self._changes: list[Change] = []

    @property
    def acceleration(self) -> str:
        """kvm or tcg, an empty string when it tells neither."""
        told = hardware.acceleration(self._root) if self._root is not None else ""
        return told if told in ("kvm", "tcg") else ""

    def require(
        self, existing: Element | None, connection: Connection, tools: Tools, *, known: Collection[str]
    ) -> None:
        """Raise what speaks against it; disks in `known` were looked at already."""
        if self._root is None:
            return
        # Raises what speaks against a <vcpu>, which nothing else reads where the task has no such option.
        hardware.vcpus(self._root)
        if existing is not None:
            vm_whole.keep_uuid(self._root, existing)
        if self._root.get("type") == "kvm":
            acceleration(connection, "kvm")
        require_media(self._root, known, self._request, tools)

    def merged(self, root: Element) -> Element:
        """`root` with the part in it; just as it is when only that is missing which libvirt had rewritten."""
        if self._root is None:
            return root
        found = clone(root)
        changes = merge(found, self._root)
        known = set(get(root, _REWRITTEN).split()) if get(root, _DECLARED) == self._digest else set()
        if {str(change) for change in changes} <= known:
            return root
        self._changes = changes
        put(found, _DECLARED, self._digest)
        return found

    def note(self, domain: Domain) -> None:
        """Keep in the metadata of the domain just defined what libvirt made of the part."""
        if self._root is None:
            return
        found = domain.xml(secure=True)
        changes = sorted(str(change) for change in merge(clone(found), self._root))
        if changes:
            put(found, _REWRITTEN, " ".join(changes))
            domain.set_metadata(ensure(found, OURS))

    def facts(self) -> tuple[dict[str, str], dict[str, str]]:
        """The places that differ, for the diff; values may be secret."""
        before = {change.place: "(another)" if change.found else "(not there)" for change in self._changes}
        return before, dict.fromkeys(before, "(as declared)")
