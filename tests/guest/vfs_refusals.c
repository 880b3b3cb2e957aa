/* Files and descriptors that are not what a system call needs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"
#include "texts.h"

#define OLD_SYNC_FLAGS 7u

/* A descriptor of O_PATH stands for a name alone. */
static void names(void)
{
    char byte;
    int waiting;
    struct epoll_event event = { .events = EPOLLIN };
    write_text("file", "text");
    const int named = open("file", O_PATH), set = epoll_create1(0);
    struct pollfd entry = { named, POLLIN, 0 };
    CHECK(fails_with(read(named, &byte, 1), EBADF) && fails_with(lseek(named, 0, SEEK_SET), EBADF));
    CHECK(fails_with(fchmod(named, 0600), EBADF) && fails_with(fchown(named, 0, 0), EBADF));
    CHECK(fails_with(ioctl(named, FIONREAD, &waiting), EBADF) && fails_with(fsync(named), EBADF));
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, named, &event), EBADF));
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, named, 0) == MAP_FAILED && errno == EBADF);
    CHECK(poll(&entry, 1, 0) == 1 && entry.revents == POLLNVAL);
    CHECK(fails_with(fcntl(named, F_SETFL, 0), EBADF) && fails_with(ftruncate(named, 0), EBADF));
    CHECK(close(named) == 0 && close(set) == 0);
}

static void what_names_are_for(void)
{
    char byte, link[16];
    struct stat status;
    struct statfs system;
    const int named = open("file", O_PATH);
    CHECK(fstat(named, &status) == 0 && status.st_size == 4 && fstatfs(named, &system) == 0);
    CHECK(fcntl(named, F_GETFL) & O_PATH);
    CHECK(fchownat(named, "", 0, 0, AT_EMPTY_PATH) == 0);
    CHECK(fails_with(fchownat(AT_FDCWD, "file", 0, 0, -1), EINVAL));
    const int number = dup(named);
    CHECK(number >= 0 && fails_with(read(number, &byte, 1), EBADF));
    CHECK(close(number) == 0 && close(named) == 0);
    CHECK(symlink("file", "link") == 0);
    const int linked = open("link", O_PATH | O_NOFOLLOW);
    CHECK(readlinkat(linked, "", link, sizeof link) == 4 && memcmp(link, "file", 4) == 0);
    CHECK(close(linked) == 0);
}

static void synchronizing(void)
{
    int ends[2];
    const int file = open("file", O_RDWR), zeros = open("/dev/zero", O_RDWR);
    const int stream = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(pipe(ends) == 0 && fsync(file) == 0 && fdatasync(file) == 0 && syncfs(file) == 0);
    CHECK(fails_with(fsync(ends[1]), EINVAL) && fails_with(fdatasync(zeros), EINVAL));
    CHECK(fails_with(fsync(stream), EINVAL) && fails_with(fsync(-1), EBADF));
    CHECK(sync_file_range(file, 0, 4, OLD_SYNC_FLAGS) == 0);
    CHECK(fails_with(sync_file_range(file, 0, 4, OLD_SYNC_FLAGS + 1), EINVAL));
    CHECK(fails_with(sync_file_range(file, -1, 4, 0), EINVAL));
    CHECK(fails_with(sync_file_range(ends[0], 0, 4, 0), ESPIPE));
    CHECK(readahead(file, 0, 4) == 0 && fails_with(readahead(zeros, 0, 4), EINVAL));
    CHECK(fails_with(readahead(ends[0], 0, 4), EINVAL) &&
          fails_with(readahead(ends[1], 0, 4), EBADF));
    CHECK(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) == 0);
    CHECK(posix_fadvise(ends[0], 0, 0, POSIX_FADV_RANDOM) == ESPIPE);
    CHECK(posix_fadvise(file, 0, 0, 100) == EINVAL && posix_fadvise(file, 0, -1, 0) == EINVAL);
    struct iovec vector = { "a", 1 };
    CHECK(fails_with(pwritev(ends[0], &vector, 1, 0), ESPIPE));
    close(file), close(zeros), close(stream), close(ends[0]), close(ends[1]);
}

