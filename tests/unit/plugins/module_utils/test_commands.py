# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands, failure, require_program
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    EngineError,
    MissingLibrary,
    NoSpace,
    TimedOut,
)


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_output_is_text_in_the_c_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert Commands().output(shell('printf "%s" "$LC_ALL"')) == "C"


def test_standard_input_is_what_was_given_and_nothing_else() -> None:
    assert Commands().output(["/bin/cat"], stdin="hello") == "hello"
    assert Commands().output(["/bin/cat"]) == ""


def test_bytes_that_are_no_text_do_not_break() -> None:
    assert Commands().output(shell(r"printf 'a\377b'")) == "a\ufffdb"


def test_descriptors_are_inherited_when_asked() -> None:
    inner, outer = os.pipe()
    try:
        Commands().output([sys.executable, "-c", f"import os; os.write({outer}, b'x')"], pass_fds=[outer])
        assert os.read(inner, 1) == b"x"
    finally:
        os.close(inner)
        os.close(outer)


def test_a_failure_tells_the_last_words_and_keeps_the_rest() -> None:
    with pytest.raises(EngineError, match=r"^sh failed with exit code 3: worse$") as caught:
        Commands().output(shell("echo bad >&2; echo worse >&2; exit 3"))
    assert caught.value.details["rc"] == 3
    assert caught.value.details["stderr"] == "bad\nworse\n"


def test_a_crash_names_its_signal() -> None:
    with pytest.raises(EngineError, match="sh was ended by SIGKILL: it said nothing"):
        Commands().output(shell("kill -9 $$"))
    assert "signal 63" in str(failure(["x"], -63, ""))


def test_a_full_file_system_is_told_as_such() -> None:
    with pytest.raises(NoSpace, match="No space left on device"):
        Commands().output(shell("echo 'write: No space left on device' >&2; exit 1"))


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(MissingLibrary, match="'qemu-img' is not installed.*qemu-utils"):
        Commands().output(["/nowhere/qemu-img"])
    with pytest.raises(MissingLibrary, match="no-such-program"):
        require_program("no-such-program")
    assert require_program("sh").startswith("/")


def test_a_limit_of_time() -> None:
    with pytest.raises(TimedOut, match="did not end within 0.05 seconds"):
        Commands().output(["/bin/sleep", "10"], timeout=0.05)


def test_json() -> None:
    assert Commands().json([sys.executable, "-c", "print('{\"a\": 1}')"]) == {"a": 1}
    with pytest.raises(EngineError, match="not JSON"):
        Commands().json(["/bin/echo", "hello"])
