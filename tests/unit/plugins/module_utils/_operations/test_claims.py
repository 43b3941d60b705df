# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations.claims import claim, claim_copy, claim_name
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_what_one_item_changes_belongs_to_no_other(first: bool, second: bool) -> None:
    tools = Tools()
    claim(["/a", "/b"], tools, option="path", changes=first)
    claim(["/c"], tools, option="path", changes=second)
    with pytest.raises(
        InvalidOption, match="^compare_to: /b belongs to two items of this task, and one of them changes it"
    ):
        claim(["/d", "/b"], tools, option="compare_to", changes=second)


def test_many_items_may_read() -> None:
    tools = Tools()
    for _item in range(3):
        claim(["/a", "/a"], tools, option="path", changes=False)
    with pytest.raises(InvalidOption):
        claim(["/a"], tools, option="path", changes=True)


def test_a_later_item_reads_what_an_earlier_one_writes() -> None:
    tools = Tools()
    claim_copy(["/a", "/base"], "/b", tools, option="dest")
    claim_copy(["/a"], "/c", tools, option="dest")
    claim_copy(["/b"], "/d", tools, option="dest")
    with pytest.raises(InvalidOption, match="^dest: /c is given for two items of this task"):
        claim_copy(["/a"], "/c", tools, option="dest")


def test_items_that_write_the_same_to_one_file() -> None:
    tools = Tools()
    assert [claim_copy((), "/a", tools, option="dest", says="1") for _item in range(3)] == [False, True, True]
    for says in ("2", ""):
        with pytest.raises(InvalidOption, match="^dest: /a is given for two items of this task"):
            claim_copy((), "/a", tools, option="dest", says=says)


@pytest.mark.parametrize("dest", ["/a", "/base"])
def test_no_later_item_writes_what_an_earlier_one_reads(dest: str) -> None:
    tools = Tools()
    claim_copy(["/a", "/base"], "/b", tools, option="dest")
    with pytest.raises(
        InvalidOption, match=f"^dest: {dest} is read by an earlier item of this task, for /b; replace it"
    ):
        claim_copy(["/x"], dest, tools, option="dest")


def test_one_name_is_one_item_s() -> None:
    tools = Tools()
    assert not claim_name("dir:/x:1", tools, option="image")
    assert not claim_name("dir:/x:2", tools, option="image")
    with pytest.raises(InvalidOption, match="^tags: dir:/x:1 is named twice in the list; make two tasks of it"):
        claim_name("dir:/x:1", tools, option="tags")


def test_items_that_say_the_same_of_a_name() -> None:
    tools = Tools()
    assert [claim_name("a", tools, option="image", says="present") for _item in range(3)] == [False, True, True]
    for says in ("absent", ""):
        with pytest.raises(InvalidOption, match="^image: a is named twice in the list"):
            claim_name("a", tools, option="image", says=says)
