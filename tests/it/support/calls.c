// SPDX-License-Identifier: Apache-2.0
// A library for LD_PRELOAD that makes one call of a program fail: the n-th of all calls, over all threads, that concern files
// below the given directories. It also makes a call shorter, which no tracer can do. With no call to fail it only counts.
//
//   FAULTS_BELOW  directories, each behind a colon
//   FAULTS_LOG    a line for each call: number, call, path; and the fault where it was made
//   FAULTS_AT     the number of the call, from 1
//   FAULTS_DO     kill, after (killed after the call), term, short, or the name of an error; with a plus sign behind it, the error
//                 stays: a full disk is full for all later calls too
//
// A fault that a call cannot have is not made, and the log shows that: no "!".
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *below, *fault;
static int to_log = -1, lasting;
static long at;
static atomic_long count;

// What a call does, which decides the faults that it can have.
enum kind { OPENS = 1, WRITES = 2, READS = 4, SYNCS = 8, NAMES = 16, LOOKS = 32, LOCKS = 64 };

static const struct { const char *name; int number; int kinds; } ERRORS[] = {
	{ "ENOSPC", ENOSPC, OPENS | WRITES | SYNCS | NAMES },
	{ "EIO", EIO, OPENS | WRITES | READS | SYNCS | NAMES | LOOKS | LOCKS },
	{ "EINTR", EINTR, OPENS | WRITES | READS | LOCKS },
	{ "EROFS", EROFS, OPENS | WRITES | NAMES },
	{ "EDQUOT", EDQUOT, OPENS | WRITES | SYNCS | NAMES },
	{ "EACCES", EACCES, OPENS | NAMES | LOOKS },
	{ "ESTALE", ESTALE, OPENS | WRITES | READS | SYNCS | NAMES | LOOKS },
	{ "EMFILE", EMFILE, OPENS },
	{ "ENOMEM", ENOMEM, OPENS | NAMES | LOOKS },
	{ "ENOLCK", ENOLCK, LOCKS },
	{ "EINVAL", EINVAL, SYNCS },
};

