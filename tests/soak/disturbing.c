/* Counts what a process changes in the file system below one folder, and disturbs one of these changes.

   Built as a shared library and preloaded (LD_PRELOAD); idle until `disturb` is called, as by ctypes. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KILL = 'k', TORN = 't', FULL = 'f', NO_ROOM_ONCE = 'n', FAILS_ONCE = 'e' };

static char below[PATH_MAX];
static int kind;
static long target;
static atomic_long changes;

/* The `n`-th change below `folder` from now on is the one to disturb; none for 0. */
void disturb(const char *folder, long n, int how) {
    kind = how;
    target = n;
    atomic_store(&changes, 0);
    snprintf(below, sizeof below, "%s", folder);
}

long changes_made(void) { return atomic_load(&changes); }

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether `name`, as it stands in `directory`, lies below the folder. */
static int is_below(int directory, const char *name) {
    char path[2 * PATH_MAX] = "", link[64];
    if (!below[0] || !name) return 0;
    if (name[0] != '/') {
        snprintf(link, sizeof link, directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, path, PATH_MAX - 1);
        if (length < 0) return 0;
        path[length] = '/';
    }
    strncat(path, name, PATH_MAX);
    size_t length = strlen(below);
    return !strncmp(path, below, length) && (path[length] == '/' || !path[length]);
}

static int is_open_below(int fd) {
    char link[64], path[PATH_MAX];
    if (!below[0] || fd <= 2) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(AT_FDCWD, path);
}

/* Counts a change: 0 if it may go on, else what it has to fail with; -1 for a write that is to be torn. */
static int fate(int takes_room) {
    long number = atomic_fetch_add(&changes, 1) + 1;
    if (target && kind == FULL && number >= target && takes_room) return ENOSPC;
    if (number != target) return 0;
    if (kind == TORN) return -1;
    if (kind == KILL) die();
    return kind == NO_ROOM_ONCE ? ENOSPC : kind == FAILS_ONCE ? EIO : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define COUNTED(is_ours, takes_room, real)             \
    do {                                               \
        int why = (is_ours) ? fate(takes_room) : 0;    \
        if (why < 0) real, die();                      \
        if (why > 0) return errno = why, -1;           \
        return real;                                   \
    } while (0)

#define OPEN(name, parameters, directory, arguments)                                        \
    int name parameters {                                                                   \
        va_list rest;                                                                       \
        va_start(rest, flags);                                                              \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;             \
        va_end(rest);                                                                       \
        int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;                    \
        COUNTED(writes && is_below(directory, path), flags &O_CREAT, REAL(name) arguments); \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), at, (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), at, (at, path, flags, mode))

#define WRITE(name, parameters, whole, half)                      \
    ssize_t name parameters {                                     \
        int why = is_open_below(fd) ? fate(1) : 0;                \
        if (why < 0) REAL(name) half, die();                      \
        if (why > 0) return errno = why, -1;                      \
        return REAL(name) whole;                                  \
    }
WRITE(write, (int fd, const void *data, size_t size), (fd, data, size), (fd, data, size / 2))
WRITE(pwrite, (int fd, const void *data, size_t size, off_t to), (fd, data, size, to), (fd, data, size / 2, to))
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t to), (fd, data, size, to), (fd, data, size / 2, to))

/* Nothing here outlives the machine: flushing would only take time. */
int fsync(int fd) { COUNTED(is_open_below(fd), 0, is_open_below(fd) ? 0 : REAL(fsync)(fd)); }
int fdatasync(int fd) { COUNTED(is_open_below(fd), 0, is_open_below(fd) ? 0 : REAL(fdatasync)(fd)); }
int ftruncate64(int fd, off64_t size) { COUNTED(is_open_below(fd), 0, REAL(ftruncate64)(fd, size)); }
int ftruncate(int fd, off_t size) { COUNTED(is_open_below(fd), 0, REAL(ftruncate)(fd, size)); }

#define ON_PATH(name, takes_room, directory, parameters, arguments) \
    int name parameters { COUNTED(is_below(directory, path), takes_room, REAL(name) arguments); }
ON_PATH(unlink, 0, AT_FDCWD, (const char *path), (path))
ON_PATH(unlinkat, 0, at, (int at, const char *path, int flags), (at, path, flags))
ON_PATH(rmdir, 0, AT_FDCWD, (const char *path), (path))
ON_PATH(mkdir, 1, AT_FDCWD, (const char *path, mode_t mode), (path, mode))
ON_PATH(mkdirat, 1, at, (int at, const char *path, mode_t mode), (at, path, mode))
ON_PATH(rename, 0, AT_FDCWD, (const char *from, const char *path), (from, path))
ON_PATH(renameat, 0, at, (int from_at, const char *from, int at, const char *path), (from_at, from, at, path))
ON_PATH(link, 1, AT_FDCWD, (const char *from, const char *path), (from, path))
ON_PATH(linkat, 1, at, (int from_at, const char *from, int at, const char *path, int flags),
        (from_at, from, at, path, flags))
