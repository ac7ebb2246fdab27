/* Fails the k-th call that changes a file under one folder.
 *
 * Preloaded into a process, it does nothing until that process calls fault_arm.  Then it counts every such call
 * and, at the k-th, returns an error or writes only half.  fault_calls tells how many there were, and
 * fault_names what they were, one letter each.  After fault_plain, renameat2 knows no flags, as on some file systems.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NEVER, EIO_ONCE, ENOSPC_FROM_THEN_ON, SHORT_ONCE, SHORT_THEN_ENOSPC };
enum { MOST = 1 << 16 };

static char folder[PATH_MAX];
static long armed_at, calls, struck;
static int kind, plain;
static char names[MOST];

void fault_arm(const char *under, long k, int what) {
    snprintf(folder, sizeof folder, "%s", under);
    armed_at = k;
    kind = what;
    calls = struck = 0;
}
void fault_disarm(void) { kind = NEVER; folder[0] = 0; }
void fault_plain(void) { plain = 1; }
long fault_calls(void) { return calls; }
long fault_struck(void) { return struck; }
const char *fault_names(void) { return names; }

static int under(const char *path) {
    size_t n = strlen(folder);
    return n && !strncmp(path, folder, n) && (path[n] == '/' || !path[n]);
}

static int fd_under(int fd) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return under(path);
}

static int at_under(int dir, const char *path) {
    if (!folder[0]) return 0;
    return path[0] == '/' ? under(path) : dir != AT_FDCWD && fd_under(dir);
}

/* Counts a call; returns the error to give, 0 for none, -1 for a short write. */
static int strike(char name) {
    long k = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (k < MOST) names[k - 1] = name;
    if (kind == EIO_ONCE && k == armed_at) { struck++; return EIO; }
    if (kind == ENOSPC_FROM_THEN_ON && k >= armed_at && strchr("wtolm", name)) { struck++; return ENOSPC; }
    if (kind == SHORT_THEN_ENOSPC && k > armed_at && strchr("wtolm", name)) { struck++; return ENOSPC; }
    if (kind >= SHORT_ONCE && k == armed_at && name == 'w') { struck++; return -1; }
    return 0;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define FAIL(inside, letter) \
    do { \
        int error_ = (inside) ? strike(letter) : 0; \
        if (error_ > 0) { errno = error_; return -1; } \
    } while (0)

#define WRITER(name, last, ...) \
    ssize_t name(int fd, const void *data, size_t n __VA_ARGS__) { \
        REAL(ssize_t, #name, int, const void *, size_t __VA_ARGS__); \
        int error = fd_under(fd) ? strike('w') : 0; \
        if (error > 0) { errno = error; return -1; } \
        if (error < 0 && n > 1) n /= 2; \
        return real last; \
    }
WRITER(write, (fd, data, n))
WRITER(pwrite, (fd, data, n, offset), , off_t offset)
WRITER(pwrite64, (fd, data, n, offset), , off64_t offset)

/* A short vector write takes only its first buffer, or half of it. */
#define VECTOR_WRITER(name, whole, part, ...) \
    ssize_t name(int fd, const struct iovec *iov, int n __VA_ARGS__) { \
        REAL(ssize_t, #name, int, const struct iovec *, int __VA_ARGS__); \
        int error = fd_under(fd) ? strike('w') : 0; \
        if (error > 0) { errno = error; return -1; } \
        if (error < 0 && n > 0) { \
            struct iovec first = {iov[0].iov_base, n > 1 ? iov[0].iov_len : iov[0].iov_len / 2}; \
            return real part; \
        } \
        return real whole; \
    }
VECTOR_WRITER(writev, (fd, iov, n), (fd, &first, 1))
VECTOR_WRITER(pwritev, (fd, iov, n, offset), (fd, &first, 1, offset), , off_t offset)
VECTOR_WRITER(pwritev64, (fd, iov, n, offset), (fd, &first, 1, offset), , off64_t offset)
VECTOR_WRITER(pwritev2, (fd, iov, n, offset, flags), (fd, &first, 1, offset, flags), , off_t offset, int flags)
VECTOR_WRITER(pwritev64v2, (fd, iov, n, offset, flags), (fd, &first, 1, offset, flags), , off64_t offset, int flags)

int fsync(int fd) { REAL(int, "fsync", int); FAIL(fd_under(fd), 's'); return real(fd); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); FAIL(fd_under(fd), 's'); return real(fd); }

int ftruncate(int fd, off_t n) { REAL(int, "ftruncate", int, off_t); FAIL(fd_under(fd), 't'); return real(fd, n); }
int ftruncate64(int fd, off64_t n) {
    REAL(int, "ftruncate64", int, off64_t);
    FAIL(fd_under(fd), 't');
    return real(fd, n);
}

int rename(const char *a, const char *b) {
    REAL(int, "rename", const char *, const char *);
    FAIL(at_under(AT_FDCWD, a) || at_under(AT_FDCWD, b), 'r');
    return real(a, b);
}
int renameat(int d, const char *a, int e, const char *b) {
    REAL(int, "renameat", int, const char *, int, const char *);
    FAIL(at_under(d, a) || at_under(e, b), 'r');
    return real(d, a, e, b);
}
int renameat2(int d, const char *a, int e, const char *b, unsigned flags) {
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    if (plain && flags) { errno = EINVAL; return -1; }
    FAIL(at_under(d, a) || at_under(e, b), 'r');
    return real(d, a, e, b, flags);
}

int unlink(const char *a) { REAL(int, "unlink", const char *); FAIL(at_under(AT_FDCWD, a), 'u'); return real(a); }
int rmdir(const char *a) { REAL(int, "rmdir", const char *); FAIL(at_under(AT_FDCWD, a), 'u'); return real(a); }
int unlinkat(int d, const char *a, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    FAIL(at_under(d, a), 'u');
    return real(d, a, flags);
}

int link(const char *a, const char *b) {
    REAL(int, "link", const char *, const char *);
    FAIL(at_under(AT_FDCWD, b), 'l');
    return real(a, b);
}
int linkat(int d, const char *a, int e, const char *b, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    FAIL(at_under(e, b), 'l');
    return real(d, a, e, b, flags);
}

int mkdir(const char *a, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    FAIL(at_under(AT_FDCWD, a), 'm');
    return real(a, mode);
}

/* Opening counts only where it makes a file. */
static int makes(int dir, const char *path, int flags) {
    return (flags & O_CREAT) && at_under(dir, path) && faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW);
}
static mode_t mode_of(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, mode_t) : 0; }
int open(const char *path, int flags, ...) {
    REAL(int, "open", const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    FAIL(makes(AT_FDCWD, path, flags), 'o');
    return real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    FAIL(makes(AT_FDCWD, path, flags), 'o');
    return real(path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...) {
    REAL(int, "openat", int, const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    FAIL(makes(dir, path, flags), 'o');
    return real(dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    FAIL(makes(dir, path, flags), 'o');
    return real(dir, path, flags, mode);
}
