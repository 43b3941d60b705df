# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog in a registry, read over HTTPS by its specification alone (OCI distribution specification 1.1) and by no code of the collection."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
from typing import Any

from catalog import NAME, Catalog, Damaged

_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


class RegistryCatalog(Catalog):
    """The repository at `path` of the registry at a port of this host; `user` is its name and password, `authority` a certificate."""

    def __init__(self, port: int, path: str, user: tuple[str, str], authority: str) -> None:
        super().__init__(path)
        self._port = port
        self._authority = authority
        self._connection: http.client.HTTPSConnection | None = None
        basic = base64.b64encode(":".join(user).encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}", "Accept": _MANIFESTS}

    def _listed(self) -> list[dict[str, Any]]:
        """What has a tag; one that went meanwhile, as while it is pruned, is none any more."""
        status, data = self._get("tags/list")
        names = (json.loads(data)["tags"] or []) if status == 200 else []
        found = {name: self._get(f"manifests/{name}") for name in names}
        return [
            {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "annotations": {NAME: name}}
            for name, (status, data) in found.items()
            if status == 200
        ]

    def manifests(self) -> list[str]:
        """Digests of all that has a tag, and of what an index under a tag names."""
        found = super().manifests()
        named = [one["digest"] for digest in found for one in self.manifest(digest).get("manifests", ())]
        return [*found, *named]

    def _read(self, digest: str) -> bytes:
        for kind in ("blobs", "manifests"):
            status, data = self._get(f"{kind}/{digest}")
            if status == 200:
                return data
        raise Damaged(f"{digest}: the registry says {status}")

    def unnamed(self) -> list[str]:
        """What nothing names is the registry's own business."""
        return []

    def _get(self, path: str) -> tuple[int, bytes]:
        """Status and body; the registry may have been started anew since the last answer."""
        try:
            return self._ask(path)
        except (OSError, http.client.HTTPException):
            self._connection = None
            return self._ask(path)

    def _ask(self, path: str) -> tuple[int, bytes]:
        if self._connection is None:
            trust = ssl.create_default_context(cafile=self._authority)
            self._connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30, context=trust)
        self._connection.request("GET", f"/v2/{self.path}/{path}", headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()
