#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module disk_convert."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_convert
short_description: Convert disk images to another format
version_added: 0.1.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Converts disk images between raw, qcow2, VMDK, VHD, VHDX and VDI with C(qemu-img), safely and only when needed.
  - The source's format is found by the collection's own header parser, never by QEMU's probing, and an image that names
    files it was not declared to use is refused before any engine starts.
  - The new image is written under a hidden name beside O(dest), verified, given a record of what it was made from, flushed
    to disk and then renamed. O(dest) is at every moment the old image or the new one.
  - The conversion runs as a job of the host helper. It survives a lost connection, and a second run of the same task joins
    it. Its progress stands in C(/var/lib/imageops/jobs/<id>/state.json).
  - A second run changes nothing as long as source, options and O(dest) are what the record says. A source with a new
    modification time is compared by content before anything is converted again.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
options:
  disks:
    description:
      - Many conversions in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name. An item may use as O(disks[].src) what an earlier
        item makes as O(disks[].dest).
    type: list
    elements: dict
    suboptions:
      dest:
        description: Absolute path of the image to make. Its folder must exist.
        type: path
        required: true
      src: &src
        description:
          - Absolute path of the source, a regular file or a block device. It must not be in use by a running VM.
          - Or a URL, V(http://...), V(https://...), V(nbd://HOST[:PORT]/EXPORT) or V(nbd+unix:///EXPORT?socket=PATH). What
            comes is hashed and decompressed (gz, bz2, xz, zst, known by its first bytes) on its way into one hidden file beside
            O(dest), compared with O(checksum), inspected, and converted. When it is already what is asked for, that very
            file becomes O(dest). QEMU never reads from the network.
          - A broken connection goes on where it was. After a kill or too many failures the next run of the same task goes
            on with an uncompressed file, provided that the server's ETag or modification time is the same or O(checksum) is
            given; of a compressed one the download starts again.
          - With O(checksum) a second run asks no server (only for a list of checksums) and keeps an O(dest) that was made from
            a file with this checksum, whatever its URL. Without it, one HEAD request tells whether ETag, modification time and size
            are the same; a server that tells neither of the first two is asked for the file again. An NBD export doesn't tell
            whether it changed, so without O(checksum) it is read again only with O(force=true).
          - A user's name or password in the URL is refused. The query of a URL is left out of results and records.
          - Proxies are those of the environment (C(http_proxy), C(https_proxy), C(no_proxy)).
        type: path
      checksum: &checksum
        description:
          - What the published file must be, before decompression, as C(ALGORITHM:DIGEST), or C(ALGORITHM:LIST), where the list is a URL
            or an absolute path on the host. It may be the output of C(sha256sum) or of BSD's C(sha256), or one digest alone.
          - Of an NBD export it is the checksum of all its bytes.
          - "Algorithms: sha256, sha512, sha384, sha224, and the weak sha1 and md5."
          - Without it nothing proves that what came is what was published, and the task warns. A source that has no signature of a
            disk format then needs O(src_format=raw).
        type: str
      idle_timeout: &idle_timeout
        description:
          - Seconds of silence after which a connection to the server counts as broken; at least 1. A broken one is tried again, six
            times without a byte between.
        type: int
      url_username: &url_username
        description: User's name for HTTP's basic authentication. It is sent to the URL's own server only, not to where that redirects.
        type: str
      url_password: &url_password
        description: Password of O(url_username).
        type: str
      headers: &headers
        description: More request headers, such as a token. They are sent to the URL's own server only, and never logged.
        type: dict
      validate_certs: &validate_certs
        description: Whether the server's certificate must be valid and its own.
        type: bool
      ca_path: &ca_path
        description: Absolute path of a file on the host with certificates (PEM) to trust besides the system's.
        type: path
      src_format: &src_format
        description:
          - What the caller says the source is. A contradiction with the image's own header is an error.
          - By default the header decides; a file without any known signature is raw.
        type: str
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
      src_backing: &src_backing
        description:
          - Absolute paths of the files that the source's backing chain may use. Without them an overlay is only
            accepted where the collection's own record on it names its backing file.
        type: list
        elements: path
      format: &format
        description: Format of O(dest). V(vpc) is QEMU's name of V(vhd).
        type: str
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
      options: &options
        description:
          - Options of the target format. Unknown ones and values out of range are refused.
          - "raw: C(preallocation) (V(off), V(falloc), V(full))."
          - "qcow2: C(cluster_size) (bytes or a size such as 64K; default 64K), C(compression_type) (V(zlib), V(zstd);
            needs C(compress)), C(compress) (boolean), C(compat), C(lazy_refcounts), C(preallocation), C(refcount_bits),
            C(extended_l2)."
          - "vmdk: C(subformat) (V(monolithicSparse), V(streamOptimized), V(monolithicFlat), V(twoGbMaxExtentSparse),
            V(twoGbMaxExtentFlat)), C(adapter_type) (V(ide), V(lsilogic), V(buslogic), V(legacyESX)), C(hwversion) (V(3) to
            V(22); default 4), C(compat6) (boolean, hardware version 6), C(toolsversion) (a whole number), C(zeroed_grain)
            (boolean). Variants of several files have extents beside O(dest), with names that are new for each conversion,
            such as C(disk-1a2b3c4d-s001.vmdk); those of the image that is replaced are removed."
          - "vhd: C(subformat) (V(dynamic), V(fixed)), C(size_rule) (V(exact) keeps the virtual size, V(mib) rounds it up to
            whole MiB, V(chs) rounds it up as QEMU's geometry does). Azure takes V(fixed) with V(mib), Hyper-V takes both
            with V(exact) or V(mib); V(chs) is for Virtual PC, which reads the size from the geometry."
          - "vhdx: C(subformat) (V(dynamic), V(fixed)), C(block_size) (V(1M) to V(256M), a power of two, or V(0) to let QEMU
            choose), C(log_size) (whole MiB), C(block_state_zero) (boolean, default true)."
          - "vdi: C(static) (boolean)."
        type: dict
      verify: &verify
        description:
          - V(quick) reads the new image's headers and tables back with the collection's own parser.
          - V(deep) also lets C(qemu-img check) look at it where the format has checks, and compares its content with the
            source's. An O(dest) without a record is then adopted when its content is equal.
        type: str
        choices: [quick, deep]
      force: &force
        description: Replace an O(dest) that the collection did not make from O(src), or that was written to since. Never one in use.
        type: bool
      bandwidth: &bandwidth
        description: Most bytes a second that the conversion writes, as bytes or a size such as V(100M). By default there is no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the conversion. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes.
        type: int
      search_paths: &search_paths
        description: More folders whose images may be overlays of O(dest), looked at before O(dest) is replaced.
        type: list
        elements: path
      owner: &owner
        description: Owner of O(dest), a name or a number. By default root, or who runs the task.
        type: str
      group: &group
        description: Group of O(dest), a name or a number.
        type: str
      mode: &mode
        description: Permissions of O(dest) as octal text. New images get V(0640) by default.
        type: raw
  dest:
    description: Absolute path of the image to make. Its folder must exist.
    type: path
  src: *src
  checksum: *checksum
  idle_timeout:
    <<: *idle_timeout
    default: 60
  url_username: *url_username
  url_password: *url_password
  headers: *headers
  validate_certs:
    <<: *validate_certs
    default: true
  ca_path: *ca_path
  src_format: *src_format
  src_backing: *src_backing
  format:
    <<: *format
    default: qcow2
  options: *options
  verify:
    <<: *verify
    default: quick
  force:
    <<: *force
    default: false
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
  search_paths: *search_paths
  owner: *owner
  group: *group
  mode: *mode
