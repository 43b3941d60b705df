# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin guests: all VMs of all hypervisors."""

from __future__ import annotations

DOCUMENTATION = r"""
name: guests
short_description: All virtual machines of all hypervisors of an inventory
version_added: 0.3.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Asks the hypervisors of an inventory, in parallel, for their VMs, and makes a host of each, with state, address, image, labels and
    more as variables, and groups by these.
  - The hypervisors come from the inventory sources that were read before this one, so name it after them (C(-i hosts.yml -i guests.yml);
    in a folder, files are read in the order of their names), or from O(sources).
  - They are asked by an C(ansible) process of its own, with these sources, by M(imageops.fleet.vm_info). So what connects in a play
    connects here, with templates, group variables and vaults whose passwords are in files. A password that was typed in is not known there.
  - The file's name must end with C(guests.yml) or C(guests.yaml).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Name of this plugin.
    type: str
    required: true
    choices: [imageops.fleet.guests]
  hosts:
    description: Pattern of the hypervisors to ask.
    type: str
    default: hypervisors
  sources:
    description:
      - Inventory sources that have the hypervisors, instead of those that were read before. Relative paths start at this file's folder.
      - Their hosts don't become part of the inventory.
    type: list
    elements: str
    default: []
  uri:
    description: libvirt's URI on the hypervisors.
    type: str
    default: qemu:///system
  become:
    description: Whether to become root there, as C(become) of a play. Variables of the hypervisors go before it.
    type: bool
    default: true
  addresses:
    description:
      - Whether to ask the guest agent and the ARP table, too, for guests without a lease from libvirt's DHCP servers.
    type: bool
    default: true
  forks:
    description: How many hypervisors are asked at a time.
    type: int
    default: 25
  timeout:
    description: Seconds that a hypervisor has for its answer.
    type: int
    default: 60
  strict_hosts:
    description: Whether a hypervisor that doesn't answer is an error. Without it, it is a warning, and its guests are missing.
    type: bool
    default: false
  group:
    description: Group of all guests.
    type: str
    default: guests
  group_by:
    description:
      - What to make groups by, such as C(state_running), C(host_kvm1), C(image_web), C(version_web_1_4_2) and C(label_role_web).
    type: list
    elements: str
    choices: [state, host, image, version, label]
    default: [state, host, image, version, label]
  names:
    description:
      - V(short) is the VM's name, or NAME.HOST where several hypervisors have a VM of that name or the inventory has a host that is called so.
      - V(full) is always NAME.HOST.
    type: str
    choices: [short, full]
    default: short
  image_pattern:
    description:
      - Regular expression that finds C(image) and C(version), as named groups, in the name of the image file that a guest was made from,
        without its suffix. By default V(web-1.4.2.qcow2) is image V(web) in version V(1.4.2).
      - It doesn't count for an image of a catalog, which has a name and a version.
    type: str
    default: '(?P<image>.+?)(?:[-_]v?(?P<version>\d[\w.+-]*))?'
notes:
  - Each guest has the variables C(guest_name), C(guest_host), C(guest_state), C(guest_address) and C(guest_addresses) (empty when none is known),
    C(guest_image), C(guest_version) and C(guest_image_path) (of the image that M(imageops.fleet.vm) made it from), C(guest_image_reference) and
    C(guest_image_digest) (where that came from a catalog), C(guest_labels), C(guest_uuid), C(guest_uri), C(guest_memory) in bytes,
    C(guest_vcpus), C(guest_networks), C(guest_title), C(guest_description) and C(guest_autostart); C(guest_error) when it can't be read; and
    C(ansible_host) when it has an address.
  - An image that came from a catalog, as the records of a guest's first disk and of the files below it say, is called by its repository's name there
    (V(team/debian) of V(registry.example:5000/team/debian:12.8), V(debian) of V(dir:/srv/images/debian:12.8)), and its version is the tag by which
    it was asked for, or without a tag the first 16 digits of its digest. A tag may have moved since; C(guest_image_digest) is the content.
  - Values that come from guests and their descriptions are never taken for templates. A guest whose name looks like one, or
    begins like an option of C(ssh), is left out. Only IP addresses become C(guest_addresses) and C(ansible_host), and none that leads
    elsewhere than to the guest (loopback, link-local).
seealso:
  - module: imageops.fleet.vm_info
"""

