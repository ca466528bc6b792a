/* Preloaded into a process (LD_PRELOAD, helpers/faults.py): the n-th operation of a kind below a folder fails
   with an error, or ends the process. A write that ends it leaves half of its bytes. */
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
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE, FSYNC, RENAME, MKDIR, CREATE, KINDS };

static char folder[PATH_MAX];
static int armed = -1, code, lasting;
static long nth;
static atomic_long counts[KINDS];

/* Counts operations below `path` from here on. The n-th of `kind` fails with errno `error`, 0 for SIGKILL; with
   `last`, all behind it too. A negative `error` is a signal that the process gets; the operation succeeds. */
void faults_arm(const char *path, int kind, long n, int error, int last) {
  strncpy(folder, path, sizeof folder - 1);
  nth = n, code = error, lasting = last, armed = kind;
  for (int k = 0; k < KINDS; k++) counts[k] = 0;
}

long faults_count(int kind) { return counts[kind]; }

static int fails(enum kind kind, const char *path) {
  if (armed < 0 || strncmp(path, folder, strlen(folder))) return 0;
  long count = ++counts[kind];
  if (kind != armed || !nth || (lasting ? count < nth : count != nth)) return 0;
  if (code < 0) return kill(getpid(), -code);
  errno = code;
  return 1;
}

static int fails_at(enum kind kind, int at, const char *path) {
  char whole[2 * PATH_MAX], link[64];
  if (armed < 0) return 0;
  if (path[0] == '/') return fails(kind, path);
  ssize_t size = 0;
  if (at == AT_FDCWD) {
    if (getcwd(whole, PATH_MAX)) size = strlen(whole);
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    size = readlink(link, whole, PATH_MAX);
  }
  if (size <= 0) return 0;
  snprintf(whole + size, sizeof whole - size, "/%s", path);
  return fails(kind, whole);
}

static int fails_on(enum kind kind, int fd) {
  char link[64], path[PATH_MAX];
  if (armed < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return fails(kind, path);
}

static int end(void) {
  if (!code) kill(getpid(), SIGKILL), pause();
  return -1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  if (!fails_on(WRITE, fd)) return real(fd, data, size);
  if (!code) real(fd, data, size / 2);
  return end();
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  REAL(pwrite);
  return fails_on(WRITE, fd) ? end() : real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  REAL(pwrite64);
  return fails_on(WRITE, fd) ? end() : real(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  return fails_on(WRITE, fd) ? end() : real(fd, parts, count);
}
int fsync(int fd) {
  REAL(fsync);
  return fails_on(FSYNC, fd) ? end() : real(fd);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  return fails_on(FSYNC, fd) ? end() : real(fd);
}
int rename(const char *from, const char *to) {
  REAL(rename);
  return fails_at(RENAME, AT_FDCWD, to) ? end() : real(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
  REAL(renameat);
  return fails_at(RENAME, b, to) ? end() : real(a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  REAL(renameat2);
  return fails_at(RENAME, b, to) ? end() : real(a, from, b, to, flags);
}
int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  return fails_at(MKDIR, AT_FDCWD, path) ? end() : real(path, mode);
}
int mkdirat(int at, const char *path, mode_t mode) {
  REAL(mkdirat);
  return fails_at(MKDIR, at, path) ? end() : real(at, path, mode);
}

#define OPEN(name, parameters, arguments, at)                                       \
  int name parameters {                                                             \
    REAL(name);                                                                     \
    mode_t mode = 0;                                                                \
    if (flags & O_CREAT) {                                                          \
      va_list rest;                                                                 \
      va_start(rest, flags), mode = va_arg(rest, mode_t), va_end(rest);             \
      if (fails_at(CREATE, at, path)) return end();                                 \
    }                                                                               \
    return real arguments;                                                          \
  }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode), at)
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode), at)
