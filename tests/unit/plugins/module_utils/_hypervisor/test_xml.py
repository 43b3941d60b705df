# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import (
    IMAGEOPS,
    canonical,
    drop,
    get,
    parse,
    put,
    serialise,
)

TEXT = "<domain type='qemu'><name>web</name><devices><disk device='cdrom'><target dev='sda'/></disk></devices></domain>"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "web"),
        ("@type", "qemu"),
        ("devices/disk/target/@dev", "sda"),
        ("devices/disk[@device='cdrom']/target/@dev", "sda"),
        ("devices/disk[@device='disk']/target/@dev", "none"),
        ("title", "none"),
    ],
)
def test_get(path: str, value: str) -> None:
    assert get(parse(TEXT), path, "none") == value


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("name", "db", "<a><name>db</name></a>"),
        ("b/c/@d", "1", '<a><name>x</name><b><c d="1" /></b></a>'),
        ("b[@e='2']/@f", "3", '<a><name>x</name><b e="2" f="3" /></a>'),
        ("name/@g", "<&>", '<a><name g="&lt;&amp;&gt;">x</name></a>'),
        ("name", None, "<a />"),
        (
            f"m/{{{IMAGEOPS}}}vm/@h",
            "4",
            f'<a xmlns:imageops="{IMAGEOPS}"><name>x</name><m><imageops:vm h="4" /></m></a>',
        ),
    ],
)
def test_put(path: str, value: str | None, expected: str) -> None:
    root = parse("<a><name>x</name></a>")
    put(root, path, value)
    put(root, path, value)
    assert serialise(root) == expected


def test_drop_takes_every_element_and_attribute() -> None:
    root = parse("<a><b c='1'/><b c='2'><d/></b></a>")
    drop(root, "b/@c")
    drop(root, "b/d")
    assert serialise(root) == "<a><b /><b /></a>"
    drop(root, "b")
    assert serialise(root) == "<a />"


def test_canonical_forgets_order_of_attributes_and_white_space() -> None:
    assert canonical(parse("<a b='1' c='2'>\n <d/>\n</a>")) == canonical(parse('<a c="2" b="1"><d></d></a>'))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/shadow">]><a>&x;</a>', UnsafeImage),
        ('<!DOCTYPE a SYSTEM "http://example.com/a.dtd"><a/>', UnsafeImage),
        ("<a>&x;</a>", InvalidOption),
        ("<a>", InvalidOption),
        ("<a>" + " " * (5 << 20) + "</a>", InvalidOption),
        ("<a>" * 20000 + "</a>" * 20000, InvalidOption),
    ],
)
def test_parse_refuses(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="xml"):
        parse(text)