seealso:
  - module: imageops.fleet.disk
  - module: imageops.fleet.disk_info
"""

EXAMPLES = r"""
- name: A raw image becomes a compressed qcow2 golden image
  imageops.fleet.disk_convert:
    src: /srv/images/debian-12.raw
    src_format: raw
    dest: /var/lib/libvirt/images/debian-12.qcow2
    format: qcow2
    options:
      compress: true
      compression_type: zstd

- name: A cloud image, checked against the list that its maker publishes
  imageops.fleet.disk_convert:
    src: https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2
    checksum: sha512:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS
    dest: /var/lib/libvirt/images/debian-12-cloud.qcow2

- name: A compressed raw image, unpacked and converted while it comes
  imageops.fleet.disk_convert:
    src: https://images.example.org/appliance.raw.xz
    checksum: sha256:https://images.example.org/appliance.raw.xz.sha256
    src_format: raw
    dest: /srv/images/appliance.vhdx
    format: vhdx

- name: The same image for three other platforms, compared with the source byte by byte
  imageops.fleet.disk_convert:
    src: /srv/images/debian-12.raw
    verify: deep
    disks:
      - dest: /srv/export/debian-12.vmdk
        format: vmdk
        options:
          subformat: streamOptimized
      - dest: /srv/export/debian-12.vhd
        format: vhd
        options:
          subformat: fixed
          size_rule: mib
      - dest: /srv/export/debian-12.vdi
        format: vdi
