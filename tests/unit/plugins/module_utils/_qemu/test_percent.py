# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, MissingLibrary, NoSpace
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.percent import run_with_percent


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_percentages_are_reported() -> None:
    seen: list[float] = []
    run_with_percent(
        shell(r"printf '    (0.00/100%%)\r'; sleep 0.05; printf '    (12.50/100%%)\r    (99.99/100%%)\r'"), seen.append
    )
    assert seen[0] == 0.0
    assert seen[-1] == 99.99


def test_a_percentage_that_comes_in_two_pieces_is_not_lost() -> None:
    seen: list[float] = []
    run_with_percent(shell(r"printf '   (12.'; sleep 0.1; printf '50/100%%)\r'"), seen.append)
    assert seen == [12.5]


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("echo broken >&2; exit 1", EngineError, "sh failed with exit code 1: broken"),
        ("echo 'write: No space left on device' >&2; exit 1", NoSpace, "No space left"),
        ("kill -SEGV $$", EngineError, "sh was ended by SIGSEGV"),
    ],
)
def test_failures(script: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        run_with_percent(shell(script), print)


def test_a_missing_program() -> None:
    with pytest.raises(MissingLibrary):
        run_with_percent(["/nowhere/qemu-img"], print)


def test_much_on_standard_error_does_not_block() -> None:
    run_with_percent(shell("head -c 300000 /dev/zero >&2"), print)


def test_the_program_is_ended_when_the_caller_is_interrupted() -> None:
    pids: list[int] = []

    class Stop(BaseException):
        pass

    def report(percent: float) -> None:
        pids.append(int(percent))
        raise Stop

    with pytest.raises(Stop):
        run_with_percent(shell('echo "($$.0/100%)"; exec sleep 60'), report)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], signal.SIGKILL)