EXAMPLES = r"""
# guests.yml, used after an inventory that has the group hypervisors: ansible-inventory -i hosts.yml -i guests.yml --graph
plugin: imageops.fleet.guests

---
# What others of a team need: the user by the image, groups by application, and only every five minutes.
plugin: imageops.fleet.guests
hosts: hypervisors:!drained
compose:
  ansible_user: "'debian' if guest_image == 'debian' else 'root'"
groups:
  reachable: guest_address != ''
keyed_groups:
  - key: guest_labels.app | default('none')
    prefix: app
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/imageops-guests
cache_timeout: 300
"""

import os
import re
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleParserError
from ansible.inventory.group import to_safe_group_name
from ansible.parsing.splitter import parse_kv
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.imageops.fleet.plugins.plugin_utils.guests_asking import NotAsked, Question, ask, is_asking
from ansible_collections.imageops.fleet.plugins.plugin_utils.guests_naming import Guest, groups_of, guests_of

# Options of the command line that decide how hosts are reached, by their names in ansible-core.
_HANDED_ON = {
    "remote_user": "--user",
    "private_key_file": "--private-key",
    "connection": "--connection",
    "ssh_common_args": "--ssh-common-args",
    "ssh_extra_args": "--ssh-extra-args",
    "become_method": "--become-method",
    "become_user": "--become-user",
    "become_password_file": "--become-password-file",
    "connection_password_file": "--connection-password-file",
    "vault_password_files": "--vault-password-file",
    "vault_ids": "--vault-id",
}
# Names that ansible-core takes for templates, and those that ssh takes for options where no address is known.
_NO_NAME = re.compile(r"\{\{|\{%|\{#|^-")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """See DOCUMENTATION."""

    NAME = "imageops.fleet.guests"

    def verify_file(self, path: str) -> bool:
        """Whether the file's name is one of ours."""
        return bool(super().verify_file(path)) and path.endswith(("guests.yml", "guests.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add all guests to the inventory."""
        super().parse(inventory, loader, path, cache=cache)
        self._read_config_data(path)
        if is_asking():
            return
        self.load_cache_plugin()
        answers = self._answers(path, cache=cache)
        self._report(answers)
        # ansible-core takes a host of one of these names for the controller itself.
        taken, full = {*inventory.hosts, *C.LOCALHOST}, self.get_option("names") == "full"
        inventory.add_group(_safe(self.get_option("group")))
        for guest in guests_of(answers, taken=taken, full=full, pattern=self._pattern()):
            self._add(guest)

    def _pattern(self) -> str:
        pattern = str(self.get_option("image_pattern"))
        try:
            re.compile(pattern)
        except re.error as error:
            raise AnsibleParserError(f"image_pattern: '{pattern}' is not a regular expression: {error}.") from None
        return pattern

    def _answers(self, path: str, *, cache: bool) -> dict[str, Any]:
        """What the hypervisors say, or said; what was asked in another way doesn't count."""
        key, uses_cache = self.get_cache_key(path), self.get_option("cache")
        asked = {name: self.get_option(name) for name in ("hosts", "sources", "uri", "addresses")}
        known = self._cache.get(key) if uses_cache and cache else None
        if known and known.get("asked") == asked:
            return dict(known["answers"])
        answers = self._ask(path)
        if uses_cache:
            self._cache[key] = {"asked": asked, "answers": answers}
        return answers

    def _ask(self, path: str) -> dict[str, Any]:
        sources = self._sources(path)
        if not sources:
            raise AnsibleParserError(
                f"{path}: no inventory source was read before this one, so there are no hypervisors to ask; name it after the source "
                f"that has them, or give sources."
            )
        pattern = str(self.get_option("hosts"))
        question = Question(
            pattern,
            sources,
            {"uri": self.get_option("uri"), "addresses": self.get_option("addresses")},
            basedir=str(self.loader.get_basedir()),
            forks=self.get_option("forks"),
            timeout=self.get_option("timeout"),
            options=[*(["--become"] if self.get_option("become") else []), *_handed_on()],
            extra_vars=[self._extra_vars(given) for given in context.CLIARGS.get("extra_vars") or ()],
            environment=_environment(),
        )
        try:
            return ask(question)
        except NotAsked as error:
            raise AnsibleParserError(f"{path}: the hypervisors ({pattern}) could not be asked: {error}") from None

    def _sources(self, path: str) -> list[str]:
        given, folder = self.get_option("sources"), os.path.dirname(os.path.abspath(path))
        # What has a comma is a list of hosts.
        own = [source if "," in source else os.path.join(folder, os.path.expanduser(source)) for source in given]
        return own or [str(source) for source in getattr(self.inventory, "processed_sources", [])]

    def _extra_vars(self, given: Any) -> Any:
        """Files stay files; the rest is read as ansible-core reads it."""
        text = str(given)
        if text.startswith("@"):
            return text
        return self.loader.load(text) if text.startswith(("{", "[", "/", ".")) else parse_kv(text)

    def _report(self, answers: dict[str, Any]) -> None:
        silent = {host: answer["error"] for host, answer in sorted(answers.items()) if "error" in answer}
        said = [f"{host} didn't tell its guests: {error}" for host, error in silent.items()]
        if said and self.get_option("strict_hosts"):
            raise AnsibleParserError("; ".join(said))
        for words in said:
            self.display.warning(words)

    def _add(self, guest: Guest) -> None:
        if _NO_NAME.search(guest.name):
            self.display.warning(
                f"A guest of {guest.host} is left out, since its name is a template or an option of ssh."
            )
            return
        strict, name = self.get_option("strict"), guest.name
        groups = [self.get_option("group"), *groups_of(guest, self.get_option("group_by"))]
        for group in dict.fromkeys(_safe(group) for group in groups):
            self.inventory.add_group(group)
            self.inventory.add_host(name, group=group)
        for variable, value in guest.variables.items():
            self.inventory.set_variable(name, variable, _untrusted(value))
        known = self.inventory.get_host(name).get_vars()
        self._set_composite_vars(self.get_option("compose"), known, name, strict=strict)
        known = self.inventory.get_host(name).get_vars()
        self._add_host_to_composed_groups(self.get_option("groups"), known, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, name, strict=strict)


def _safe(name: str) -> str:
    return str(to_safe_group_name(name, force=True, silent=True))


def _untrusted(value: Any) -> Any:
    """A value that isn't taken for a template: ansible-core since 2.19 takes none of a plugin's for one, older ones all."""
    if hasattr(BaseInventoryPlugin, "trusted_by_default"):
        return value
    from ansible.utils.unsafe_proxy import wrap_var

    return wrap_var(value)


def _handed_on() -> list[str]:
    """How this process was told to reach hosts."""
    found = []
    for name, flag in _HANDED_ON.items():
        given = context.CLIARGS.get(name) or ()
        values = given if isinstance(given, (list, tuple)) else [given]
        # The other process has nobody to ask.
        found += [f"{flag}={value}" for value in values if not str(value).endswith("prompt")]
    return found


def _environment() -> dict[str, str]:
    """The same configuration and collections, this one among them; no logs, colours and callbacks but our own."""
    root = os.path.abspath(__file__)
    while os.path.basename(root) != "ansible_collections":
        root = os.path.dirname(root)
    config = {"ANSIBLE_CONFIG": str(C.CONFIG_FILE)} if C.CONFIG_FILE else {}
    return {
        **config,
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join([os.path.dirname(root), *C.COLLECTIONS_PATHS]),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
        "ANSIBLE_CALLBACKS_ENABLED": "imageops.fleet.guests_answers",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        "ANSIBLE_LOG_PATH": "",
        "ANSIBLE_NOCOLOR": "true",
    }
