# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError, InvalidOption, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.url import is_url, parse_url


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("http://x/y", True), ("nbd+unix:///?socket=/s", True), ("/srv/http://x", False), ("~/a", False), ("a:b", False)],
)
def test_what_is_a_url(text: str, wanted: bool) -> None:
    assert is_url(text) == wanted


@pytest.mark.parametrize(
    ("text", "request_text", "shown", "name"),
    [
        ("http://h/a/b.img", "http://h/a/b.img", "http://h/a/b.img", "b.img"),
        ("HTTPS://H:8443/a%20b.img#part", "https://h:8443/a%20b.img", "https://h:8443/a%20b.img", "a b.img"),
        ("https://h/a.img?Signature=s3cret", "https://h/a.img?Signature=s3cret", "https://h/a.img?...", "a.img"),
        ("https://h", "https://h/", "https://h/", ""),
        ("https://[::1]:81/a", "https://[::1]:81/a", "https://[::1]:81/a", "a"),
        ("https://h\u00f6st/\u00e4", "https://xn--hst-sna/%C3%A4", "https://xn--hst-sna/%C3%A4", "\u00e4"),
    ],
)
def test_urls_of_web_servers(text: str, request_text: str, shown: str, name: str) -> None:
    url = parse_url(text, option="src")
    assert (url.text, url.shown, url.name) == (request_text, shown, name)


@pytest.mark.parametrize(
    ("text", "host", "port", "export", "socket"),
    [
        ("nbd://h", "h", 10809, "", ""),
        ("nbd://h:10810/disk", "h", 10810, "disk", ""),
        ("nbds://h/disk", "h", 10809, "disk", ""),
        ("nbd+unix:///disk?socket=/run/a%20b", "", 10809, "disk", "/run/a b"),
        ("nbd+unix:///?socket=/run/s", "", 10809, "", "/run/s"),
    ],
)
def test_urls_of_nbd_servers(text: str, host: str, port: int, export: str, socket: str) -> None:
    url = parse_url(text, option="src")
    assert url.is_nbd
    assert (url.host, url.port, url.export, url.socket) == (host, port, export, socket)


def test_queries_are_told_apart_by_a_digest() -> None:
    one, other = (parse_url(f"https://h/a?file={name}", option="src").identity for name in "ab")
    assert one["url"] == other["url"] == "https://h/a?..."
    assert one != other


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("https://me:s3cret@h/a", InvalidOption, "url_username"),
        ("https://me@h/a", InvalidOption, "url_username"),
        ("ftp://h/a", InvalidOption, "URLs of 'ftp' are not read"),
        ("file:///etc/passwd", InvalidOption, "give a path instead"),
        ("http:///a", InvalidOption, "names no host"),
        ("http://h/a b", InvalidOption, "spaces or control characters"),
        ("http://h/a\r\nHost: x", InvalidOption, "spaces or control characters"),
        ("http://h:99999/a", InvalidOption, "not a URL"),
        ("http://[::1/a", InvalidOption, "not a URL"),
        ("http://h/" + "a" * 9000, InvalidOption, "longer than"),
        ("nbds+unix:///a?socket=/s", Unsupported, "TLS over a socket"),
        ("nbd+unix:///a", InvalidOption, "names no socket"),
        ("nbd+unix:///a?socket=relative", InvalidOption, "names no socket"),
        ("nbd:///a", InvalidOption, "names no host"),
        ("http://a..b/x", InvalidOption, "between dots the host's name has 1 to 63 characters"),
        (f"http://{'a' * 64}.example/x", InvalidOption, "between dots the host's name has 1 to 63 characters"),
    ],
)
def test_refused(text: str, kind: type[ImageOpsError], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        parse_url(text, option="src")
    assert str(caught.value).startswith("src: ")
    assert "s3cret" not in str(caught.value)
