# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
from typing import Any

import pycdlib
import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_answers import (
    DELIVERIES,
    VOLUME,
    Answers,
    read_answers,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_render import RENDERERS


def content_of(data: bytes, name: str) -> bytes:
    image, stream = pycdlib.PyCdlib(), io.BytesIO()
    image.open_fp(io.BytesIO(data))
    image.get_file_from_iso_fp(stream, rr_path=f"/{name}")
    image.close()
    return stream.getvalue()


def test_every_kind_has_a_writer_and_a_way() -> None:
    assert set(DELIVERIES) == set(RENDERERS)


@pytest.mark.parametrize("kind", [kind for kind, delivery in DELIVERIES.items() if delivery.where == VOLUME])
def test_a_volume_has_label_and_file(kind: str) -> None:
    answers = Answers(kind, "hello\n")
    data = answers.volume()
    assert data[32768 + 40 :].startswith(answers.delivery.label.encode())
    assert content_of(data, answers.delivery.name) == b"hello\n"


def test_autoinstall_has_the_other_file_that_cloud_init_wants() -> None:
    assert content_of(Answers("autoinstall", "x").volume(), "meta-data") == b"{}\n"


def test_the_digest_is_of_text_and_disk() -> None:
    one = Answers("preseed", "a")
    assert one.digest("/x") == Answers("preseed", "a").digest("/x")
    assert len({one.digest("/x"), one.digest("/y"), Answers("preseed", "b").digest("/x")}) == 3


@pytest.mark.parametrize(
    ("given", "starts_kernel", "said"),
    [
        ({"kind": "preseed", "content": None}, True, "nothing is given"),
        ({"kind": "preseed", "content": "x"}, False, "must be started by kernel and initrd"),
        ({"kind": "kickstart", "content": "x" * 60000}, True, "longer than 60000 bytes"),
    ],
)
def test_what_is_refused(given: dict[str, Any], starts_kernel: bool, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        read_answers(given, starts_kernel=starts_kernel)


def test_none_are_needed() -> None:
    assert read_answers(None, starts_kernel=False) is None


def test_their_text_is_read() -> None:
    found = read_answers({"kind": "kickstart", "content": {"text": True}}, starts_kernel=False)
    assert found == Answers("kickstart", "text\n")
