# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answer files from structured values: one small function for each installer's own language."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Callable
from xml.etree import ElementTree

from .._errors import InvalidOption

_AUTOYAST = "http://www.suse.com/1.0/yast2ns"
_CONFIG = "http://www.suse.com/1.0/configns"
_UNATTEND = "urn:schemas-microsoft-com:unattend"
_WCM = "http://schemas.microsoft.com/WMIConfig/2002/State"
# What every component of an unattend file is told apart by; only the architecture differs.
_COMPONENT = {
    "processorArchitecture": "amd64",
    "publicKeyToken": "31bf3856ad364e35",
    "language": "neutral",
    "versionScope": "nonSxS",
}
# Sections of kickstart that are text up to %end.
_SECTIONS = ("packages", "pre", "pre-install", "post", "onerror", "addon")

Values = Mapping[str, Any]


def preseed(values: Values) -> str:
    """Debian's answers: a question and its value; true and false are booleans, lists are choices of several."""
    lines = []
    for question, value in values.items():
        owner, kind, said = "d-i", *_debconf(value)
        if isinstance(value, Mapping):
            owner = str(value.get("owner", "d-i"))
            kind, said = str(value.get("type", "string")), _debconf(value.get("value", ""))[1]
        lines.append(_one_line(f"{owner} {question} {kind} {said}".rstrip(), question))
    return "\n".join(lines) + "\n"


def _debconf(value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return "boolean", str(value).lower()
    if isinstance(value, list):
        return "multiselect", ", ".join(str(one) for one in value)
    return "string", str(value)


def kickstart(values: Values) -> str:
    """Anaconda's answers: commands with their words (a list repeats one), and sections of lines."""
    lines: list[str] = []
    for command, value in values.items():
        if command.lstrip("%").split(" ")[0] in _SECTIONS and isinstance(value, (list, str)):
            body = value if isinstance(value, str) else "\n".join(str(line) for line in value)
            lines += [f"%{command.lstrip('%')}", body.rstrip("\n"), "%end"]
            continue
        for one in value if isinstance(value, list) else [value]:
            if one is not False and one is not None:
                words = "" if one is True else str(one)
                lines.append(_one_line(f"{command} {words}".rstrip(), command))
    return "\n".join(lines) + "\n"


def autoinstall(values: Values) -> str:
    """Ubuntu's answers, as user-data of cloud-init; JSON is YAML too."""
    told = dict(values.get("autoinstall", values))
    told.setdefault("version", 1)
    return "#cloud-config\n" + json.dumps({"autoinstall": told}, indent=1) + "\n"


def ignition(values: Values) -> str:
    """Ignition's own language is JSON."""
    return json.dumps(values, indent=1) + "\n"


def combustion(values: Values) -> str:
    """A shell script of the lines in `script`, for which the network is up when `network` is true."""
    unknown = sorted(set(values) - {"script", "network"})
    if unknown or not values.get("script"):
        raise InvalidOption(
            "answers.content: of a dictionary for combustion 'script' (lines) and 'network' (true or false) are known, and the first one "
            "must be given."
        )
    script = values["script"]
    lines = [script] if isinstance(script, str) else [str(line) for line in script]
    return "\n".join(["#!/bin/bash", *(["# combustion: network"] if values.get("network") else []), *lines]) + "\n"


def autoyast(values: Values) -> str:
    """SUSE's profile: dictionaries are elements, lists have a `listentry` for each value, and types are told."""
    root = ElementTree.Element("profile", {"xmlns": _AUTOYAST, "xmlns:config": _CONFIG})
    for name, value in values.items():
        root.append(_yast(name, value))
    return '<?xml version="1.0"?>\n<!DOCTYPE profile>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _yast(name: str, value: Any) -> ElementTree.Element:
    found = ElementTree.Element(_tag(name))
    if isinstance(value, Mapping):
        found.extend([_yast(key, one) for key, one in value.items()])
    elif isinstance(value, list):
        found.set("config:type", "list")
        found.extend([_yast("listentry", one) for one in value])
    else:
        kind = {bool: "boolean", int: "integer"}.get(type(value))
        if kind:
            found.set("config:type", kind)
        found.text = _xml_text(value)
    return found


def autounattend(values: Values) -> str:
    """Windows' answers: passes, in them components, in them their settings; a list repeats an element that is added."""
    root = ElementTree.Element("unattend", {"xmlns": _UNATTEND, "xmlns:wcm": _WCM})
    for name, components in values.items():
        settings = ElementTree.SubElement(root, "settings", {"pass": str(name)})
        for component, content in _mapping(components, name).items():
            where = {"name": str(component), **_COMPONENT}
            content = dict(_mapping(content, component))
            where["processorArchitecture"] = str(content.pop("processorArchitecture", where["processorArchitecture"]))
            made = ElementTree.SubElement(settings, "component", where)
            made.extend(list(_windows(content)))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _windows(values: Values) -> Iterator[ElementTree.Element]:
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            found = ElementTree.Element(_tag(name), {"wcm:action": "add"} if isinstance(value, list) else {})
            if isinstance(one, Mapping):
                found.extend(list(_windows(one)))
            else:
                found.text = _xml_text(one)
            yield found


def _mapping(value: Any, name: str) -> Values:
    if not isinstance(value, Mapping):
        raise InvalidOption(f"answers.content.{name}: this is no dictionary, and one is needed there.")
    return value


def _tag(name: str) -> str:
    if not str(name).replace("_", "a").replace("-", "a").replace(".", "a").isalnum() or not str(name)[0].isalpha():
        raise InvalidOption(f"answers.content: '{str(name)[:40]}' can't name an element of XML; give another key.")
    return str(name)


def _xml_text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _one_line(text: str, name: str) -> str:
    if "\n" in text or "\r" in text:
        raise InvalidOption(f"answers.content: the value of '{name}' has several lines, and one is possible there.")
    return text


RENDERERS: dict[str, Callable[[Values], str]] = {
    "preseed": preseed,
    "kickstart": kickstart,
    "autoinstall": autoinstall,
    "autoyast": autoyast,
    "ignition": ignition,
    "combustion": combustion,
    "autounattend": autounattend,
}


def render(kind: str, content: Any) -> str:
    """The text of an answer file; a text is taken as it is. Raises InvalidOption without showing the content, which may be secret."""
    if isinstance(content, str):
        return content if content.endswith("\n") else content + "\n"
    if isinstance(content, Mapping):
        return RENDERERS[kind](content)
    raise InvalidOption("answers.content: this is neither a text nor a dictionary; give one of them.")
