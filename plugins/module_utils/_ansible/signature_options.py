# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option require_signature of modules that take images from a catalog. Documented in doc_fragments/signature.py."""

from __future__ import annotations

from typing import Any

SIGNATURE_OPTIONS: dict[str, Any] = {
    "require_signature": {
        "type": "dict",
        "options": {"allowed_signers": {"type": "path", "required": True}, "identity": {"type": "str"}},
    }
}
