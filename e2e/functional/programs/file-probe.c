// SPDX-License-Identifier: Apache-2.0
/*
 * What programs do with files that a shell cannot: file-probe DIRECTORY tries it there and says
 * "all is well", or what is not. It leaves DIRECTORY/probed with the attribute user.probe.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char name[] = "probed";

static void must(int holds, const char *what)
{
	if (!holds)
		err(1, "%s", what);
}

static int opened(void)
{
	int fd = open(name, O_RDWR | O_CREAT, 0644);

	must(fd >= 0, "open");
	return fd;
}

/* flock(2) is an open file's, whoever has it. */
static void whole_file_locks(void)
{
	int first = opened(), second = opened();

	must(flock(first, LOCK_EX) == 0, "flock");
	must(flock(second, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK, "flock twice");
	must(flock(first, LOCK_UN) == 0, "unlock");
	must(flock(second, LOCK_EX | LOCK_NB) == 0, "flock again");
	close(first);
	close(second);
}

/* A lock of fcntl(2) is a process's: only another one is kept out. */
static void range_locks(void)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5 };
	int fd = opened(), status;
	pid_t child;

	must(fcntl(fd, F_SETLK, &range) == 0, "lock a range");
	child = fork();
	must(child >= 0, "fork");
	if (child == 0) {
		int refused = fcntl(fd, F_SETLK, &range) < 0 && (errno == EAGAIN || errno == EACCES);

		range.l_start = 15;
		_exit(refused && fcntl(fd, F_SETLK, &range) == 0 ? 0 : 1);
	}
	must(waitpid(child, &status, 0) == child, "wait");
	errno = 0;
	must(status == 0, "ranges that two processes lock");
	close(fd);
}

static void attributes(void)
{
	char value[64], names[256];
	ssize_t length;

	must(setxattr(name, "user.probe", "first", 5, XATTR_CREATE) == 0, "set an attribute");
	must(setxattr(name, "user.probe", "x", 1, XATTR_CREATE) < 0 && errno == EEXIST, "set it twice");
	must(setxattr(name, "user.probe", "value", 5, XATTR_REPLACE) == 0, "replace an attribute");
	must(setxattr(name, "user.gone", "x", 1, 0) == 0, "set another attribute");
	must(removexattr(name, "user.gone") == 0, "remove an attribute");
	must(getxattr(name, "user.gone", value, sizeof(value)) < 0 && errno == ENODATA, "get what is gone");
	must(getxattr(name, "user.probe", value, 2) < 0 && errno == ERANGE, "get into too little");
	length = getxattr(name, "user.probe", value, sizeof(value));
	must(length == 5 && memcmp(value, "value", 5) == 0, "get an attribute");
	length = listxattr(name, names, sizeof(names));
	must(length > 0 && memmem(names, length, "user.probe", 11) != NULL, "list attributes");
}

/* What is written by one way must be read by the other. */
static void shared_mapping(void)
{
	int fd = opened();
	char *page, text[8];

	must(ftruncate(fd, 4096) == 0, "make it longer");
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(page != MAP_FAILED, "map");
	memcpy(page + 100, "mapped", 6);
	must(pread(fd, text, 6, 100) == 6 && memcmp(text, "mapped", 6) == 0, "read what was mapped");
	must(pwrite(fd, "written", 7, 200) == 7, "write");
	must(memcmp(page + 200, "written", 7) == 0, "see what was written");
	must(msync(page, 4096, MS_SYNC) == 0, "msync");
	must(munmap(page, 4096) == 0, "unmap");
	close(fd);
}

/* Of what this guest does itself: nobody tells a guest what the node does. */
static void watches(void)
{
	struct pollfd poller = { .fd = inotify_init1(IN_CLOEXEC), .events = POLLIN };
	char events[4096];

	must(poller.fd >= 0, "inotify");
	must(inotify_add_watch(poller.fd, ".", IN_CREATE | IN_DELETE) >= 0, "watch");
	must(close(open("watched", O_WRONLY | O_CREAT | O_EXCL, 0600)) == 0, "create");
	must(poll(&poller, 1, 20000) == 1, "wait for what was created");
	must(read(poller.fd, events, sizeof(events)) > 0, "read what was created");
	errno = 0;
	must(((struct inotify_event *)events)->mask == IN_CREATE, "be told of what was created");
	must(unlink("watched") == 0, "unlink");
}

/* A file that nobody can name lives as long as it is open. */
static void unlinked(void)
{
	int fd = open("unlinked", O_RDWR | O_CREAT | O_EXCL, 0600);
	char text[8];

	must(fd >= 0, "create a file to unlink");
	must(unlink("unlinked") == 0, "unlink what is open");
	must(pwrite(fd, "alive", 5, 0) == 5, "write what is unlinked");
	must(pread(fd, text, 5, 0) == 5 && memcmp(text, "alive", 5) == 0, "read what is unlinked");
	close(fd);
}

int main(int argc, char *argv[])
{
	if (argc != 2)
		errx(2, "usage: file-probe DIRECTORY");
	must(chdir(argv[1]) == 0, "enter the directory");
	whole_file_locks();
	range_locks();
	attributes();
	shared_mapping();
	watches();
	unlinked();
	puts("all is well");
	return 0;
}
