# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a MAC address of a guest."""

from __future__ import annotations

import re

# A unicast address in lower case.
MAC = re.compile(r"^[0-9a-f][02468ace](:[0-9a-f]{2}){5}\Z")
