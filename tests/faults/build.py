# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of builds and captures: the old image or the new one, no mount, loop device or file is left, and the next run converges.

The guest is a few of the host's own programs in a small file system, so that a build takes seconds.
"""

from __future__ import annotations

from typing import Any, Callable

from host import Host, answer, begun, expect

NAME = "imageops-building"
FOLDER = f"/var/lib/libvirt/images/{NAME}"
BASE, IMAGE, TREE, SMALL = f"{FOLDER}/base.raw", f"{FOLDER}/image.qcow2", f"{FOLDER}/tree", f"{FOLDER}/small"
_PORT = 8437
_BUILD = (
    "build:prepared",
    "build:while-customising",
    "build:customised",
    "build:while-writing",
    "build:before-verify",
    "build:written",
    "build:before-publish",
    "build:sbom-written",
    "build:after-publish",
)
_FETCH = ("build:fetched",)
_FROM_TREE = ("build:tree-brought", "build:tree-customised")
_CAPTURE = ("capture:while-reading", "capture:taken", "capture:generalised")
_PUBLISH = ("publish:sboms-attached",)
POINTS = (*_BUILD, *_FETCH, *_FROM_TREE, *_CAPTURE, *_PUBLISH)
_PROGRAMS = (
    "sh cat chmod chown cp cut dd echo env find grep head id install ls ln mkdir mount mv printf rm sed sort sync tail tar touch tr true umount "
    "uname unshare"
)

# A root file system of the host's programs, with a kernel, an initramfs and a boot loader that are only looked at.
_PREPARE = f"""
mkdir -m 711 {FOLDER}
mkdir -p {TREE}
for name in {_PROGRAMS}; do
    program=$(command -v $name) || continue
    case $program in /*) ;; *) program=/bin/$name ;; esac
    for file in $(readlink -f $program) $(ldd $program | grep -o '/[^ ]*'); do
        mkdir -p {TREE}/$(dirname $file)
        cp -L $file {TREE}/$file
    done
    mkdir -p {TREE}/bin
    test -e {TREE}/bin/$name || cp -L $program {TREE}/bin/$name
done
mkdir -p {TREE}/etc {TREE}/tmp {TREE}/boot {TREE}/sbin {TREE}/usr/lib/grub/i386-pc {TREE}/usr/lib/grub/x86_64-efi {TREE}/lib64
cp -L /lib64/ld-linux-x86-64.so.2 {TREE}/lib64/
echo root:x:0:0::/root:/bin/sh > {TREE}/etc/passwd
echo ID=imageops > {TREE}/etc/os-release
touch {TREE}/boot/vmlinuz-1 {TREE}/boot/initrd.img-1 {TREE}/sbin/init
for name in i386-pc x86_64-efi; do touch {TREE}/usr/lib/grub/$name/a.mod {TREE}/usr/lib/grub/$name/a.lst; done
head -c 512 /dev/zero > {TREE}/usr/lib/grub/i386-pc/boot.img
printf '#!/bin/sh\\nhead -c 2048 /dev/zero >"$4"\\n' > {TREE}/bin/grub-mkimage
printf '#!/bin/sh\\n' > {TREE}/bin/update-grub
cp {TREE}/bin/update-grub {TREE}/bin/udevadm
chmod 755 {TREE}/bin/grub-mkimage {TREE}/bin/update-grub {TREE}/bin/udevadm {TREE}/sbin/init
/usr/sbin/mke2fs -q -t ext4 -d {TREE} {BASE} 96M
echo $(sha256sum < {BASE} | cut -d' ' -f1) > {FOLDER}/digest
systemd-run -q --unit={NAME} /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory={FOLDER} {_PORT}
ssh-keygen -q -t ed25519 -N '' -C {NAME} -f {FOLDER}/key
mkdir -p -m 700 /root/.ssh
cat {FOLDER}/key.pub >> /root/.ssh/authorized_keys
sed 's/^/127.0.0.1 /' /etc/ssh/ssh_host_*_key.pub > {FOLDER}/known_hosts
losetup -f --show {BASE} > {FOLDER}/device
truncate -s 96M {SMALL}.raw
/usr/sbin/mke2fs -q -t ext4 {SMALL}.raw
mkdir {SMALL}
mount -o loop {SMALL}.raw {SMALL}
"""
_TIDY = f"""
umount {SMALL} 2>/dev/null || true
losetup -d $(cat {FOLDER}/device 2>/dev/null) 2>/dev/null || true
systemctl stop {NAME} 2>/dev/null || true
test ! -e /root/.ssh/authorized_keys || sed -i '/ {NAME}$/d' /root/.ssh/authorized_keys
rm -rf {FOLDER}
"""


def prepare(host: Host) -> None:
    tidy(host)
    host.shell(_PREPARE)


def tidy(host: Host) -> None:
    host.shell(_TIDY)


def _options(name: str, **more: Any) -> dict[str, Any]:
    """A build of the host's small guest, whose file /etc/issue says `name`."""
    steps = [{"write": {"dest": "/etc/issue", "content": f"{name}\n"}}]
    return {"path": IMAGE, "engine": "chroot", "base": {"path": BASE, "format": "raw"}, "steps": steps, **more}


def _said(host: Host) -> str:
    """What the guest in the image says, read from outside."""
    host.shell(f"qemu-img check -q -f qcow2 {IMAGE} && qemu-img convert -f qcow2 -O raw {IMAGE} {FOLDER}/seen.raw")
    return host.shell(
        f"/usr/sbin/debugfs -R 'cat /etc/issue' {FOLDER}/seen.raw 2>/dev/null; rm {FOLDER}/seen.raw"
    ).strip()


def _clean(host: Host, path: str = IMAGE) -> None:
    """No hidden file, mount, loop device or second SBOM is left."""
    left = host.shell(
        f"find {FOLDER} -name '.*imageops-partial*'; losetup -n -O BACK-FILE -a | grep '{FOLDER}/[.]' || true"
    )
    left += host.shell(f"grep '{FOLDER}/[.]' /proc/mounts || true")
    expect(left == "", f"left over: {left}")
    count = host.shell(f"ls {path}.*.spdx.json | wc -l").strip()
    expect(count == "1", f"{count} SBOMs stand beside the image")


def _done(host: Host, module: str = "image_build", **options: Any) -> dict[str, Any]:
    said = host.run(module, **options)
    expect(not said.get("failed") and not said.get("lost"), f"it failed: {said}")
    return said


def _begin(host: Host) -> None:
    """An image of an older recipe."""
    host.shell(f"rm -f {IMAGE} {IMAGE}.*")
    _done(host, **_options("old"))


def killed_at(point: str) -> Callable[[Host], None]:
    """SIGKILL of the helper at a named moment of a build that replaces an image."""

    def case(host: Host) -> None:
        _begin(host)
        said = host.run("image_build", fault=f"{point}:kill", **_options("new"))
        expect(bool(said.get("lost") or said.get("failed")), f"nothing was killed: {said}")
        wanted = "new" if point == "build:after-publish" else "old"
        expect(_said(host) == wanted, f"the image says {_said(host)}, not {wanted}")
        _converges(host)

    return case


def _converges(host: Host) -> None:
    _done(host, **_options("new"))
    expect(_said(host) == "new", "the next run did not build it")
    _clean(host)
    expect(_done(host, **_options("new"))["changed"] is False, "a further run changed something")


def killed_while_fetching(host: Host) -> None:
    """SIGKILL when the base came whole; the next run goes on with it."""
    digest = host.shell(f"cat {FOLDER}/digest").strip()
    base = {"url": f"http://127.0.0.1:{_PORT}/base.raw", "checksum": f"sha256:{digest}", "format": "raw"}
    host.shell(f"rm -f {IMAGE} {IMAGE}.*")
    options = _options("new", base=base)
    said = host.run("image_build", fault="build:fetched:kill", **options)
    expect(bool(said.get("lost") or said.get("failed")), f"nothing was killed: {said}")
    _done(host, **options)
    expect(_said(host) == "new", "the next run did not build it")
    _clean(host)


def killed_with_tree(point: str) -> Callable[[Host], None]:
    """SIGKILL while a tree of files becomes a disk."""

    def case(host: Host) -> None:
        options = _options("new", base={"directory": TREE}, engine="auto")
        host.shell(f"rm -f {IMAGE} {IMAGE}.*")
        said = host.run("image_build", fault=f"{point}:kill", **options)
        expect(bool(said.get("lost") or said.get("failed")), f"nothing was killed: {said}")
        expect(host.shell(f"ls {IMAGE} 2>/dev/null || true") == "", "half an image has the name")
        _done(host, **options)
        _clean(host)
        expect(_done(host, **options)["changed"] is False, "a further run changed something")

    return case


def killed_capture(point: str) -> Callable[[Host], None]:
    """SIGKILL of a capture over SSH; what is read stays as it was."""

    def case(host: Host) -> None:
        device = host.shell(f"cat {FOLDER}/device").strip()
        ssh = {
            "host": "127.0.0.1",
            "user": "root",
            "key": f"{FOLDER}/key",
            "known_hosts": f"{FOLDER}/known_hosts",
            "disk": device,
        }
        options = {"path": IMAGE, "engine": "chroot", "ssh": ssh}
        host.shell(f"rm -f {IMAGE} {IMAGE}.*")
        before = host.shell(f"sha256sum < {BASE}")
        said = host.run("vm_capture", fault=f"{point}:kill", **options)
        expect(bool(said.get("lost") or said.get("failed")), f"nothing was killed: {said}")
        expect(host.shell(f"ls {IMAGE} 2>/dev/null || true") == "", "half an image has the name")
        _done(host, "vm_capture", **options)
        _clean(host)
        expect(host.shell(f"sha256sum < {BASE}") == before, "the source was changed")

    return case


def killed_publish(host: Host) -> None:
    """SIGKILL when the SBOM stands beside a published image: the next run finds both."""
    _begin(host)
    options = {"image": f"dir:{FOLDER}/catalog:1", "disks": [{"path": IMAGE}]}
    said = host.run("image_publish", fault="publish:sboms-attached:kill", **options)
    expect(bool(said.get("lost") or said.get("failed")), f"nothing was killed: {said}")
    _done(host, "image_publish", **options)
    count = host.shell(f"grep -l 'artifactType.*spdx' {FOLDER}/catalog/blobs/sha256/* | wc -l").strip()
    expect(count == "1", f"{count} artifacts hold the SBOM")
    host.shell(f"rm -r {FOLDER}/catalog")


def full_disk(host: Host) -> None:
    """The folder of the image is full in the middle: one clear sentence, nothing is left, and with room the next run builds it."""
    path = f"{SMALL}/image.qcow2"
    options = {**_options("new"), "path": path, "compression": "none"}
    host.shell(f"dd if=/dev/urandom of={SMALL}/filler bs=1M count=60 status=none")
    said = host.run("image_build", **options)
    expect(bool(said.get("failed")), f"it was built without room: {said}")
    words = said.get("msg", "")
    expect("free" in words or "No space left" in words, f"no clear sentence: {words}")
    left = host.shell(f"ls -A {SMALL} | grep -v -e lost+found -e filler || true")
    expect(left == "", f"left over: {left}")
    host.shell(f"rm {SMALL}/filler")
    _done(host, **{**options, "compression": "zstd"})
    host.shell(f"rm {SMALL}/image.qcow2*")


def two_at_once(host: Host) -> None:
    """Two tasks of one recipe: one builds, the other joins it; of two recipes one is refused or waits."""
    host.shell(f"rm -f {IMAGE} {IMAGE}.*")
    running = [host.start("image_build", **_options("new")) for _number in range(2)]
    said = [answer(process) for process in running]
    expect(all(not one.get("failed") and not one.get("lost") for one in said), f"one of two failed: {said}")
    _clean(host)
    expect(_said(host) == "new", "the image is another one")


def stopped(host: Host) -> None:
    """The job is told to stop while the guest is worked on: the old image, and nothing else, is left."""
    _begin(host)
    steps = [{"run": {"script": "while :; do :; done"}}]
    process = host.start("image_build", **{**_options("new"), "steps": steps})
    unit = "systemctl list-units --no-legend --plain 'imageops-job-build-*' | cut -d' ' -f1"
    job = host.shell(
        f'for turn in $(seq 2000); do name=$({unit}); test -n "$name" && break; sleep 0.05; done; echo $name'
    ).strip()
    name = job.removeprefix("imageops-job-").removesuffix(".service")
    host.shell(begun(name))
    host.shell(f"systemctl stop {job}")
    said = answer(process)
    expect(bool(said.get("failed")), f"a stopped job built an image: {said}")
    expect(_said(host) == "old", "the old image is gone")
    _clean(host)


CASES: dict[str, Callable[[Host], None]] = {
    **{f"kill -9 at {point}": killed_at(point) for point in _BUILD},
    "kill -9 at build:fetched": killed_while_fetching,
    **{f"kill -9 at {point}": killed_with_tree(point) for point in _FROM_TREE},
    **{f"kill -9 at {point}": killed_capture(point) for point in _CAPTURE},
    "kill -9 at publish:sboms-attached": killed_publish,
    "a full disk": full_disk,
    "two at once": two_at_once,
    "stopped": stopped,
}
QUICK = ("kill -9 at build:while-customising", "kill -9 at build:sbom-written", "a full disk")
