# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What oslo.utils and qemu-img say of the same images, as a table; where they are stricter than we are is explained here."""

from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.names import SOURCES
from ansible_collections.imageops.fleet.tests.corpus.catalogue import Attack, Valid
from ansible_collections.imageops.fleet.tests.corpus.images import ATTACKS, VALID
from ansible_collections.imageops.fleet.tests.corpus.opinions import Opinion, oslo, ours, qemu
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop

# What oslo.utils refuses and we accept: how the names of the images begin, and a part of its reason.
STRICTER = (
    # It takes the bit for unknown; QEMU has written such images since 5.2, and our parser reads their tables.
    ("qcow2 extended_l2", "unknown_features"),
    # Their only mark is the footer, which it doesn't read.
    ("vhd subformat=fixed", "is raw"),
    # It refuses every QED image; we read them, and make none.
    ("qed", "banned"),
    # It tells a disc from a disk; to us both are the bytes of the file, and a finding tells of the disc.
    ("raw iso", "is iso"),
)
# Their other files are declared, which it has no way to say.
DECLARED = ("backing_file", "data_file", "descriptor", "banned", "is raw")


def known_reasons(image: Valid) -> tuple[str, ...]:
    """Why it may refuse an image."""
    return DECLARED if image.backing else tuple(reason for name, reason in STRICTER if image.name.startswith(name))


@pytest.mark.parametrize("image", VALID, ids=lambda image: image.name)
def test_what_oslo_refuses_and_we_accept_is_explained(image: Valid, shop: Shop) -> None:
    found = oslo(shop.build(image.name, image.make), image.format)
    known = known_reasons(image)
    assert found.accepted == (not known), found.reasons
    assert found.accepted or set(found.reasons) & set(known), found.reasons


def test_how_many_attacks_each_refuses(shop: Shop, figures: list[str]) -> None:
    refused: Counter[tuple[str, str]] = Counter()
    for attack in ATTACKS:
        path, kind = shop.build(attack.name, attack.make), kind_of(attack)
        for who, found in (
            ("ours", ours(path, attack.declared)),
            ("oslo.utils", oslo(path, attack.declared)),
            ("qemu-img -f", qemu(path, attack.declared)),
        ):
            refused[who, kind] += not found.accepted
    total = Counter(map(kind_of, ATTACKS))
    figures += table(total, refused)
    assert sum(number for (who, _kind), number in refused.items() if who == "ours") == len(ATTACKS)


def kind_of(attack: Attack) -> str:
    """The first word of its name where that is a format."""
    first = attack.name.split("-")[0]
    return first if first in SOURCES and first != "raw" else "raw and others"


def table(total: Counter[str], refused: Counter[tuple[str, str]]) -> list[str]:
    """Refused attacks, one line per kind."""
    names = ("ours", "oslo.utils", "qemu-img -f")
    lines = [f"{'attacks refused':<18}{'of':>6}" + "".join(f"{name:>14}" for name in names)]
    for kind, number in total.most_common():
        lines.append(f"{kind:<18}{number:>6}" + "".join(f"{refused[name, kind]:>14}" for name in names))
    sums = (sum(number for (who, _kind), number in refused.items() if who == name) for name in names)
    return [*lines, f"{'all':<18}{sum(total.values()):>6}" + "".join(f"{number:>14}" for number in sums)]


def test_how_many_valid_images_each_accepts(shop: Shop, figures: list[str]) -> None:
    def accepted(found: list[Opinion]) -> int:
        return sum(one.accepted for one in found)

    paths = [(shop.build(image.name, image.make), image) for image in VALID]
    mine = accepted(
        [ours(path, one.format, backing=[path.parent / name for name in one.backing]) for path, one in paths]
    )
    theirs = accepted([oslo(path, one.format) for path, one in paths])
    engine = accepted([qemu(path, one.format) for path, one in paths])
    figures.append(f"{'valid accepted':<18}{len(VALID):>6}{mine:>14}{theirs:>14}{engine:>14}")
    assert (mine, engine) == (len(VALID), len(VALID))
