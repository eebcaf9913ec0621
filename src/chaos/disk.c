/*
 * A disk that can be made to misbehave. Preloaded into a node, it stands before the C library's fsync, fdatasync, write, pwrite, statfs and
 * unlink, and before fwrite_unlocked, by which LevelDB writes: within the C library nothing can stand.
 *
 * It notes, for each file, how much of it a power cut would leave: when a sync succeeds it appends a line "inode birth-time size" to
 * CHAOS_SYNC_NOTES. The size is the one before the call: what is written meanwhile may or may not be covered. The birth time (ns)
 * tells a file from an earlier one whose inode it was given. A line is one write to a file opened for appending, so lines of several
 * threads and processes don't mix. The notes need no fsync: they only have to outlive the processes.
 *
 * CHAOS_DISK_CONTROL names a file of numbers (`struct control`), which the rig may change at any time: what each fdatasync takes longer, us; whether
 * syncs stand still; the errno with which they fail, after they did nothing; whether the disk is full; how many bytes are free, -1 for as many as
 * there are; whether the event loop, which waits in epoll_pwait, does not come back from there; and what each KiB that a file has grown by since its
 * last sync makes an fdatasync longer, us: so much the disk takes in a second. From the free bytes, what is appended is taken off here, and what is removed
 * given back; so says statfs, and what does not fit is refused. The node has no other room: whoever believes statfs never meets the refusal.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

typedef int (*sync_call)(int);
typedef ssize_t (*write_call)(int, const void *, size_t);
typedef ssize_t (*pwrite_call)(int, const void *, size_t, off_t);

typedef size_t (*fwrite_call)(const void *, size_t, size_t, FILE *);
typedef int (*statfs_call)(const char *, struct statfs *);
typedef int (*unlink_call)(const char *);
typedef int (*epoll_call)(int, struct epoll_event *, int, int, const sigset_t *);

struct control {
  volatile unsigned sync_delay_us, stalled, sync_errno, full;
  volatile long long free_bytes;
  volatile unsigned loop_blocked, sync_us_per_kib;
};

static struct control *control(void) {
  static struct control nothing = {.free_bytes = -1};
  static struct control *mapped;
  if (mapped != NULL) return mapped;
  const char *path = getenv("CHAOS_DISK_CONTROL");
  int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  void *page =
      file < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  return mapped = page == MAP_FAILED ? &nothing : page;
}

static ssize_t written(int fd, const void *bytes, size_t size) {
  static write_call real;
  if (real == NULL) real = (write_call)dlsym(RTLD_NEXT, "write");
  return real(fd, bytes, size);
}

static void note(const struct statx *file) {
  const char *path = getenv("CHAOS_SYNC_NOTES");
  if (path == NULL) return;
  int notes = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  char line[96];
  int length = snprintf(line, sizeof line, "%llu %lld%09u %llu\n", (unsigned long long)file->stx_ino,
                        (long long)file->stx_btime.tv_sec, file->stx_btime.tv_nsec, (unsigned long long)file->stx_size);
  /* A missing note would pass for a lost sync. */
  if (notes < 0 || written(notes, line, (size_t)length) != length) abort();
  close(notes);
}

static int synced(const char *name, int fd) {
  struct statx file;
  sync_call real = (sync_call)dlsym(RTLD_NEXT, name);
  if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_SIZE | STATX_BTIME, &file) != 0) abort();
  while (control()->stalled) usleep(1000);
  if (control()->sync_errno != 0) {
    errno = (int)control()->sync_errno;
    return -1;
  }
  int result = real(fd);
  int error = errno;
  if (result == 0 && S_ISREG(file.stx_mode)) note(&file);
  errno = error;
  return result;
}

int fsync(int fd) { return synced("fsync", fd); }

/* Of files that are open: by number, which none gives up before it is closed. LevelDB's logs are replaced by new, empty ones. */
#define FILES_MAX 4096

