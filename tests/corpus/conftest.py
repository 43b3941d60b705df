# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One shop for the whole run, so that each image is made once; figures at its end."""

from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session", name="shop")
def shop_fixture(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session", name="figures")
def figures_fixture(pytestconfig: pytest.Config) -> list[str]:
    """Lines that are printed when all tests have run."""
    return pytestconfig.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)