__attribute__((constructor)) static void begin(void) {
	const char *log = getenv("FAULTS_LOG"), *number = getenv("FAULTS_AT");
	below = getenv("FAULTS_BELOW");
	fault = getenv("FAULTS_DO");
	at = number ? atol(number) : 0;
	static char word[32];
	if (fault && strlen(fault) < sizeof word) {
		strcpy(word, fault);
		char *plus = strchr(word, '+');
		if (plus) {
			*plus = 0;
			lasting = 1;
		}
		fault = word;
	}
	if (log)
		to_log = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_below(const char *path) {
	for (const char *one = below; one && *one; one = strchr(one, ':')) {
		one += *one == ':';
		size_t length = strcspn(one, ":");
		if (length && !strncmp(path, one, length) && (path[length] == '/' || !path[length]))
			return 1;
	}
	return 0;
}

static int path_of(int fd, char *path) {
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
	path[n > 0 ? n : 0] = 0;
	return n > 0;
}

// 0: the call goes on. -1: it fails with errno. 1: it is shortened. 2: the process is killed after it.
static int counts(const char *call, int kind, int fd, const char *name) {
	char path[2 * PATH_MAX] = "";
	if (!below)
		return 0;
	if (name && name[0] == '/')
		snprintf(path, sizeof path, "%s", name);
	else {
		if (fd == AT_FDCWD || !path_of(fd, path))
			return 0;
		if (name && *name) {
			size_t n = strlen(path);
			snprintf(path + n, sizeof path - n, "/%s", name);
		}
	}
	if (!is_below(path))
		return 0;
	int saved = errno, result = 0;
	long n = atomic_fetch_add(&count, 1) + 1;
	int hit = at && fault && (n == at || (lasting && n > at));
	const char *made = "";
	if (hit && !strcmp(fault, "short") && (kind & (WRITES | READS)))
		result = 1;
	else if (hit && !strcmp(fault, "after"))
		result = 2;
	else if (hit)
		for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
			if (!strcmp(fault, ERRORS[i].name) && (kind & ERRORS[i].kinds)) {
				saved = ERRORS[i].number;
				result = -1;
			}
	int signal = !hit ? 0 : !strcmp(fault, "kill") ? SIGKILL : !strcmp(fault, "term") ? SIGTERM : 0;
	if (result || signal)
		made = "! ";
	char line[2 * PATH_MAX + 100];
	int length = snprintf(line, sizeof line, "%s%ld %s %s\n", made, n, call, path);
	syscall(SYS_write, to_log, line, length);
	if (signal)
		syscall(SYS_kill, getpid(), signal);
	errno = saved;
	return result;
}

#define REAL(type, name, ...) \
	static type (*real)(__VA_ARGS__); \
	if (!real) \
		*(void **)&real = dlsym(RTLD_NEXT, name)

// After a call that is to be the last one.
#define LEAVE(now, value) \
	do { \
		if ((now) == 2) \
			syscall(SYS_kill, getpid(), SIGKILL); \
		return value; \
	} while (0)

#define OPEN(symbol) \
	int symbol(const char *path, int flags, ...) { \
		REAL(int, #symbol, const char *, int, ...); \
		va_list more; \
		va_start(more, flags); \
		int mode = va_arg(more, int); \
		va_end(more); \
		int now = counts(flags & (O_CREAT | O_WRONLY | O_RDWR) ? "create" : "open", OPENS, AT_FDCWD, path); \
		if (now < 0) \
			return -1; \
		int value = real(path, flags, mode); \
		LEAVE(now, value); \
	}
OPEN(open)
OPEN(open64)

#define CALL(type, symbol, call, kind, fd, name, parameters, arguments, failed) \
	type symbol parameters { \
		static type(*real) parameters; \
		if (!real) \
			*(void **)&real = dlsym(RTLD_NEXT, #symbol); \
		int now = counts(call, kind, fd, name); \
		if (now < 0) \
			return failed; \
		type value = real arguments; \
		LEAVE(now, value); \
	}
CALL(int, fsync, "fsync", SYNCS, fd, NULL, (int fd), (fd), -1)
CALL(int, fdatasync, "fsync", SYNCS, fd, NULL, (int fd), (fd), -1)
CALL(int, ftruncate, "truncate", WRITES, fd, NULL, (int fd, off_t n), (fd, n), -1)
CALL(int, ftruncate64, "truncate", WRITES, fd, NULL, (int fd, off64_t n), (fd, n), -1)
CALL(int, flock, "lock", LOCKS, fd, NULL, (int fd, int how), (fd, how), -1)
CALL(int, fchmod, "chmod", NAMES, fd, NULL, (int fd, mode_t mode), (fd, mode), -1)
CALL(int, mkdir, "mkdir", NAMES, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode), -1)
CALL(int, unlink, "unlink", NAMES, AT_FDCWD, path, (const char *path), (path), -1)
CALL(int, unlinkat, "unlink", NAMES, fd, path, (int fd, const char *path, int flags), (fd, path, flags), -1)
CALL(int, rename, "rename", NAMES, AT_FDCWD, to, (const char *from, const char *to), (from, to), -1)
CALL(int, renameat, "rename", NAMES, fd, to, (int old, const char *from, int fd, const char *to), (old, from, fd, to), -1)
CALL(int, renameat2, "rename", NAMES, fd, to, (int old, const char *from, int fd, const char *to, unsigned flags),
     (old, from, fd, to, flags), -1)
CALL(int, linkat, "link", NAMES, fd, to, (int old, const char *from, int fd, const char *to, int flags), (old, from, fd, to, flags), -1)
CALL(DIR *, opendir, "opendir", OPENS, AT_FDCWD, path, (const char *path), (path), NULL)
CALL(struct dirent64 *, readdir64, "readdir", LOOKS, dirfd(dir), NULL, (DIR *dir), (dir), NULL)
CALL(int, statx, "stat", LOOKS, fd, path,
     (int fd, const char *restrict path, int flags, unsigned mask, struct statx *restrict into), (fd, path, flags, mask, into), -1)
CALL(char *, realpath, "realpath", LOOKS, AT_FDCWD, path, (const char *restrict path, char *restrict into), (path, into), NULL)

// A part of the bytes is more than none and less than all.
#define PART(n) ((n) > 1 ? (n) / 2 : (n))

#define MOVE(symbol, call, kind, parameters, arguments, length) \
	ssize_t symbol parameters { \
		static ssize_t(*real) parameters; \
		if (!real) \
			*(void **)&real = dlsym(RTLD_NEXT, #symbol); \
		int now = counts(call, kind, fd, NULL); \
		if (now < 0) \
			return -1; \
		if (now == 1) \
			length = PART(length); \
		ssize_t value = real arguments; \
		LEAVE(now, value); \
	}
MOVE(write, "write", WRITES, (int fd, const void *from, size_t n), (fd, from, n), n)
MOVE(pwrite, "write", WRITES, (int fd, const void *from, size_t n, off_t where), (fd, from, n, where), n)
MOVE(pwrite64, "write", WRITES, (int fd, const void *from, size_t n, off64_t where), (fd, from, n, where), n)
MOVE(read, "read", READS, (int fd, void *to, size_t n), (fd, to, n), n)
MOVE(pread, "read", READS, (int fd, void *to, size_t n, off_t where), (fd, to, n, where), n)
MOVE(pread64, "read", READS, (int fd, void *to, size_t n, off64_t where), (fd, to, n, where), n)
MOVE(copy_file_range, "write", WRITES, (int from, off64_t *at_from, int fd, off64_t *at_fd, size_t n, unsigned flags),
     (from, at_from, fd, at_fd, n, flags), n)
MOVE(writev, "write", WRITES, (int fd, const struct iovec *all, int n), (fd, all, n), n)