/* What it has grown by since this was last asked of it. */
static long long grown(int fd) {
  static long long sizes[FILES_MAX];
  struct stat file;
  if (fd < 0 || fd >= FILES_MAX || fstat(fd, &file) != 0) return 0;
  long long more = file.st_size - sizes[fd];
  sizes[fd] = file.st_size;
  return more < 0 ? file.st_size : more;
}

int fdatasync(int fd) {
  /* Asked each time: what was synced while the disk was quick is not to be paid for later. */
  long long more = grown(fd);
  long long delay_us = control()->sync_delay_us + more * control()->sync_us_per_kib / 1024;
  if (delay_us > 0) usleep((useconds_t)delay_us);
  return synced("fdatasync", fd);
}

/* The node's own words (0 to 2) and what is no file of a disk get through. `more`: what it makes the file larger. */
static int refused(int fd, long long more) {
  struct stat file;
  int limited = control()->free_bytes >= 0;
  if ((!control()->full && !limited) || fd <= 2 || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) return 0;
  if (!control()->full) {
    if (__atomic_sub_fetch(&control()->free_bytes, more, __ATOMIC_SEQ_CST) >= 0) return 0;
    __atomic_add_fetch(&control()->free_bytes, more, __ATOMIC_SEQ_CST);
  }
  errno = ENOSPC;
  return 1;
}

/* Beyond its end; what stands there is written over, which needs no room. */
static long long growth(int fd, off_t end) {
  struct stat file;
  return fstat(fd, &file) != 0 || end <= file.st_size ? 0 : end - file.st_size;
}

ssize_t write(int fd, const void *bytes, size_t size) {
  return refused(fd, (long long)size) ? -1 : written(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
  static pwrite_call real;
  if (real == NULL) real = (pwrite_call)dlsym(RTLD_NEXT, "pwrite");
  return refused(fd, growth(fd, at + (off_t)size)) ? -1 : real(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) { return pwrite(fd, bytes, size, at); }

/* (In parentheses, as it may be a macro, too.) */
size_t(fwrite_unlocked)(const void *bytes, size_t size, size_t count, FILE *file) {
  static fwrite_call real;
  if (real == NULL) real = (fwrite_call)dlsym(RTLD_NEXT, "fwrite_unlocked");
  return refused(fileno(file), (long long)(size * count)) ? 0 : real(bytes, size, count, file);
}

int statfs(const char *path, struct statfs *stats) {
  static statfs_call real;
  if (real == NULL) real = (statfs_call)dlsym(RTLD_NEXT, "statfs");
  int result = real(path, stats);
  long long free_bytes = control()->free_bytes;
  if (result == 0 && free_bytes >= 0) stats->f_bfree = stats->f_bavail = (fsblkcnt_t)(free_bytes / stats->f_bsize);
  return result;
}

int statfs64(const char *path, struct statfs64 *stats) { return statfs(path, (struct statfs *)stats); }

int unlink(const char *path) {
  static unlink_call real;
  struct stat file;
  if (real == NULL) real = (unlink_call)dlsym(RTLD_NEXT, "unlink");
  int known = lstat(path, &file) == 0 && S_ISREG(file.st_mode);
  int result = real(path);
  if (result == 0 && known && control()->free_bytes >= 0)
    __atomic_add_fetch(&control()->free_bytes, file.st_size, __ATOMIC_SEQ_CST);
  return result;
}

/* As if a callback ran on and on: only the loop's thread stands still. What the kernel and other threads do goes on. */
int epoll_pwait(int fd, struct epoll_event *events, int most, int timeout, const sigset_t *signals) {
  static epoll_call real;
  if (real == NULL) real = (epoll_call)dlsym(RTLD_NEXT, "epoll_pwait");
  int result = real(fd, events, most, timeout, signals);
  int error = errno;
  while (control()->loop_blocked) usleep(1000);
  errno = error;
  return result;
}
