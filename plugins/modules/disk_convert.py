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
  - Converts disk images between raw, qcow2, LUKS, VMDK, VHD, VHDX and VDI, safely and only when needed. QED is read too.
  - The source's format is found by the collection's own header parser, never by QEMU's probing, and an image that names
    files it was not declared to use is refused before any engine starts.
  - The new image is written under a hidden name beside O(dest), verified, given a record of what it was made from, flushed
    to disk and then renamed. O(dest) is at every moment the old image or the new one. A block device can't be renamed; see
    the notes.
  - What was inspected is what is converted. The engine gets the very files that the parser read, the whole chain of them, and
    follows no name that stands in a header. Only VMDK images of several files are opened by their names. That a file of the
    source has changed, or another has taken its name, is found before O(dest) is replaced.
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
  - For C(nbd) URLs libnbd's Python library C(nbd) (C(python3-libnbd)), for URLs of zst files C(zstandard) (C(python3-zstandard))
  - The collection's own writers read other formats than raw through C(qemu-nbd) (in C(qemu-utils)) and C(nbd), and compress
    zlib faster with C(isal) (C(python3-isal)) and C(libdeflate) (C(libdeflate0)). Without C(qemu-nbd) or C(nbd), and for zstd
    without C(libzstd1), QEMU's writer is used, which RV(disks[].job) tells.
options:
  disks:
    description:
      - Many conversions in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name. An item may use as O(disks[].src) what an earlier
        item makes as O(disks[].dest).
      - A file that an item reads can't be replaced by a later one; that takes two tasks.
    type: list
    elements: dict
    suboptions:
      dest:
        description:
          - Absolute path of the image to make. Its folder must exist.
          - Or of a block device for O(disks[].format=raw) or V(qcow2), such as a disk, a partition or a plain logical volume. It must
            be large enough and neither mounted nor held by another device. It is only written to when it is blank, when the
            collection wrote what is there and nothing wrote to it since, or with O(disks[].force=true). What lies behind
            the end of a smaller disk stays. Volumes of LVM thin pools, ZFS and Ceph RBD are refused.
        type: path
        required: true
      src: &src
        description:
          - Absolute path of the source, a regular file or a block device. It must not be in use by a running VM. Volumes of LVM thin
            pools, ZFS and Ceph RBD are refused.
          - Or a URL, V(http://...), V(https://...), V(nbd://HOST[:PORT]/EXPORT), V(nbds://HOST[:PORT]/EXPORT) (with TLS) or
            V(nbd+unix:///EXPORT?socket=PATH). What comes is hashed and decompressed (gz, bz2, xz, zst, known by its first
            bytes) on its way into one hidden file beside O(dest), compared with O(checksum), inspected, and converted. When
            it is already what is asked for, that very file becomes O(dest). QEMU never reads from the network.
          - A broken connection goes on where it was. After a kill or too many failures the next run of the same task goes
            on with an uncompressed file, provided that the server's ETag or modification time is the same or O(checksum) is
            given; of a compressed one the download starts again. What came whole is kept, too, when it proves an option wrong, such
            as O(src_passphrase), so that a run with the right ones asks for nothing again.
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
          - Of an NBD export it is the checksum of all its bytes, of a path that of this very file. The job reads such a file once more
            and compares before it converts; check mode doesn't. A run that changes nothing doesn't read it again.
          - "Algorithms: sha256, sha512, sha384, sha224, and the weak sha1 and md5."
          - Without it nothing proves that what came from a URL is what was published, and the task warns. A source with a URL that has no
            signature of a disk format then needs O(src_format=raw).
        type: str
      idle_timeout: &idle_timeout
        description:
          - Seconds of silence after which a connection to the server counts as broken; V(1) to V(86400). A broken one is tried again,
            six times without a byte between.
        type: int
      url_username: &url_username
        description: >-
          User's name for HTTP's basic authentication. It is sent to the URL's own server only, not to where that redirects. Like
          O(url_password) and O(headers) refused where the source is a path.
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
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi, qed, luks]
      src_backing: &src_backing
        description:
          - Absolute paths of the other files that the source may use. These are the files below it, and the data file of a
            qcow2 image or the extents of a VMDK image. Without them an overlay is only accepted where the collection's
            own record on it names its backing file.
        type: list
        elements: path
      src_passphrase: &src_passphrase
        description:
          - Passphrase of an encrypted source, and of the encrypted files below it. Refused where none of them is encrypted.
          - QEMU gets it in memory. It is in no file, no argument list, no log, no record and no result.
        type: str
      format: &format
        description: Format of O(dest). V(vpc) is QEMU's name of V(vhd). V(luks) is a raw disk encrypted with LUKS version 1.
        type: str
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi, luks]
      options: &options
        description:
          - Options of the target format. Unknown ones and values out of range are refused.
          - "raw: C(preallocation) (V(off), V(falloc), V(full))."
          - "qcow2: C(cluster_size) (bytes or a size such as 64K; default 64K), C(compress) (boolean; default false, true
            with C(compression_type)), C(compression_type) (V(zlib), V(zstd); with C(compress) it is V(zstd) unless C(compat)
            is V(0.10), which has only V(zlib)), C(compat), C(lazy_refcounts), C(preallocation), C(refcount_bits),
            C(extended_l2). Compression uses all processors. A compressed image can't be encrypted or preallocated."
          - "luks, and qcow2 with O(passphrase): C(cipher_alg) (V(aes-256), V(aes-128), V(serpent-256), V(twofish-256); default
            V(aes-256)), C(cipher_mode) (V(xts), V(cbc); default V(xts)), C(hash_alg) (V(sha256), V(sha512), V(sha1); default
            V(sha256)), C(ivgen_alg) (V(plain64), V(plain), V(essiv); default V(plain64)), C(iter_time) (milliseconds that
            one try of a passphrase shall take, V(10) to V(600000); default V(2000))."
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
      passphrase: &passphrase
        description:
          - Passphrase that O(dest) is encrypted with. Required for O(format=luks), allowed for O(format=qcow2), which gets a LUKS
            header by it.
          - It is treated as O(src_passphrase). A second run with another passphrase keeps O(dest), since the record doesn't hold it;
            O(verify=deep) finds that it doesn't open O(dest), and fails.
        type: str
      method: &method
        description:
          - V(auto) shares the source's blocks (a reflink, in milliseconds) or lets a file server copy them where source and O(dest)
            are the same format, raw or qcow2, with the same options and the file system can do it. Otherwise it takes the faster
            of C(qemu-img) and the collection's own writers. The content is the same in any case.
          - V(qemu-img) always converts with C(qemu-img).
          - V(reflink) shares blocks, and fails where that can't be done. That formats and options differ is told in check mode too.
          - V(overlay) makes a new qcow2 file that holds nothing and rests on the source, which must not change any more.
        type: str
        choices: [auto, qemu-img, reflink, overlay]
      sparse_size: &sparse_size
        description:
          - Length of runs of zeros that become holes, as bytes or a size such as V(64K), a multiple of 512 bytes up to 1 GiB. V(0) writes all
            zeros. By default QEMU's V(4K).
        type: str
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
        description: More folders whose images may be overlays of O(dest), looked at before O(dest) is replaced. Each must exist.
        type: list
        elements: path
      owner: &owner
        description: Owner of O(dest), a name or a number. By default root, or who runs the task. Not for block devices.
        type: str
      group: &group
        description: Group of O(dest), a name or a number. Not for block devices.
        type: str
      mode: &mode
        description: Permissions of O(dest) as octal text. New images get V(0640) by default. Not for block devices.
        type: raw
  dest:
    description: Absolute path of the image to make, or of a block device, as O(disks[].dest).
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
  src_passphrase: *src_passphrase
  format:
    <<: *format
    default: qcow2
  options: *options
  passphrase: *passphrase
  method:
    <<: *method
    default: auto
  sparse_size: *sparse_size
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
notes:
  - A block device as O(dest) is written in place. Before the first byte it is marked as unfinished in
    C(/var/lib/imageops/devices), and after the last one the mark tells what is on it. A run that was interrupted leaves
    a device that is neither old nor new, and the next run of the same task writes it again without O(force).
  - Whether something else wrote to the device is known from the kernel's counters, until the host boots again. What another host
    writes to a shared device they don't tell. After a boot a device with content counts as a stranger's, which
    O(verify=deep) adopts when its content is right.
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

