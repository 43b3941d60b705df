# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AnsibleModule as our modules use it."""

from __future__ import annotations

import copy
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule


class QuietModule(AnsibleModule):
    """Keeps secrets out of the host's log: AnsibleModule masks them by their text, and the log has texts inside of
    dictionaries and lists in another form (a line break as backslash and n), which it doesn't find.
    """

    def log(self, msg: str, log_args: dict[str, Any] | None = None) -> None:
        if log_args and self.no_log_values:
            msg, log_args = "Invoked with options that hold secrets, so none is logged", None
        super().log(msg, log_args)  # type: ignore[no-untyped-call]

    def hide(self, list_option: str, option: str, suboption: str) -> dict[str, Any]:
        """The options as results may tell them: without `suboption` of `option`, of items too, whose texts are many and often plain.

        A text of it that stands in another option, such as a part of a path, is no secret, and would be masked there as well.
        """
        public: dict[str, Any] = copy.deepcopy(self.params)
        for item in (public, *(public.get(list_option) or ())):
            if item.get(option):
                item[option][suboption] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
        said = json.dumps(public, default=str, ensure_ascii=False)
        self.no_log_values = {value for value in self.no_log_values if str(value) not in said}
        return public
