# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One creation option of a disk format: its type, its bounds, and its text for qemu-img."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .._sizes import format_size, parse_size

_MOST_DIGITS = 20
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Option:
    """What users may give; `default` is what QEMU takes when nothing is given."""

    default: Any

    def parse(self, value: Any, *, name: str) -> Any:
        """The typed value; raises InvalidOption that names option, value and what is allowed."""
        raise NotImplementedError

    def text(self, value: Any) -> str:
        """The value as qemu-img wants it."""
        return str(value)


@dataclass(frozen=True)
class Choice(Option):
    """One of some words. `refused` are words of QEMU that aren't taken here, with the reason."""

    words: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    def parse(self, value: Any, *, name: str) -> str:
        # YAML reads a bare off as a boolean, and 0.10 as a number.
        word = "off" if value is False and "off" in self.words else str(value)
        word = dict(self.aliases).get(word, word)
        reason = dict(self.refused).get(word)
        if reason:
            raise InvalidOption(f"{name}: '{word}' can't be used here: {reason}.")
        if word not in self.words:
            raise InvalidOption(f"{name}: '{value}' is not allowed; use {one_of(self.words)}.")
        return word


@dataclass(frozen=True)
class Switch(Option):
    """On or off."""

    def parse(self, value: Any, *, name: str) -> bool:
        word = str(value).lower()
        if word not in (*_TRUE, *_FALSE):
            raise InvalidOption(f"{name}: '{value}' is not allowed; use true or false.")
        return word in _TRUE

    def text(self, value: Any) -> str:
        return "on" if value else "off"


@dataclass(frozen=True)
class Number(Option):
    """A whole number, or with `size` a number of bytes that may carry a unit."""

    least: int
    most: int
    power_of_two: bool = False
    multiple: int = 1
    size: bool = False
    automatic: bool = False

    def parse(self, value: Any, *, name: str) -> int:
        number = parse_size(value, option=name) if self.size else _whole(value)
        if number is None or not self._fits(number):
            raise InvalidOption(f"{name}: '{value}' is not allowed; use {self._allowed()}.")
        return number

    def _fits(self, number: int) -> bool:
        if number == 0 and self.automatic:
            return True
        wrong_step = number % self.multiple or (self.power_of_two and number & (number - 1))
        return self.least <= number <= self.most and not wrong_step

    def _allowed(self) -> str:
        show = format_size if self.size else str
        kind = "a power of two" if self.power_of_two else "a whole number"
        step = f", a multiple of {show(self.multiple)}" if self.multiple > 1 else ""
        zero = ", or 0 to let QEMU choose" if self.automatic else ""
        return f"{kind} from {show(self.least)} to {show(self.most)}{step}{zero}"


def _whole(value: Any) -> int | None:
    """The whole number that `value` is, None for anything else."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        return None
    return int(text)


def one_of(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return ", ".join(words[:-1]) + (" or " if len(words) > 1 else "") + words[-1]


def joined(pairs: Sequence[tuple[str, str]]) -> str | None:
    """The text after -o: a comma ends a value there unless it is doubled."""
    return ",".join(f"{key}={value.replace(',', ',,')}" for key, value in pairs) or None
