# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    InvalidOption,
    NoSpace,
    TransferError,
    UnsafeImage,
)
from ansible_collections.imageops.fleet.plugins.module_utils._transfer import bounds, download, http_stream
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.checksum import Checksum
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.download import Download, Downloaded, Wanted
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.http import Access, HttpClient
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.http_stream import HttpStream
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.url import parse_url
from ansible_collections.imageops.fleet.tests.unit.hasty_clock import HastyClock
from ansible_collections.imageops.fleet.tests.unit.web_server import Site, serving

pytestmark = pytest.mark.usefixtures("state_dir")
CONTENT = os.urandom(700_000) + bytes(3 << 20) + os.urandom(300_001)
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images" / ".disk.imageops-partial-download"


@pytest.fixture(autouse=True)
def every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is written after every block."""
    monkeypatch.setattr(download, "_SAVE_SECONDS", 0.0)


def fetch(site: Site, path: Path, *, checksum: Checksum | None = None, **given: Any) -> Downloaded:
    return download_of(site, path, checksum=checksum, **given).run()


def download_of(site: Site, path: Path, *, checksum: Checksum | None = None, **given: Any) -> Download:
    url = parse_url(site.url("/a"), option="src")
    wanted = Wanted(url.shown, url.identity, checksum, given.pop("most", 1 << 40), **given)
    clock = HastyClock()
    source = HttpStream(HttpClient(Access(idle_timeout=120)), url, clock, proven=checksum is not None)
    return Download(wanted, source, str(path), clock=clock, begun=lambda total: None, report=lambda done: None)


def left(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def interrupted(site: Site, path: Path, cut: int, *, checksum: Checksum | None = None) -> None:
    """A run that got `cut` bytes and then could go on no more."""
    site.cuts, site.statuses = [cut], []
    attempts = http_stream.ATTEMPTS
    http_stream.ATTEMPTS = 1
    try:
        with pytest.raises(TransferError):
            fetch(site, path, checksum=checksum)
    finally:
        http_stream.ATTEMPTS = attempts
        site.cuts = []
        site.asked.clear()


@pytest.mark.parametrize("checksum", [None, SHA256])
def test_a_file_as_it_is(path: Path, checksum: Checksum | None) -> None:
    with serving(files={"/a": CONTENT}) as site:
        done = fetch(site, path, checksum=checksum)
    assert path.read_bytes() == CONTENT
    assert (done.checksum, done.size, done.compression, done.resumed) == (SHA256.text, len(CONTENT), "", 0)
    assert path.stat().st_blocks * 512 < len(CONTENT) - (2 << 20)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_compressed_file_has_the_checksum_of_what_was_published(path: Path) -> None:
    packed = gzip.compress(CONTENT)
    checksum = Checksum("sha512", hashlib.sha512(packed).hexdigest())
    with serving(files={"/a": packed}, cuts=[50_000]) as site:
        done = fetch(site, path, checksum=checksum)
        assert site.ranges_asked == ["", "bytes=50000-"]
    assert path.read_bytes() == CONTENT
    assert (done.checksum, done.compression) == (checksum.text, "gz")


def test_a_wrong_checksum(path: Path) -> None:
    with serving(files={"/a": CONTENT[:-1]}) as site, pytest.raises(Conflict) as caught:
        fetch(site, path, checksum=SHA256)
    assert SHA256.digest in str(caught.value)
    assert hashlib.sha256(CONTENT[:-1]).hexdigest() in str(caught.value)
    assert left(path) == []


@pytest.mark.parametrize("checksum", [None, SHA256])
def test_a_later_run_goes_on(path: Path, checksum: Checksum | None) -> None:
    with serving(files={"/a": CONTENT}) as site:
        interrupted(site, path, 2_500_000, checksum=checksum)
        assert left(path) == [path.name]
        done = fetch(site, path, checksum=checksum)
        assert site.ranges_asked == [f"bytes={2 << 20}-"]
    assert done.resumed == 2 << 20
    assert (done.checksum, path.read_bytes()) == (SHA256.text, CONTENT)


def test_other_content_begins_again(path: Path) -> None:
    with serving(files={"/a": CONTENT[::-1]}) as site:
        interrupted(site, path, 2_500_000)
        site.files["/a"], site.etag = CONTENT, '"two"'
        assert fetch(site, path).resumed == 0
    assert path.read_bytes() == CONTENT


def test_other_content_in_the_middle_begins_again(path: Path) -> None:
    with serving(files={"/a": CONTENT}, cuts=[1_200_000]) as site:
        sign = site.etag
        site.etag = '"old"'

        class Changing(HastyClock):
            def sleep(self, seconds: float) -> None:
                site.etag = sign

        url = parse_url(site.url("/a"), option="src")
        clock = Changing()
        source = HttpStream(HttpClient(Access(idle_timeout=120)), url, clock)
        wanted = Wanted(url.shown, url.identity, None, 1 << 40)
        Download(wanted, source, str(path), clock=clock, begun=lambda total: None, report=lambda done: None).run()
    assert path.read_bytes() == CONTENT


def test_a_compressed_one_begins_again(path: Path) -> None:
    with serving(files={"/a": gzip.compress(CONTENT)}) as site:
        interrupted(site, path, 600_000)
        assert left(path) == []
        assert fetch(site, path).resumed == 0
    assert path.read_bytes() == CONTENT


def test_what_was_complete_is_not_asked_for_again(path: Path) -> None:
    with serving(files={"/a": gzip.compress(CONTENT)}) as site:
        checksum = Checksum("sha256", hashlib.sha256(site.files["/a"]).hexdigest())
        first = fetch(site, path, checksum=checksum)
        site.asked.clear()
        again = fetch(site, path, checksum=checksum)
        assert site.asked == []
        assert again.resumed == again.size == first.size
        # Somebody wrote to it.
        os.utime(path, ns=(1, 1))
        fetch(site, path, checksum=checksum)
        assert site.methods == ["GET"]
    assert path.read_bytes() == CONTENT


def test_without_a_checksum_a_complete_one_is_compared_by_its_validators(path: Path) -> None:
    with serving(files={"/a": CONTENT}) as site:
        fetch(site, path)
        site.asked.clear()
        assert fetch(site, path).resumed == len(CONTENT)
        assert site.methods == ["HEAD"]
        site.etag = '"two"'
        assert fetch(site, path).resumed == 0


def test_after_a_power_cut_only_what_was_flushed_counts(path: Path, state_dir: Path) -> None:
    with serving(files={"/a": CONTENT}) as site:
        interrupted(site, path, 2_500_000)
        (journal,) = (state_dir / "downloads").iterdir()
        known = json.loads(journal.read_text())
        journal.write_text(json.dumps({**known, "boot": "another", "synced": 1 << 20}))
        assert fetch(site, path).resumed == 1 << 20
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("text", ["", "{", "[]", '{"source": 1}', "null"])
def test_a_broken_journal_means_the_start(path: Path, state_dir: Path, text: str) -> None:
    with serving(files={"/a": CONTENT}) as site:
        interrupted(site, path, 2_500_000)
        (journal,) = (state_dir / "downloads").iterdir()
        journal.write_text(text)
        assert fetch(site, path).resumed == 0
    assert path.read_bytes() == CONTENT


def test_a_planted_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path.symlink_to(victim)
    with serving(files={"/a": CONTENT}) as site:
        fetch(site, path)
    assert victim.read_bytes() == b"precious"


def test_a_bomb(path: Path) -> None:
    with (
        serving(files={"/a": gzip.compress(bytes(64 << 20))}) as site,
        pytest.raises(UnsafeImage, match="holds more than"),
    ):
        fetch(site, path, most=16 << 20)
    assert left(path) == []


def test_no_room_for_what_is_in_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_free", lambda path: 1 << 20)
    with serving(files={"/a": gzip.compress(b"x" * (8 << 20))}) as site, pytest.raises(NoSpace, match="may be written"):
        fetch(site, path)
    assert left(path) == []


def test_no_room_is_seen_before_anything_comes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs("/")
    fields = {name: getattr(real, name) for name in ("f_frsize",)}
    monkeypatch.setattr(os, "statvfs", lambda path: type("Status", (), {**fields, "f_bavail": 1})())
    with serving(files={"/a": CONTENT}) as site, pytest.raises(NoSpace, match="needs about"):
        fetch(site, path)
    assert left(path) == []


def test_a_truncated_gzip(path: Path) -> None:
    with serving(files={"/a": gzip.compress(CONTENT)[:-9]}) as site, pytest.raises(UnsafeImage, match="ends too early"):
        fetch(site, path)
    assert left(path) == []


def test_bandwidth(path: Path) -> None:
    clock = HastyClock()
    with serving(files={"/a": CONTENT}) as site:
        url = parse_url(site.url("/a"), option="src")
        source = HttpStream(HttpClient(Access()), url, clock)
        wanted = Wanted(url.shown, url.identity, None, 1 << 40, bandwidth=1 << 20)
        Download(wanted, source, str(path), clock=clock, begun=lambda total: None, report=lambda done: None).run()
    assert max(clock.slept) > 3.5


def test_results_are_plain(path: Path) -> None:
    with serving(files={"/a": CONTENT}) as site:
        assert json.dumps(dataclasses.asdict(fetch(site, path)))


@pytest.mark.parametrize(("error", "stays"), [(None, False), (Conflict("no"), False), (InvalidOption("no"), True)])
def test_what_came_goes_when_it_is_used_up(path: Path, error: Exception | None, stays: bool) -> None:
    with serving(files={"/a": CONTENT}) as site:
        came = download_of(site, path)
        came.run()
        with contextlib.suppress(Conflict, InvalidOption), came.used_up():
            assert left(path) == [path.name]
            if error:
                raise error
    assert left(path) == [path.name] * stays