- name: An encrypted image, and its plain disk on a block device
  imageops.fleet.disk_convert:
    disks:
      - src: /srv/images/debian-12.raw
        src_format: raw
        dest: /srv/export/debian-12.luks
        format: luks
        passphrase: "{{ vault_disk_passphrase }}"
      - src: /srv/images/debian-12.qcow2
        dest: /dev/disk/by-id/scsi-36001405a1b2c3d4e5f60718293a4b5c6
        format: raw

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
      description: Its virtual size in bytes; C((known after apply)) in check mode when it would be made from a URL.
      type: raw
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
      description: Checksum of the published file, given or computed (SHA-256); of a path the given one.
      type: str
      returned: when the source is a URL, or a checksum is given
      sample: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    job:
      description:
        - The job that made the image, with C(id), C(launcher) (V(systemd-run), V(setsid), or V(none) for a reflink, which is made
          at once), C(seconds) from start to end, C(bytes) and C(rate) (bytes a second, null when nothing was counted) of the
          phase that moved most, C(verify), and C(phases), a list of C(name), C(bytes), C(seconds) and C(rate).
        - "C(method) names the engine: V(qemu-img), V(reflink), V(copy), V(overlay), V(download) for a file from a URL
          that was what is asked for, or V(writer), our own parallel one for V(monolithicSparse) and V(streamOptimized) VMDK and compressed qcow2.
          Of one that compresses C(encoder) names the library:
          V(libzstd) for zstd; V(ISA-L) (Debian's package C(python3-isal)), V(libdeflate) (C(libdeflate0)), or Python's V(zlib) without them."
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
