/* A disk under test, preloaded into a process: every change below the folder DISK_ROOT is written down in the file DISK_LOG,
   and fails when told to. What the log lets a power cut do is up to its reader (tests/support/disk.py).

   A record: one letter, two numbers of 8 bytes (little-endian), a length of 4 bytes, so many bytes.
     O fd 1-if-made path    W fd offset bytes    T fd size    S fd    R - old NUL new    U - path    M - text of the program */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4096
#define LONGEST 4096

enum { WRITES = 1, SYNCS = 2, OPENS = 4, TRUNCATES = 8, NAMES = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char tracked[FILES];
static const char *root;
static int logfile = -1;

static int failing;     /* which kinds fail, 0: none */
static int fail_error;
static long fail_after; /* so many matching calls succeed first */
static long fail_count; /* then so many fail; negative: all */
static long met;        /* matching calls since disk_fail */

#define REAL(result, name, ...) \
    static result (*name)(__VA_ARGS__); \
    if (!name) name = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name + 5)

static void put(const void *bytes, size_t length) {
    REAL(ssize_t, real_write, int, const void *, size_t);
    const char *at = bytes;
    while (length > 0) {
        ssize_t done = real_write(logfile, at, length);
        if (done <= 0) abort();
        at += done;
        length -= (size_t)done;
    }
}

static void note(char kind, int64_t a, int64_t b, const void *bytes, size_t length) {
    if (logfile < 0) return;
    unsigned char head[21];
    uint32_t size = (uint32_t)length;
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &a, 8);
    memcpy(head + 9, &b, 8);
    memcpy(head + 17, &size, 4);
    put(head, sizeof head);
    put(bytes, length);
}

__attribute__((constructor)) static void begin(void) {
    REAL(int, real_open64, const char *, int, ...);
    root = getenv("DISK_ROOT");
    const char *path = getenv("DISK_LOG");
    if (root && path) logfile = real_open64(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int ours(const char *path, char *whole) {
    if (!root) return 0;
    if (path[0] == '/') snprintf(whole, LONGEST, "%s", path);
    else {
        char folder[PATH_MAX];
        if (!getcwd(folder, sizeof folder)) return 0;
        if (snprintf(whole, LONGEST, "%s/%s", folder, path) >= LONGEST) return 0;
    }
    return strncmp(whole, root, strlen(root)) == 0;
}

static int is_ours(int fd) { return fd >= 0 && fd < FILES && tracked[fd]; }

static int fails(int kind) {
    if (!(failing & kind)) return 0;
    long number = met++;
    if (number < fail_after || (fail_count >= 0 && number >= fail_after + fail_count)) return 0;
    errno = fail_error;
    return 1;
}

/* -- for the program under test, by ctypes */

void disk_fail(int kinds, int error, long after, long count) {
    pthread_mutex_lock(&lock);
    failing = kinds; fail_error = error; fail_after = after; fail_count = count; met = 0;
    pthread_mutex_unlock(&lock);
}

long disk_met(void) { return met; }

void disk_mark(const char *text) {
    pthread_mutex_lock(&lock);
    note('M', 0, 0, text, strlen(text));
    pthread_mutex_unlock(&lock);
}

/* -- what is preloaded */

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    char whole[LONGEST];
    if (!ours(path, whole)) return real(path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = -1;
    int changes = (flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) != O_RDONLY;
    int made = access(whole, F_OK) != 0;
    if (fail_error == ENOSPC && !made) changes = 0; /* a full disk lets open what is there */
    if (!(changes && fails(OPENS))) {
        fd = real(path, flags, mode);
        int error = errno;
        if (fd >= 0 && fd < FILES) {
            tracked[fd] = 1;
            note('O', fd, made, whole, strlen(whole));
            if (flags & O_TRUNC) note('T', fd, 0, "", 0);
        }
        errno = error;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list more; va_start(more, flags); mode = (mode_t)va_arg(more, int); va_end(more); }

int open(const char *path, int flags, ...) {
    REAL(int, real_open, const char *, int, ...);
    MODE(flags)
    return opened(real_open, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    REAL(int, real_open64, const char *, int, ...);
    MODE(flags)
    return opened(real_open64, path, flags, mode);
}

int close(int fd) {
    REAL(int, real_close, int);
    if (is_ours(fd)) tracked[fd] = 0;
    return real_close(fd);
}

static ssize_t written(int fd, const void *bytes, size_t length, off64_t offset, int moves) {
    REAL(ssize_t, real_write, int, const void *, size_t);
    REAL(ssize_t, real_pwrite64, int, const void *, size_t, off64_t);
    if (!is_ours(fd)) return moves ? real_write(fd, bytes, length) : real_pwrite64(fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    if (moves) offset = lseek64(fd, 0, SEEK_CUR);
    int refused = fails(WRITES), error = errno;
    size_t part = !refused ? length : error == EROFS ? 0 : length / 2; /* a full disk takes the first half */
    ssize_t done = 0;
    if (part || !refused) done = moves ? real_write(fd, bytes, part) : real_pwrite64(fd, bytes, part, offset);
    if (!refused) error = errno;
    if (done > 0) note('W', fd, offset, bytes, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = error;
    return refused ? -1 : done;
}

ssize_t write(int fd, const void *bytes, size_t length) { return written(fd, bytes, length, 0, 1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return written(fd, bytes, length, offset, 0); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return written(fd, bytes, length, offset, 0); }

static int cut(int fd, off64_t size) {
    REAL(int, real_ftruncate64, int, off64_t);
    if (!is_ours(fd)) return real_ftruncate64(fd, size);
    pthread_mutex_lock(&lock);
    int done = fails(TRUNCATES) ? -1 : real_ftruncate64(fd, size);
    int error = errno;
    if (done == 0) note('T', fd, size, "", 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int synced(int (*real)(int), int fd) {
    if (!is_ours(fd)) return real(fd);
    pthread_mutex_lock(&lock);
    int done = fails(SYNCS) ? -1 : 0; /* the log is the disk: nothing need wait for the real one */
    int error = errno;
    if (done == 0) note('S', fd, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int fsync(int fd) {
    REAL(int, real_fsync, int);
    return synced(real_fsync, fd);
}

int fdatasync(int fd) {
    REAL(int, real_fdatasync, int);
    return synced(real_fdatasync, fd);
}

int rename(const char *from, const char *to) {
    REAL(int, real_rename, const char *, const char *);
    char both[2 * LONGEST], target[LONGEST];
    if (!ours(from, both) || !ours(to, target)) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int done = fails(NAMES) ? -1 : real_rename(from, to);
    int error = errno;
    if (done == 0) {
        size_t length = strlen(both) + 1;
        memcpy(both + length, target, strlen(target));
        note('R', 0, 0, both, length + strlen(target));
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int unlink(const char *path) {
    REAL(int, real_unlink, const char *);
    char whole[LONGEST];
    if (!ours(path, whole)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int done = fails(NAMES) ? -1 : real_unlink(path);
    int error = errno;
    if (done == 0) note('U', 0, 0, whole, strlen(whole));
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
