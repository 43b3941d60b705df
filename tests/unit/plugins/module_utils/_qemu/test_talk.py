# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    EngineError,
    MissingLibrary,
    NoSpace,
    TimedOut,
)
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.talk import Talk


@contextlib.contextmanager
def shell(watch: object = None) -> Iterator[Talk]:
    def look() -> None:
        if watch:
            raise NoSpace("full")

    talk = Talk(["sh"], watch=look)
    try:
        yield talk
    finally:
        talk.close()


def test_answers_end_with_the_mark() -> None:
    with shell() as talk:
        talk.tell("echo one; echo marked\n")
        assert talk.answer("marked", seconds=60) == "one\n"
        talk.tell("echo marked; echo two; echo marked\n")
        assert talk.answer("marked", seconds=60) == ""
        assert talk.answer("marked", seconds=60) == "two\n"
        talk.end(seconds=60)


def test_a_program_that_ends_says_why() -> None:
    with shell() as talk:
        talk.tell("echo because >&2; exit 3\n")
        with pytest.raises(EngineError, match="sh failed: because") as caught:
            talk.answer("marked", seconds=60)
    assert caught.value.details["rc"] == 3


def test_a_program_that_does_not_answer_is_not_waited_for() -> None:
    with shell() as talk, pytest.raises(TimedOut, match="sh did not answer within 0 seconds"):
        talk.tell("sleep 600\n")
        talk.answer("marked", seconds=0)


def test_while_it_is_waited_for_somebody_watches() -> None:
    with shell(watch=True) as talk, pytest.raises(NoSpace, match="full"):
        talk.tell("sleep 600\n")
        talk.answer("marked", seconds=600)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingLibrary, match="imageops-nothing"):
        Talk(["imageops-nothing"], watch=lambda: None)
