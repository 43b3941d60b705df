# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking the seed of cloud-init away: out of the drive of the running guest, out of the definition, off the host."""

from __future__ import annotations

import os
from typing import Any

from .._errors import InvalidOption
from .._files import remove
from .._hypervisor.domain import Domain
from .._hypervisor.xml import Element
from .._plan import Step
from .._records import read_record
from . import vm_plain
from .vm_seed import is_seed

_CONTENT = ("user_data", "meta_data", "network_config")


def is_detached(cloud_init: dict[str, Any] | None) -> bool:
    """Whether the seed shall be taken away; raises InvalidOption when its content is told too."""
    if not cloud_init or not cloud_init.get("detached"):
        return False
    both = [name for name in _CONTENT if cloud_init.get(name) is not None]
    if both:
        raise InvalidOption(
            f"cloud_init.detached: a seed that is taken away has no content; leave out {', '.join(both)}, or leave out detached."
        )
    return True


class Detachment:
    """The seed `path` on its way out of the VM whose next start `root` describes (None: of which there is none yet)."""

    def __init__(self, path: str, root: Element | None, domain: Domain | None) -> None:
        self._path = path
        self._domain = domain
        live = domain.xml(inactive=False) if domain and domain.active else None
        self._defined = vm_plain.seed_target(root, path) if root is not None else ""
        self._inserted = vm_plain.seed_target(live, path) if live is not None else ""
        self._there = os.path.exists(path) and is_seed(read_record(path))

    @property
    def needed(self) -> bool:
        """Whether there is anything to take away."""
        return bool(self._defined or self._inserted or self._there)

    def drop_drive(self, root: Element) -> None:
        """Have no drive for it in the description `root`."""
        if self._defined:
            vm_plain.drop_disk(root, self._defined)

    def before_defining(self) -> list[Step]:
        """The guest that runs has it no longer; its drive stays, empty, until the next start."""
        domain, target = self._domain, self._inserted
        if domain is None or not target:
            return []
        return [Step(f"eject the cloud-init seed from {domain.name}", lambda: domain.eject(target))]

    def after_defining(self) -> list[Step]:
        """Nothing uses the file any more."""
        return [Step(f"remove the cloud-init seed {self._path}", lambda: remove(self._path))] if self._there else []

    def facts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Before and after for the diff."""
        after = {"cloud_init": "detached"}
        return ({"cloud_init": {"path": self._path}} if self.needed else after), after