"""

RETURN = r"""
disks:
  description: One entry per conversion, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    src:
      description: Resolved path of the source, or its URL without the query.
      type: str
      returned: success
    src_format:
      description: The source's format.
      type: str
      returned: success
    dest:
      description: Path of the new image, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    format:
      description: Its format.
      type: str
      returned: success
    virtual_size:
      description: Its virtual size in bytes.
      type: int
      returned: success
    allocated_size:
      description: Bytes that it takes on disk; C((known after apply)) in check mode when it would be converted.
      type: raw
      returned: success
    options:
      description: The options it was made with.
      type: dict
      returned: success
    owner:
      description: Owner of the file.
      type: str
      returned: success
    group:
      description: Group of the file.
      type: str
      returned: success
    mode:
      description: Permissions of the file.
      type: str
      returned: success
      sample: "0640"
    changed:
      description: Whether this item was converted, or would be.
      type: bool
      returned: always
    joined:
      description: Whether a conversion that ran already was waited for.
      type: bool
      returned: when joined
    checksum:
      description: Checksum of the published file, given or computed (SHA-256).
      type: str
      returned: when the source is a URL
      sample: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    job:
      description:
        - The job that made the image, with C(id), C(launcher) (V(systemd-run) or V(setsid)), C(seconds) from start to end, C(bytes)
          and C(rate) (bytes a second, null when nothing was counted) of the phase that moved most, C(verify), and C(phases), a list
          of C(name), C(bytes), C(seconds) and C(rate).
        - "C(method) names the engine: V(qemu-img), V(reflink), V(copy), V(overlay), or V(writer), our own parallel one for
          V(streamOptimized) VMDK and qcow2 compressed with zlib. Of a writer C(encoder) names the library that compressed:
          V(ISA-L) (Debian's package C(libisal2)), V(libdeflate) (C(libdeflate0)), or Python's V(zlib) without them."
        - "From a URL also C(download): C(size), the published bytes; C(resumed), how many of them an earlier run had brought;
          C(compression), such as V(xz), empty when there was none."
      type: dict
      returned: when the image was converted in this run
    steps:
      description: What was done, or would be.
      type: list
      elements: str
      returned: success
    failed:
      description: Whether this item failed.
      type: bool
      returned: failure
    msg:
      description: Why this item failed.
      type: str
      returned: failure
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.convert_spec import CONVERT
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_convert import OPERATION


def main() -> None:
    run_module(CONVERT, OPERATION)


if __name__ == "__main__":
    main()
