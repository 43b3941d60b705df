# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images between hosts and a real registry: cut links, killed registries, full disks, damaged content, and publishing beside pruning."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import registry
from host import Failed, Host, answer, expect, hosts
from registry import FOLDER, PASSWORD, access, reference

_RAW, _PULLED = f"{FOLDER}/disk.raw", f"{FOLDER}/pulled.raw"
_LAYOUT = f"{FOLDER}/layout"
# What a request asks for, and what is counted besides: TLS, headers, and pieces of frames.
_RANGE, _EXTRA = 1 << 20, 256 << 10
# So large packs become, and so many are sent at once; docker-registry forgets what it has of one when its upload is cut.
_PACK, _AT_ONCE = (32 << 20) + (1 << 16), 2
_RACES = 20
# After each of so many of them the registry collects its garbage.
_COLLECTS = 5
_TOKENS = "imageops-faults-tokens"


def prepare(host: Host) -> None:
    registry.set_up(host)


def tidy(host: Host) -> None:
    registry.tear_down(host)
    host.shell("rm -f /var/lib/imageops/publishes/*.spool", check=False)


def _disk(host: Host, mebibytes: int, path: str = _RAW) -> None:
    host.shell(f"head -c {mebibytes}M /dev/urandom > {path}; rm -f {_PULLED}")


def _publish(host: Host, tag: str, *, fault: str = "", **more: Any) -> dict[str, Any]:
    return host.run("image_publish", fault=fault, **_publication(host, tag, **more))


def _publication(host: Host, tag: str, **more: Any) -> dict[str, Any]:
    given = {"image": reference(tag), "disks": [{"path": _RAW, "format": "raw"}], "move_tag": True}
    return {**given, **access(), **more}


def _pulling(host: Host, tag: str, *, port: int = registry.PORT, **more: Any) -> dict[str, Any]:
    given = {"image": reference(tag, port=port), "dest": _PULLED, "format": "raw", "seeds": []}
    return {**given, **access(), **more}


def _good(said: dict[str, Any]) -> dict[str, Any]:
    """The only item of a result; raises Failed for one that failed."""
    expect(not said.get("failed") and not said.get("lost"), f"it failed: {_sentence(said)}")
    item: dict[str, Any] = said["images"][0]
    return item


def _sentence(said: dict[str, Any]) -> str:
    return str(next((one["msg"] for one in said.get("images", ()) if one.get("msg")), said.get("msg", said)))[:600]


def _refused(said: dict[str, Any], *words: str) -> None:
    """It failed with a sentence that has these words, and the destination shows nothing."""
    expect(bool(said.get("failed")), f"nothing failed: {str(said)[:300]}")
    sentence = _sentence(said)
    expect(all(word in sentence for word in words), f"the sentence says nothing of {words}: {sentence}")
    print(f"faults: images: it said: {sentence}", flush=True)


def _nothing_visible(host: Host) -> None:
    found = host.shell(f"ls {_PULLED} 2> /dev/null || true").strip()
    expect(not found, f"the destination shows {found}")


def _same(host: Host) -> None:
    """What was pulled is the disk, and no log or hidden file is left."""
    host.shell(f"cmp {_RAW} {_PULLED}")
    left = host.shell(f"ls -A {FOLDER} | grep imageops-partial; ls /var/lib/imageops/pulls 2> /dev/null", check=False)
    expect(not left.strip(), f"left over: {left}")


