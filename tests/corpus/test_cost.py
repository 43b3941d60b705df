# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verdict costs, for each image of the corpus."""

from __future__ import annotations

from ansible_collections.imageops.fleet.tests.corpus.images import ATTACKS, VALID
from ansible_collections.imageops.fleet.tests.corpus.opinions import cost
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop

# What nothing may need, on whatever machine: a hang. What is needed is printed.
SECONDS, MEMORY = 1.0, 32 << 20


def test_a_verdict_takes_little_time_and_memory(shop: Shop, figures: list[str]) -> None:
    found = {}
    for image in ATTACKS:
        found[image.name] = cost(shop.build(image.name, image.make), image.declared)
    for each in VALID:
        found[each.name] = cost(shop.build(each.name, each.make), each.format)
    slowest = max(found, key=lambda name: found[name][0])
    largest = max(found, key=lambda name: found[name][1])
    middle = sorted(seconds for seconds, _bytes in found.values())[len(found) // 2]
    figures.append(
        f"time of a verdict: median {middle * 1000:.1f} ms, most {found[slowest][0] * 1000:.0f} ms ({slowest}); "
        f"memory at most {found[largest][1] / (1 << 20):.1f} MiB ({largest})"
    )
    assert not {name: told for name, told in found.items() if told[0] >= SECONDS or told[1] >= MEMORY}
