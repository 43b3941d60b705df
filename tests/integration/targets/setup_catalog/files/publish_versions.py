# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""publish_versions.py REPOSITORY CA_FILE: publish the versions that standard input describes, print their digests by tag.

They share a pack, and each has one of its own. What is in them is no frame of zstd, so they can't be pulled.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[5] / ".build/collections"))

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import parse_repository
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess
from ansible_collections.imageops.fleet.plugins.module_utils._registry.open import open_store
from ansible_collections.imageops.fleet.tests.unit.plain_images import publish

COMMON = {number: b"common %d" % number * 1000 for number in range(4)}


def main() -> None:
    asked = json.load(sys.stdin)
    access = StoreAccess(asked["username"], asked["password"], ca_path=sys.argv[2])
    store = open_store(parse_repository(sys.argv[1], option="repository"), access)
    digests = {
        version["tag"]: publish(
            store, version["tag"], COMMON, {100: version["own"].encode() * 100}, created=version["created"]
        )
        for version in asked["versions"]
    }
    store.close()
    print(json.dumps(digests))


if __name__ == "__main__":
    main()
