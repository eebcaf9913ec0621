/*
 * Notes, for each file, how much of it a power cut would have left. Preloaded into a node, it stands before the C library's
 * fsync and fdatasync, calls them, and when they succeed appends a line "inode birth-time size" to SYNCPOINTS_FILE.
 *
 * The size is the one before the call: what is written meanwhile may or may not be covered. The birth time (ns) tells a
 * file from an earlier one whose inode it was given. A line is one write to a file opened for appending, so lines of several
 * threads and processes don't mix. The notes themselves need no fsync: they only have to outlive the processes.
 *
 * fdatasync, which LevelDB's batches wait for, takes SYNCPOINTS_DELAY_US longer, like a slow disk: the more lies between
 * written and synced when the power is cut.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int (*sync_call)(int);

static void note(const struct statx *file) {
  const char *path = getenv("SYNCPOINTS_FILE");
  int notes = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  char line[96];
  int length = snprintf(line, sizeof line, "%llu %lld%09u %llu\n", (unsigned long long)file->stx_ino,
                        (long long)file->stx_btime.tv_sec, file->stx_btime.tv_nsec, (unsigned long long)file->stx_size);
  if (notes < 0 || write(notes, line, (size_t)length) != length) abort(); /* a missing note would pass for a lost sync */
  close(notes);
}

static int noted(const char *name, int fd) {
  struct statx file;
  sync_call real = (sync_call)dlsym(RTLD_NEXT, name);
  if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_SIZE | STATX_BTIME, &file) != 0) abort();
  int result = real(fd);
  int error = errno;
  if (result == 0 && S_ISREG(file.stx_mode)) note(&file);
  errno = error;
  return result;
}

int fsync(int fd) { return noted("fsync", fd); }

int fdatasync(int fd) {
  const char *delay = getenv("SYNCPOINTS_DELAY_US");
  if (delay != NULL) usleep((useconds_t)atoi(delay));
  return noted("fdatasync", fd);
}
