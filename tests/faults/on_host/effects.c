/*
 * Copyright (c) 2026, the imageops.fleet developers
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Kills libvirtd at its Nth effect: a fault that shows at one moment only can be had again.
 *
 * Preloaded into libvirtd, it sees what libvirtd tells QEMU and hears from it (writes to and reads from QEMU's monitor), and how it
 * changes its files of VMs and snapshots (new content is renamed to their names; they are unlinked). In the folder named by
 * IMAGEOPS_EFFECTS file "left" holds, as an int, how many effects libvirtd may still have: the one that makes it 0 is its last.
 * While it is 0, nothing happens. Each effect is told as a line of file "told".
 *
 * It is compiled on one machine and loaded on another, so it calls nothing that newer libraries have under another version
 * (reading numbers from text, for instance).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST_DESCRIPTORS 65536
#define LONGEST_TEXT 200

static char left_path[PATH_MAX], told_path[PATH_MAX];
static pid_t libvirtd;
static bool is_monitor[MOST_DESCRIPTORS];

/* The function that ours stands before. Looked up when it is first needed: other libraries begin before this one does. */
#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) \
        next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *folder = getenv("IMAGEOPS_EFFECTS");

    /* What libvirtd starts, QEMU above all, goes without this library. */
    unsetenv("LD_PRELOAD");
    if (!folder)
        return;
    snprintf(left_path, sizeof left_path, "%s/left", folder);
    snprintf(told_path, sizeof told_path, "%s/told", folder);
    libvirtd = getpid();
}

static void tell(const char *kind, const char *text, size_t length)
{
    char line[LONGEST_TEXT];
    size_t used = length < sizeof line ? length : sizeof line;
    int fd = open(told_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0)
        return;
    for (size_t at = 0; at < used; at++)
        line[at] = text[at] == '\n' || text[at] == '\r' ? ' ' : text[at];
    dprintf(fd, "%s %.*s\n", kind, (int)used, line);
    close(fd);
}

/* The lock keeps effects of several threads, and whoever writes the file, one after another. */
static void effect(const char *kind, const char *text, size_t length)
{
    int left = 0, kept = errno, fd;

    /* A child of libvirtd that isn't another program yet is not meant. */
    if (!libvirtd || getpid() != libvirtd)
        return;
    fd = open(left_path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        if (flock(fd, LOCK_EX) == 0 && pread(fd, &left, sizeof left, 0) == sizeof left && left > 0) {
            left--;
            tell(kind, text, length);
            if (pwrite(fd, &left, sizeof left, 0) != sizeof left || left == 0)
                kill(libvirtd, SIGKILL);
        }
        close(fd);
    }
    errno = kept;
}

static bool is_known(int fd)
{
    return fd >= 0 && fd < MOST_DESCRIPTORS && is_monitor[fd];
}

static void file_effect(const char *kind, const char *path)
{
    if (strstr(path, "/libvirt/qemu/"))
        effect(kind, path, strlen(path));
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    NEXT(connect);
    int result = next(fd, address, length);

    if (result == 0 && fd < MOST_DESCRIPTORS && address->sa_family == AF_UNIX)
        is_monitor[fd] = strstr(((const struct sockaddr_un *)address)->sun_path, "monitor.sock") != NULL;
    return result;
}

int close(int fd)
{
    NEXT(close);

    if (is_known(fd))
        is_monitor[fd] = false;
    return next(fd);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    NEXT(write);

    if (is_known(fd))
        effect("write", bytes, length);
    return next(fd, bytes, length);
}

/* A command that comes with a file descriptor. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NEXT(sendmsg);

    if (is_known(fd))
        effect("write", message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return next(fd, message, flags);
}

ssize_t read(int fd, void *bytes, size_t length)
{
    NEXT(read);
    ssize_t got = next(fd, bytes, length);

    if (got > 0 && is_known(fd))
        effect("read", bytes, got);
    return got;
}

/* What a hardened program calls in place of read. */
ssize_t __read_chk(int fd, void *bytes, size_t length, size_t size)
{
    if (length > size)
        abort();
    return read(fd, bytes, length);
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    int result;

    file_effect("rename", to);
    result = next(from, to);
    if (result == 0)
        file_effect("renamed", to);
    return result;
}

int unlink(const char *path)
{
    NEXT(unlink);

    file_effect("unlink", path);
    return next(path);
}
