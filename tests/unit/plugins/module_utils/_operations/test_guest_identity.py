# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import email
import email.policy
import json

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations.guest_identity import (
    identity_config,
    with_identity_config,
)


def parts(user_data: str) -> list[tuple[str, str]]:
    """Type and text of each part, as cloud-init takes a MIME message apart."""
    whole = email.message_from_string(user_data, policy=email.policy.default)
    return [(part.get_content_type(), part.get_content()) for part in whole.walk() if not part.is_multipart()]


@pytest.mark.parametrize("user_data", ["", "#cloud-config\n{}\n", "#cloud-config\n"])
def test_ours_is_alone_where_the_source_says_nothing(user_data: str) -> None:
    assert with_identity_config(user_data) == identity_config()


def test_the_command_runs_once_per_instance() -> None:
    head, _line, rest = identity_config().partition("\n")
    values = json.loads(rest)
    assert head == "#cloud-config" and values["bootcmd"][0][:3] == ["cloud-init-per", "instance", "imageops-identity"]
    assert "/etc/machine-id" in values["bootcmd"][0][-1]


def test_what_the_source_has_stays_behind_it() -> None:
    own = "#cloud-config\nbootcmd: [echo ä]\n"
    found = parts(with_identity_config(own))
    assert found[0] == ("text/cloud-config", identity_config()) and found[1] == ("text/plain", own)


def test_a_script_stays_one() -> None:
    assert parts(with_identity_config("#!/bin/sh\n"))[1] == ("text/plain", "#!/bin/sh\n")


def test_parts_of_a_message_stay_parts() -> None:
    again = parts(with_identity_config(with_identity_config("#!/bin/sh\necho\n")))
    assert [kind for kind, _text in again] == ["text/cloud-config", "text/cloud-config", "text/plain"]
    assert again[2][1] == "#!/bin/sh\necho\n"