static void arguments(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = -1 };
    const int file = open("file", O_RDONLY);
    CHECK(fails_with(fcntl(file, F_SETLK, &lock), EINVAL));
    lock.l_whence = SEEK_SET;
    CHECK(fails_with(fcntl(file, F_SETLK, &lock), EBADF)); /* not open for writing */
    lock.l_type = F_RDLCK;
    CHECK(fcntl(file, F_SETLK, &lock) == 0 && fcntl(file, F_GETLK, &lock) == 0);
    CHECK(lock.l_type == F_UNLCK && fails_with(fcntl(file, F_GETLK, &lock), EINVAL));
    lock = (struct flock){ .l_type = 17 };
    CHECK(fails_with(fcntl(file, F_SETLK, &lock), EINVAL));
    CHECK(fails_with(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, -1), EINVAL));
    CHECK(fails_with(linkat(AT_FDCWD, "/proc/cpuinfo", AT_FDCWD, "info", 0), EXDEV));
    CHECK(fails_with(linkat(AT_FDCWD, "missing", AT_FDCWD, "info", 0), ENOENT));
    CHECK(mmap(NULL, 1, PROT_READ, MAP_SHARED_VALIDATE | 1 << 9, file, 0) == MAP_FAILED &&
          errno == EOPNOTSUPP);
    CHECK(mmap(NULL, 1, PROT_READ | PROT_WRITE, 0, file, 0) == MAP_FAILED && errno == EINVAL);
    close(file);
}

/* What can be written before a wrong address is written, and a sealed file keeps its contents. */
static void contents(void)
{
    char text[8], name[64];
    const int file = open("parts", O_RDWR | O_CREAT, 0644);
    void *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct iovec parts[] = { { "ab", 2 }, { closed, 2 }, { "cd", 2 } };
    CHECK(writev(file, parts, 3) == 2 && lseek(file, 0, SEEK_CUR) == 2);
    CHECK(fails_with(writev(file, parts + 1, 2), EFAULT) && lseek(file, 0, SEEK_CUR) == 2);
    CHECK(pread(file, text, sizeof text, 0) == 2 && memcmp(text, "ab", 2) == 0);
    CHECK(munmap(closed, 4096) == 0 && close(file) == 0);
    const int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
    CHECK(write(sealed, "ab", 2) == 2 && fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", sealed);
    CHECK(fails_with(open(name, O_RDWR | O_TRUNC), EPERM));
    CHECK(pread(sealed, text, sizeof text, 0) == 2 && close(sealed) == 0);
}

/* What is made in such a directory is of its group. */
static void groups(void)
{
    struct stat status;
    CHECK(mkdir("shared", 0755) == 0 && chown("shared", 5, 7) == 0 && chmod("shared", 02755) == 0);
    write_text("shared/file", "text");
    CHECK(mkdir("shared/inner", 0755) == 0 && mkfifo("shared/fifo", 0644) == 0);
    CHECK(stat("shared/file", &status) == 0 && status.st_gid == 7 && status.st_uid == geteuid());
    CHECK(stat("shared/fifo", &status) == 0 && status.st_gid == 7);
    CHECK(stat("shared/inner", &status) == 0 && status.st_gid == 7 && (status.st_mode & S_ISGID));
}

/* Sets of epoll watch each other in so many levels at most, whichever is added first. */
static void levels(void)
{
    enum { SETS = 8, MOST = 5 };
    int sets[SETS];
    struct epoll_event event = { .events = EPOLLIN };
    for (int downwards = 0; downwards < 2; downwards++) {
        int added = 0;
        for (int i = 0; i < SETS; i++)
            sets[i] = epoll_create1(0);
        for (int i = 0; i + 1 < SETS; i++) {
            const int inner = downwards ? SETS - 2 - i : i;
            if (epoll_ctl(sets[inner + 1], EPOLL_CTL_ADD, sets[inner], &event) != 0)
                break;
            added++;
        }
        CHECK(added == MOST - 1 && (errno == ELOOP || errno == EINVAL));
        CHECK(epoll_ctl(sets[2], EPOLL_CTL_ADD, sets[2], &event) == -1);
        for (int i = 0; i < SETS; i++)
            close(sets[i]);
    }
}

int main(void)
{
    char folder[] = "/tmp/refusals-XXXXXX";
    CHECK(mkdtemp(folder) && chdir(folder) == 0);
    names();
    what_names_are_for();
    synchronizing();
    arguments();
    contents();
    groups();
    levels();
    return DONE();
}
