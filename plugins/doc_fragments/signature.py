# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of modules that take images from a catalog, of which only signed ones may count."""

from __future__ import annotations


class ModuleDocFragment:
    """Who must have signed."""

    DOCUMENTATION = r"""
options:
  require_signature:
    description:
      - Refuse an image that nobody of these signed with M(imageops.fleet.image_sign). By default signatures aren't looked at.
      - The signature is checked before anything of the image is read, and everything that is read is checked against the digest that
        was signed.
    type: dict
    suboptions:
      allowed_signers:
        description:
          - Absolute path on the host of a file with the keys of those who may sign, as C(ssh-keygen) reads it (section
            C(ALLOWED SIGNERS) of its manual). The namespace of the signatures is C(imageops.fleet).
        type: path
        required: true
      identity:
        description:
          - Which of the principals in that file must have signed. Shell patterns such as V(*@example.org) are allowed. Left out or null, it is any of
            them; an empty text is refused.
        type: str
"""
