# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of modules whose work is a job: the module starts jobs, the plugin waits for them and shows progress.

The module runs once when nothing is to be done or its jobs end soon. Else it names the jobs that go on; their states are
polled by a small shell command, which renews their leases too, and when one has ended the module runs again, with the jobs
that the task waits for in its environment, and takes their ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.attended import ATTENDED_VARIABLE
from ansible_collections.imageops.fleet.plugins.plugin_utils._kept_payload import kept_payload
from ansible_collections.imageops.fleet.plugins.plugin_utils._progress_line import ProgressLines
from ansible_collections.imageops.fleet.plugins.plugin_utils._runs import Runs

_ENDED = ("done", "failed", "cancelled")
# How long a host watches its jobs before it tells how they stand, and how often it looks whether one has ended: a hundredth of
# the time waited so far, within bounds.
_WATCH_SECONDS = 1.0
_LOOKS = (0.05, 0.5)
_PART = 100
# How long one poll may take, and a host may be away unless lease_timeout says otherwise.
_POLL_SECONDS = 15
_AWAY_SECONDS = 60.0


class LongTask(ActionBase):
    """See above. A module's own action file is a subclass named ActionModule."""

    _supports_check_mode = True
    _supports_async = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module until no job of it goes on."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        wrap_async = self._task.async_val and not self._connection.has_native_async
        with kept_payload(type(self).__module__):
            if wrap_async or self._task.async_val or self._task.check_mode:
                result.update(self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
            else:
                result.update(_Wait(self, task_vars or {}).result())
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # type: ignore[no-untyped-call]
        return result

    def module_run(self, task_vars: dict[str, Any], attended: dict[str, Any]) -> dict[str, Any]:
        """One run of the module, which knows the jobs that the task waits for."""
        given = self._task.environment
        listed = given if isinstance(given, list) else [given] if given else []
        self._task.environment = [*listed, {ATTENDED_VARIABLE: json.dumps(attended, separators=(",", ":"))}]
        try:
            found: dict[str, Any] = self._execute_module(task_vars=task_vars)
            return found
        finally:
            self._task.environment = given

    def shell(self, command: str) -> str:
        """Standard output of a shell command on the host."""
        done = self._low_level_execute_command(command)  # type: ignore[no-untyped-call]
        return str(done["stdout"])

    def reconnect(self) -> None:
        """Leave a connection that doesn't answer any more."""
        with contextlib.suppress(AnsibleError):
            self._connection.reset()

    @property
    def has_time_limit(self) -> bool:
        """Whether Ansible itself will interrupt the task."""
        return bool(self._task.timeout)

    @property
    def away_seconds(self) -> float:
        """How long a host may be away: as long as its jobs would wait for us."""
        try:
            return float(self._task.args.get("lease_timeout", _AWAY_SECONDS))
        except (TypeError, ValueError):
            return _AWAY_SECONDS

    @property
    def may_tell(self) -> bool:
        return not self._task.no_log


class _Wait:
    """One task on one host, from its first module run to its result."""

    def __init__(self, task: LongTask, task_vars: dict[str, Any]) -> None:
        self._task = task
        self._vars = task_vars
        self._parent = os.getppid()
        self._runs = Runs()
        # Jobs that the task has waited for, and when it began to; those that go on; where they are.
        self._waits: dict[str, dict[str, Any]] = {}
        self._since: dict[str, float] = {}
        self._open: dict[str, dict[str, Any]] = {}
        self._seen = time.monotonic()
        # Jobs whose process is gone, though the module says that something of them goes on.
        self._gone: set[str] = set()
        host = str(task_vars.get("inventory_hostname", ""))
        self._lines = ProgressLines(f"{host} -> {task._task.delegate_to}" if task._task.delegate_to else host)

    def result(self) -> dict[str, Any]:
        found = self._task.module_run(self._vars, {})
        if "pending" not in found:
            return found
        key = found["result"]
        while True:
            told = self._runs.add(found, key=key)
            if not self._goes_on(found):
                return told
            self._until_one_ends()
            found = self._again()

    def _goes_on(self, found: dict[str, Any]) -> bool:
        """Take note of the jobs to wait for."""
        self._open = found.get("pending", {})
        for job, entry in self._open.items():
            if self._waits.get(job, {}).get("as") != entry["as"]:
                self._since[job] = time.monotonic()
            self._waits[job] = {name: entry[name] for name in ("as", "timeout", "request")}
        return bool(self._open)

    def _again(self) -> dict[str, Any]:
        """The next run of the module."""
        while True:
            now = time.monotonic()
            attended = {job: {**entry, "waited": now - self._since[job]} for job, entry in self._waits.items()}
            with self._patiently():
                return self._task.module_run(self._vars, attended)

    def _until_one_ends(self) -> None:
        """Poll until a job has ended, or its time is over."""
        if self._gone & set(self._open):
            time.sleep(_WATCH_SECONDS)
        ended = False
        while not ended:
            self._require_controller()
            began = time.monotonic()
            with self._patiently():
                ended = self._look()
            if not ended:
                # A shell that can't watch, or a host that is away, is not asked without end.
                time.sleep(max(0.0, began + _WATCH_SECONDS - time.monotonic()))

    def _look(self) -> bool:
        """One poll of all jobs: say how they stand; whether the module has something to do."""
        with _limited(0 if self._task.has_time_limit else min(_POLL_SECONDS, max(1, int(self._task.away_seconds)))):
            lines = self._task.shell(poll_command(self._open, look=self._look_seconds)).splitlines()
        lines = lines[-2 * len(self._open) :]
        self._seen = time.monotonic()
        # What the shell can't tell, a run of the module will.
        ended = len(lines) < 2 * len(self._open)
        for (job, entry), text, alive in zip(self._open.items(), lines[::2], lines[1::2]):
            state = _state(text)
            waited = self._seen - self._since[job]
            late = 0 < entry["timeout"] <= waited
            if alive.strip() == "gone":
                self._gone.add(job)
            ended = ended or late or state.get("status") in _ENDED or job in self._gone
            goes_on = bool(state) and state.get("status") not in _ENDED
            line = self._lines.line(state, waited=waited) if goes_on and self._task.may_tell else None
            if line:
                Display().display(line, stderr=True)
        return ended

    @property
    def _look_seconds(self) -> float:
        """How often the host looks whether a job has ended."""
        waited = time.monotonic() - max(self._since[job] for job in self._open)
        return min(max(_LOOKS[0], waited / _PART), _LOOKS[1])

    @contextlib.contextmanager
    def _patiently(self) -> Iterator[None]:
        """A host that can't be reached is given some time: its jobs go on."""
        try:
            yield
        except (AnsibleConnectionFailure, _TooLong) as error:
            away = self._task.away_seconds
            if time.monotonic() - self._seen > away:
                raise AnsibleConnectionFailure(
                    f"The host could not be reached for {away:g} seconds while the task waited for {', '.join(self._open)}; "
                    f"what becomes of that is said by on_interrupt: {error}"
                ) from error
            self._task.reconnect()

    def _require_controller(self) -> None:
        """End this process when ansible-playbook is gone: nobody is left to renew leases for."""
        if os.getppid() != self._parent:
            raise SystemExit(1)


class _TooLong(Exception):
    """A poll that had no answer in time."""


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raise _TooLong when the block takes longer; 0 for no limit."""

    def give_up(signum: int, frame: Any) -> None:
        raise _TooLong(f"no answer within {seconds} seconds")

    before = signal.signal(signal.SIGALRM, give_up) if seconds else None
    if seconds:
        signal.alarm(seconds)
    try:
        yield
    finally:
        if seconds:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


def poll_command(jobs: dict[str, dict[str, Any]], *, look: float) -> str:
    """A shell command that watches until a job's process ends, though not long, with a look each `look` seconds.

    Then it renews each job's lease and prints two lines: its state, and whether its process lives.
    """
    alive = " && ".join(f"test -d /proc/{int(entry['pid'])}" for entry in jobs.values())
    most = max(1, round(_WATCH_SECONDS / look))
    parts = [f"n=0; while test $n -lt {most} && {alive}; do sleep {look:.2f}; n=$((n+1)); done"]
    for entry in jobs.values():
        lease, state = (shlex.quote(os.path.join(entry["folder"], name)) for name in ("lease", "state.json"))
        lives = f"test -d /proc/{int(entry['pid'])}"
        parts.append(f"touch -c {lease}; cat {state} 2>/dev/null; echo; {{ {lives} && echo alive; }} || echo gone")
    return "; ".join(parts)


def _state(text: str) -> dict[str, Any]:
    """The state that a host printed; nothing when it can't be read."""
    with contextlib.suppress(ValueError):
        loaded = json.loads(text)
        return loaded if isinstance(loaded, dict) else {}
    return {}