def cut(mebibytes: int, cuts: int) -> Callable[[Host], None]:
    """The link is cut at random moments; how many bytes came twice is counted by the link itself."""

    def case(host: Host) -> None:
        _disk(host, mebibytes)
        _good(_publish(host, "cut"))
        size = sum(pack["size"] for pack in registry.packs(host, _digest(host, "cut")))
        offsets = sorted(random.sample(range(1 << 20, (mebibytes - 1) << 20), cuts))
        registry.link(host, "came", offsets)
        tasks = 0
        while tasks < 3:
            tasks += 1
            said = host.run("image_pull", **_pulling(host, "cut", port=registry.LINK_PORT, idle_timeout=20))
            if not said.get("failed"):
                break
        _good(said)
        _same(host)
        came = registry.linked(host)
        # TLS adds a record's head to each 16 KiB.
        again = came["came"] - size - size // 500
        print(
            f"faults: images: {host.name}: {mebibytes} MiB, {came['cuts']} cuts, {tasks} tasks, {came['came']} bytes came of {size},"
            f" about {max(0, again)} again, {again // max(1, came['cuts'])} a cut",
            flush=True,
        )
        expect(came["cuts"] == cuts and tasks <= 2, f"{came['cuts']} cuts, {tasks} tasks")
        expect(again <= cuts * 2 * _RANGE + _EXTRA + size // 200, f"{again} bytes came again after {cuts} cuts")

    return case


def cut_upload(mebibytes: int, cuts: int) -> Callable[[Host], None]:
    """The same while it is published: what was sent whole isn't sent again, and the tag names nothing before all is there."""

    def case(host: Host) -> None:
        _disk(host, mebibytes)
        tag = f"sent-{mebibytes}"
        registry.link(host, "went", sorted(random.sample(range(1 << 20, (mebibytes - 1) << 20), cuts)))
        given = _publication(host, tag, image=reference(tag, port=registry.LINK_PORT), idle_timeout=20)
        tasks = 0
        while tasks < 4:
            tasks += 1
            said = host.run("image_publish", **given)
            if not said.get("failed"):
                break
            print(f"faults: images: {host.name}: task {tasks}: {_sentence(said)}", flush=True)
            expect(tag not in _tags(host), "an unfinished image has a name")
        told = _good(said)["job"]
        size = sum(pack["size"] for pack in registry.packs(host, _digest(host, tag)))
        _good(host.run("image_pull", **_pulling(host, tag)))
        _same(host)
        went = registry.linked(host)
        again = went["went"] - size - size // 500
        _count(host, f"{mebibytes} MiB published, {went['cuts']} cuts", tasks, told, size)
        print(
            f"faults: images: {host.name}: {went['went']} bytes went, about {max(0, again)} again, {again // max(1, went['cuts'])} a cut",
            flush=True,
        )
        expect(went["cuts"] == cuts, f"{went['cuts']} cuts")
        expect(again <= cuts * _AT_ONCE * _PACK + _EXTRA + size // 200, f"{again} bytes went again after {cuts} cuts")

    return case


def _digest(host: Host, tag: str) -> str:
    link = f"{FOLDER}/registry/docker/registry/v2/repositories/team/disk/_manifests/tags/{tag}/current/link"
    return host.shell(f"cat {link}").strip()


def killed_while_pulling(host: Host) -> None:
    """The registry dies twice in the middle of a pull, which takes up where it was."""
    _disk(host, 64)
    _good(_publish(host, "killed"))
    pull = host.start("image_pull", **_pulling(host, "killed", bandwidth="8M"))
    _bytes_of_partial(host, 4 << 20)
    _kill_twice(host, pull)
    said = answer(pull)
    tasks = 1
    if said.get("failed"):
        tasks, said = 2, host.run("image_pull", **_pulling(host, "killed"))
    told = _good(said)["job"]
    _same(host)
    _count(host, "registry killed twice while pulling", tasks, told, 64 << 20)
    expect(told["fetched_bytes"] + told["resumed_bytes"] <= (64 << 20) + 16 * _RANGE, f"too much came again: {told}")


def _kill_twice(host: Host, task: subprocess.Popen[str]) -> None:
    """Kill the registry, which is back after a second, and restart it, both while the task goes on."""
    registry.kill(host)
    time.sleep(3)
    expect(task.poll() is None, "the task had ended before the registry was restarted")
    registry.restart(host)


def killed_while_publishing(host: Host) -> None:
    """The registry dies twice in the middle of a publish; what was sent isn't sent again."""
    publish = _publish_slowly(host, "sent", 8 << 20)
    _kill_twice(host, publish)
    said = answer(publish)
    tasks = 1
    if said.get("failed"):
        tasks, said = 2, _publish(host, "sent")
    told = _good(said)["job"]
    _good(host.run("image_pull", **_pulling(host, "sent")))
    _same(host)
    _count(host, "registry killed twice while publishing", tasks, told, 96 << 20)


def _publish_slowly(host: Host, tag: str, size: int) -> subprocess.Popen[str]:
    """A publish of 96 MiB that goes on for seconds, when the registry has got so many bytes of it."""
    _disk(host, 96)
    place = f"{FOLDER}/registry"
    held = int(host.shell(f"du -sB1 {place} 2> /dev/null | cut -f1").strip() or 0)
    publish = host.start("image_publish", **_publication(host, tag, bandwidth="12M"))
    _bytes_of(host, place, held + size)
    return publish


def collected_while_publishing(host: Host) -> None:
    """The registry collects garbage in the middle of a publish, and takes what was sent: no name for what isn't whole."""
    publish = _publish_slowly(host, "collected", 40 << 20)
    registry.collect_garbage(host)
    said = answer(publish)
    tasks = 1
    if said.get("failed"):
        _refused(said)
        expect("collected" not in _tags(host), "an unfinished image has a name")
        tasks, said = 2, _publish(host, "collected")
    told = _good(said)["job"]
    _good(host.run("image_pull", **_pulling(host, "collected")))
    _same(host)
    _count(host, "garbage collected while publishing", tasks, told, 96 << 20)


def killed_publisher(host: Host) -> None:
    """The helper is killed when a pack was stored: the next run sends only the others."""
    _disk(host, 96)
    said = _publish(host, "again", fault="publish:pack-stored:kill")
    expect(bool(said.get("failed")), "the helper was not killed")
    expect("again" not in _tags(host), "an unfinished image has a name")
    told = _good(_publish(host, "again"))["job"]
    _good(host.run("image_pull", **_pulling(host, "again")))
    _same(host)
    _count(host, "publisher killed after a pack", 2, told, 96 << 20)
    expect(told["resumed_bytes"] >= 32 << 20, f"what was stored is sent again: {told}")
    expect(told["uploaded_bytes"] <= (64 << 20) + _RANGE, f"what was stored is sent again: {told}")


def _tags(host: Host) -> str:
    return host.shell(f"ls {FOLDER}/registry/docker/registry/v2/repositories/team/disk/_manifests/tags", check=False)


def _count(host: Host, what: str, tasks: int, told: dict[str, Any], size: int) -> None:
    counts = {
        name: told[name]
        for name in ("fetched_bytes", "resumed_bytes", "refetched_bytes", "uploaded_bytes", "resent_bytes")
        if name in told
    }
    print(f"faults: images: {host.name}: {what}: {tasks} tasks, {size} bytes: {json.dumps(counts)}", flush=True)


def _bytes_of(host: Host, path: str, size: int) -> None:
    """Wait until so much lies at a path."""
    host.shell(
        f"for turn in $(seq 600); do test $(du -sB1 {path} 2> /dev/null | cut -f1 || echo 0) -ge {size} && break; sleep 0.05; done"
    )


def _bytes_of_partial(host: Host, size: int) -> None:
    _bytes_of(host, f"{FOLDER}/.pulled.raw.imageops-partial", size)


def full_registry(host: Host) -> None:
    """The registry's disk is full: a sentence, no name, and the next run goes on when there is room.

    There is room for two of three packs: two are sent at once, and with less neither would be stored.
    """
    _disk(host, 96)
    place = f"{FOLDER}/registry"
    host.shell(
        f"systemctl stop imageops-faults-registry.service; mkdir -p {place}; mount -t tmpfs -o size=80M none {place}"
    )
    registry.start(host)
    try:
        said = _publish(host, "full")
        _refused(said)
        expect("full" not in _tags(host), "an unfinished image has a name")
        host.shell(f"mount -o remount,size=512M {place}")
        told = _good(_publish(host, "full"))["job"]
        _count(host, "registry full while publishing", 2, told, 96 << 20)
        expect(told["resumed_bytes"] >= 32 << 20, f"what was stored is sent again: {told}")
        _good(host.run("image_pull", **_pulling(host, "full")))
        _same(host)
    finally:
        host.shell(f"systemctl stop imageops-faults-registry.service; umount {place}")
        registry.start(host)


def full_host(host: Host) -> None:
    """The disk of the file that is pulled is full: a sentence, nothing visible; with room again the pull goes on."""
    _disk(host, 48)
    _good(_publish(host, "room"))
    place = f"{FOLDER}/small"
    host.shell(f"mkdir -p {place}; mount -t tmpfs -o size=64M none {place}")
    try:
        dest = f"{place}/pulled.raw"
        pull = host.start("image_pull", **_pulling(host, "room", bandwidth="8M", dest=dest))
        _bytes_of(host, f"{place}/.pulled.raw.imageops-partial", 4 << 20)
        # Others take the room meanwhile.
        host.shell(f"head -c 40M /dev/zero > {place}/filler || true")
        _refused(answer(pull), place)
        expect(not host.shell(f"ls {dest} 2> /dev/null || true").strip(), "an unfinished image is visible")
        host.shell(f"rm {place}/filler")
        told = _good(host.run("image_pull", **_pulling(host, "room", dest=dest)))["job"]
        host.shell(f"cmp {_RAW} {dest}")
        _count(host, "full disk while pulling", 2, told, 48 << 20)
        expect(told["resumed_bytes"] > 0, f"nothing was taken up: {told}")
    finally:
        host.shell(f"umount {place}")


def _spoil(host: Host, path: str, how: str) -> None:
    """Keep a file of the registry beside it, and damage it; the registry remembers no content."""
    host.shell(f"cp {path} {FOLDER}/kept; {how}")


def _mend(host: Host, path: str) -> None:
    host.shell(f"cat {FOLDER}/kept > {path}")


def flipped_bit(host: Host) -> None:
    """One bit of a stored pack: pack and block are named and nothing is visible; a healthy mirror heals it."""
    _disk(host, 40)
    _good(_publish(host, "flipped"))
    host.shell(f"mkdir -p {_LAYOUT}")
    _good(_publish(host, "flipped", image=f"dir:{_LAYOUT}/disk:flipped"))
    pack = registry.packs(host, _digest(host, "flipped"))[0]
    path = registry.data_of(pack["digest"])
    _spoil(host, path, _flip(path, pack["size"] // 3))
    said = host.run("image_pull", **_pulling(host, "flipped"))
    _refused(said, pack["digest"], "block at byte")
    _nothing_visible(host)
    _good(host.run("image_pull", **_pulling(host, "flipped", mirrors=[f"dir:{_LAYOUT}/disk"])))
    _same(host)
    # The other way round: the mirror is damaged, and the catalog is not.
    _mend(host, path)
    other = f"{_LAYOUT}/disk/blobs/sha256/{pack['digest'].partition(':')[2]}"
    host.shell(f"rm {_PULLED}; {_flip(other, pack['size'] // 2)}")
    _good(host.run("image_pull", **_pulling(host, "flipped", mirrors=[f"dir:{_LAYOUT}/disk"])))
    _same(host)


def _flip(path: str, offset: int) -> str:
    return f"python3 -c \"f = open('{path}', 'r+b'); f.seek({offset}); b = f.read(1)[0]; f.seek({offset}); f.write(bytes([b ^ 4]))\""


def truncated_blob(host: Host) -> None:
    """A pack's end is missing: a sentence that names it, nothing visible; when it is whole again the pull goes on."""
    _disk(host, 40)
    _good(_publish(host, "short"))
    pack = registry.packs(host, _digest(host, "short"))[0]
    path = registry.data_of(pack["digest"])
    _spoil(host, path, f"truncate -s {pack['size'] // 2} {path}")
    _refused(host.run("image_pull", **_pulling(host, "short", idle_timeout=5)), pack["digest"])
    _nothing_visible(host)
    _mend(host, path)
    told = _good(host.run("image_pull", **_pulling(host, "short")))["job"]
    _same(host)
    _count(host, "truncated pack", 2, told, 40 << 20)


def wrong_manifest(host: Host) -> None:
    """The registry gives another manifest than its digest says, and another index than the manifest says."""
    _disk(host, 8)
    _good(_publish(host, "wrong"))
    digest = _digest(host, "wrong")
    path = registry.data_of(digest)
    index = registry.data_of(registry.manifest(host, digest)["layers"][0]["digest"])
    _spoil(host, path, f'sed -i \'s/"size":8/"size":9/; s/image.created/image.creates/\' {path}')
    said = host.run("image_pull", **_pulling(host, "wrong", image=f"{reference('wrong')}@{digest}"))
    _refused(said)
    _nothing_visible(host)
    _mend(host, path)
    _spoil(host, index, _flip(index, 100))
    host.shell("rm -rf /var/lib/imageops/segments")
    _refused(host.run("image_pull", **_pulling(host, "wrong")), "damaged")
    _nothing_visible(host)
    _mend(host, index)
    _good(host.run("image_pull", **_pulling(host, "wrong")))
    _same(host)


def credentials(host: Host) -> None:
    """A password that is wrong, or that becomes wrong while a pull goes on: a sentence without it, and nothing visible."""
    _disk(host, 48)
    _good(_publish(host, "secret"))
    for module, options in (
        ("image_pull", _pulling(host, "secret", url_password="mistaken")),
        ("image_publish", _publication(host, "other", url_password="mistaken")),
    ):
        said = host.run(module, **options)
        _refused(said)
        expect("mistaken" not in json.dumps(said.get("images", "")), "the password is in the result")
    _nothing_visible(host)
    pull = host.start("image_pull", **_pulling(host, "secret", bandwidth="8M"))
    _bytes_of_partial(host, 4 << 20)
    _change_password(host)
    _refused(answer(pull))
    _nothing_visible(host)
    _change_password_back(host)
    told = _good(host.run("image_pull", **_pulling(host, "secret")))["job"]
    _same(host)
    _count(host, "password that expired while pulling", 2, told, 48 << 20)
    expect(told["resumed_bytes"] > 0, f"nothing was taken up: {told}")


def _change_password(host: Host) -> None:
    host.shell(
        f"cp {FOLDER}/users {FOLDER}/users.kept; echo changed | htpasswd -B -C 4 -i {FOLDER}/users {registry.USER} 2> /dev/null"
    )
    registry.restart(host)


def _change_password_back(host: Host) -> None:
    host.shell(f"cat {FOLDER}/users.kept > {FOLDER}/users")
    registry.restart(host)


def credentials_while_publishing(host: Host) -> None:
    """A password that becomes wrong while a publish goes on: a sentence without it, no name, and the next run goes on."""
    publish = _publish_slowly(host, "expired", 40 << 20)
    _change_password(host)
    said = answer(publish)
    _refused(said, "url_password")
    expect(PASSWORD not in _sentence(said), "the password is in the sentence")
    expect("expired" not in _tags(host), "an unfinished image has a name")
    _change_password_back(host)
    told = _good(_publish(host, "expired"))["job"]
    _good(host.run("image_pull", **_pulling(host, "expired")))
    _same(host)
    _count(host, "password that expired while publishing", 2, told, 96 << 20)
    expect(told["resumed_bytes"] >= 32 << 20, f"what was stored is sent again: {told}")


def tokens(host: Host) -> None:
    """Tokens end in the middle of a pull, earlier than was said: others are got, and nothing comes twice."""
    _disk(host, 48)
    host.shell(f"mkdir -p {_LAYOUT}")
    digest = _good(_publish(host, "tokens", image=f"dir:{_LAYOUT}/tokens:tokens"))["digest"]
    host.send(Path(__file__).parent / "on_host" / "token_registry.py", f"{FOLDER}/token_registry.py")
    host.shell(
        f"systemd-run -q --unit={_TOKENS} --collect python3 {FOLDER}/token_registry.py {registry.TOKEN_PORT} {_LAYOUT}/tokens 1\n"
        f"for turn in $(seq 100); do ss -ltn | grep -q ':{registry.TOKEN_PORT} ' && break; sleep 0.1; done"
    )
    try:
        given = _pulling(host, "tokens", port=registry.TOKEN_PORT, plain_http=True, bandwidth="8M")
        item = _good(host.run("image_pull", **given))
        _same(host)
        count = int(host.shell(f"cat {_LAYOUT}/tokens.tokens"))
        _count(host, f"{count} tokens of a second each", 1, item["job"], 48 << 20)
        expect(item["digest"] == digest and count > 3, f"{count} tokens were given for {item['digest']}")
        expect(item["job"]["refetched_bytes"] == 0, f"something came twice: {item['job']}")
    finally:
        host.shell(f"systemctl stop {_TOKENS}.service", check=False)


def racing(repository: str, reader: str, **given: Any) -> Callable[[Host], None]:
    """Versions are published while old ones are pruned without any grace: what is listed is always whole.

    `reader` is the catalog as Python reads it on the host.
    """

    def case(host: Host) -> None:
        host.shell(f"rm -rf {FOLDER}/race; mkdir {FOLDER}/race; head -c 4M /dev/urandom > {FOLDER}/race/disk.raw")
        pruned = removed = collected = 0
        for number in range(_RACES):
            said, told = _race(host, repository, number, given)
            _good(said)
            # Before the first image there is nothing to prune.
            if not told.get("failed"):
                pruned += 1
                removed += len(told["repositories"][0]["removed"])
            elif number:
                raise Failed(f"pruning failed: {str(told.get('msg'))[:400]} {told.get('repositories')}")
            _whole(host, reader, str(number))
            if given and number % _COLLECTS == _COLLECTS - 1:
                registry.collect_garbage(host)
                collected += 1
                _whole(host, reader, str(number))
        print(
            f"faults: images: {host.name}: {repository}: {_RACES} published, {pruned} times pruned, {removed} removed,"
            f" {collected} times garbage was collected, all listed are whole",
            flush=True,
        )

    return case


def _race(host: Host, repository: str, number: int, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a publish says, and a pruning that began while it worked."""
    disk = f"{FOLDER}/race/disk.raw"
    host.shell(f"head -c 1M /dev/urandom | dd of={disk} bs=1M seek={number % 4} conv=notrunc status=none")
    disks = [{"path": disk, "format": "raw"}]
    publish = host.start("image_publish", image=f"{repository}:{number}", disks=disks, **given)
    time.sleep(random.random() * 2)
    prune = host.start("image_prune", repository=repository, keep=2, grace="0s", in_use=[], **given)
    return answer(publish), answer(prune)


def _whole(host: Host, reader: str, newest: str) -> None:
    """All that is listed is there, and the newest is the disk."""
    said = host.shell(
        f'cd {FOLDER}; python3 -c "from catalog import Catalog, sha256; from registry_catalog import RegistryCatalog; c = {reader}; '
        f"print(c.problems()); [c.content(tag) for tag in c.tags()]; print(c.content('{newest}') == sha256('race/disk.raw'))\""
    )
    problems, same = said.split("\n")[:2]
    expect(not problems and same == "True", f"after {newest}: {problems or 'the newest is another disk'}")


def _kill_helpers(host: Host) -> None:
    """SIGKILL for the pull and the server of these tests, and for nobody else's."""
    unit = f"imageops-job-pull-{hashlib.sha256(_PULLED.encode()).hexdigest()[:16]}.service"
    killed = host.shell(
        f"pull=$(systemctl show -p MainPID --value {unit}); serve=$(ss -Hltnp 'sport = :{registry.PEER_PORT}' | grep -o 'pid=[0-9]*' | cut -d= -f2)\n"
        "test $pull -gt 1; test $serve -gt 1; kill -9 $pull $serve; echo killed"
    )
    expect("killed" in killed, f"nothing was killed on {host.name}")


def dead_peer(host: Host) -> None:
    """Two hosts hand on to each other, and one of them dies in the middle: the other ends alone."""
    others = [each for each in hosts() if each.name != host.name]
    if not others:
        raise Failed("this needs two hosts")
    other = others[0]
    _disk(host, 96)
    other.shell(f"mkdir -p {FOLDER}")
    _good(_publish(host, "peers"))
    urls = {each: f"http://{each.address}:{registry.PEER_PORT}" for each in (host, other)}
    certificate = host.shell(f"cat {FOLDER}/ca.pem")
    other.shell(f"cat > {FOLDER}/ca.pem << 'END'\n{certificate}\nEND")
    try:
        pulls = {
            each: each.start(
                "image_pull",
                **_pulling(
                    host,
                    "peers",
                    image=f"{host.address}:{registry.PORT}/team/disk:peers",
                    bandwidth="8M",
                    peers=list(urls.values()),
                    share={"url": urls[each], "port": registry.PEER_PORT, "token": "of the tests", "linger": 10},
                ),
            )
            for each in (host, other)
        }
        _bytes_of_partial(other, 8 << 20)
        _bytes_of_partial(host, 8 << 20)
        _kill_helpers(other)
        said, lost = answer(pulls[host]), answer(pulls[other])
        item = _good(said)
        _same(host)
        print(f"faults: images: {host.name}: peer killed: came from {json.dumps(item['job'].get('from'))}", flush=True)
        expect(bool(lost.get("failed")), "the pull of the killed host ended well")
        again = _good(
            other.run("image_pull", **_pulling(host, "peers", image=f"{host.address}:{registry.PORT}/team/disk:peers"))
        )
        _count(other, "killed host pulls again", 2, again["job"], 96 << 20)
        cache = other.shell(f"ls /var/lib/imageops/packs/{registry.PEER_PORT}", check=False)
        expect(not cache.strip(), "the cache of a killed server is left")
        wanted = host.shell(f"sha256sum {_RAW}").split()[0]
        expect(other.shell(f"sha256sum {_PULLED}").split()[0] == wanted, "the killed host holds another disk")
    finally:
        other.shell(f"rm -rf {FOLDER}")


CASES: dict[str, Callable[[Host], None]] = {
    "link cut 5 times in 256 MiB": cut(256, 5),
    "link cut 20 times in 1 GiB": cut(1024, 20),
    "link cut 5 times while 256 MiB are sent": cut_upload(256, 5),
    "link cut 20 times while 1 GiB is sent": cut_upload(1024, 20),
    "registry killed while pulling": killed_while_pulling,
    "registry killed while publishing": killed_while_publishing,
    "garbage collected while publishing": collected_while_publishing,
    "publisher killed after a pack": killed_publisher,
    "registry full": full_registry,
    "disk full while pulling": full_host,
    "a flipped bit in a pack": flipped_bit,
    "a truncated pack": truncated_blob,
    "manifest and index with other digests": wrong_manifest,
    "wrong and expired password": credentials,
    "password that expires while publishing": credentials_while_publishing,
    "tokens that end while pulling": tokens,
    f"publish racing prune, {_RACES} rounds": racing(f"dir:{FOLDER}/race/disk", "Catalog('race/disk')"),
    f"publish racing prune in a registry, {_RACES} rounds": racing(
        f"127.0.0.1:{registry.PORT}/team/race",
        f"RegistryCatalog({registry.PORT}, 'team/race', ('{registry.USER}', '{PASSWORD}'), 'ca.pem')",
        **access(),
    ),
    "a peer killed while handing on": dead_peer,
}
