/* Files in memory: contents, attributes and descriptors of temporary files. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "check.h"
#include "texts.h"

#define PAGE 4096

static void contents(void)
{
    char buffer[64] = "";
    struct stat status;
    int fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0640);
    CHECK(fd >= 0);
    CHECK(fails_with(open("file", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST));
    CHECK(write(fd, "hello", 5) == 5);
    CHECK(lseek(fd, 0, SEEK_CUR) == 5);
    CHECK(pwrite(fd, "J", 1, 0) == 1);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    CHECK(read(fd, buffer, sizeof buffer) == 5 && memcmp(buffer, "Jello", 5) == 0);
    CHECK(read(fd, buffer, sizeof buffer) == 0);
    CHECK(pread(fd, buffer, 3, 2) == 3 && memcmp(buffer, "llo", 3) == 0);
    CHECK(fails_with(pread(fd, buffer, 1, -1), EINVAL));
    CHECK(fstat(fd, &status) == 0 && status.st_size == 5 && S_ISREG(status.st_mode) &&
          (status.st_mode & 07777) == 0640);
    CHECK(status.st_nlink == 1 && status.st_ino != 0 && status.st_blksize == PAGE);
    CHECK(close(fd) == 0);
    CHECK(fails_with(close(fd), EBADF));
    fd = open("file", O_RDONLY);
    CHECK(fails_with(write(fd, "x", 1), EBADF));
    CHECK(fails_with(ftruncate(fd, 0), EINVAL));
    close(fd);
    fd = open("file", O_WRONLY | O_APPEND);
    CHECK(fails_with(read(fd, buffer, 1), EBADF));
    CHECK(write(fd, "!", 1) == 1 && lseek(fd, 0, SEEK_CUR) == 6);
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && write(fd, "?", 1) == 1);
    close(fd);
    CHECK(has_text("file", "Jello!?"));
    close(open("file", O_WRONLY | O_TRUNC));
    CHECK(stat("file", &status) == 0 && status.st_size == 0);
    CHECK(fails_with(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR));
    CHECK(fails_with(open("file/", O_RDONLY), ENOTDIR));
    CHECK(fails_with(open("file/below", O_RDONLY), ENOTDIR));
    CHECK(fails_with(open("nothing", O_RDONLY), ENOENT));
    CHECK(fails_with(open("nothing/below", O_RDWR | O_CREAT, 0600), ENOENT));
    CHECK(fails_with(open("made/", O_RDWR | O_CREAT, 0600), EISDIR));
    CHECK(fails_with(open("", O_RDONLY), ENOENT));
    CHECK(unlink("file") == 0 && fails_with(unlink("file"), ENOENT));
}

static bool reads_as_zeros(int fd, size_t length, off_t offset)
{
    static char buffer[3 * PAGE];
    CHECK(pread(fd, buffer, length, offset) == (ssize_t)length);
    for (size_t i = 0; i < length; i++)
        if (buffer[i])
            return false;
    return true;
}

static void large_hole(int fd)
{
    struct stat status;
    CHECK(ftruncate(fd, 1ll << 33) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_size == 1ll << 33);
    CHECK(reads_as_zeros(fd, 3 * PAGE, 1ll << 32));
    CHECK(ftruncate(fd, 0) == 0);
}

/* What was cut off does not come back. */
static void cut_off_file(int fd)
{
    static char buffer[2 * PAGE];
    memset(buffer, 'x', sizeof buffer);
    CHECK(pwrite(fd, buffer, PAGE + 10, 100) == PAGE + 10);
    CHECK(pread(fd, buffer, 100, 0) == 100 && buffer[0] == 0 && buffer[99] == 0);
    CHECK(ftruncate(fd, 200) == 0 && ftruncate(fd, 2 * PAGE) == 0);
    CHECK(pread(fd, buffer, 2 * PAGE, 0) == 2 * PAGE);
    CHECK(buffer[199] == 'x' && buffer[200] == 0 && buffer[PAGE + 1] == 0);
}

/* The file has two pages. */
static void writing_past_the_end(int fd)
{
    char byte;
    struct stat status;
    CHECK(lseek(fd, -1, SEEK_END) == 2 * PAGE - 1 && fails_with(lseek(fd, -1, SEEK_SET), EINVAL));
    CHECK(lseek(fd, 5 * PAGE, SEEK_SET) == 5 * PAGE && read(fd, &byte, 1) == 0);
    CHECK(write(fd, "end", 3) == 3 && fstat(fd, &status) == 0 && status.st_size == 5 * PAGE + 3);
}

static void holes(void)
{
    struct stat status;
    int fd = open("holes", O_RDWR | O_CREAT, 0600);
    large_hole(fd);
    cut_off_file(fd);
    writing_past_the_end(fd);
    CHECK(posix_fallocate(fd, 0, 7 * PAGE) == 0 && fstat(fd, &status) == 0 &&
          status.st_size == 7 * PAGE);
    CHECK(fails_with(ftruncate(fd, -1), EINVAL) &&
          fails_with(fallocate(fd, FALLOC_FL_KEEP_SIZE, PAGE, INT64_MAX - 100), EFBIG));
    close(fd);
    CHECK(truncate("holes", 1) == 0 && stat("holes", &status) == 0 && status.st_size == 1);
    unlink("holes");
}

static void vectors(void)
{
    char left[4] = "", right[8] = "";
    const struct iovec out[3] = { { "one", 3 }, { NULL, 0 }, { "three", 5 } },
                       in[2] = { { left, 3 }, { right, 8 } };
    int fd = open("vectors", O_RDWR | O_CREAT, 0600);
    CHECK(writev(fd, out, 3) == 8);
    CHECK(preadv(fd, in, 2, 0) == 8 && strcmp(left, "one") == 0 && memcmp(right, "three", 5) == 0);
    CHECK(pwritev(fd, out, 3, 4) == 8);
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && readv(fd, in, 2) == 11);
    const struct iovec negative[2] = { { left, 3 }, { right, (size_t)-1 } };
    CHECK(fails_with(syscall(SYS_readv, fd, in, -1l), EINVAL) &&
          fails_with(preadv(fd, negative, 2, 0), EINVAL) &&
          fails_with(writev(fd, negative, 2), EINVAL));
    CHECK(read(fd, NULL, 0) == 0);
    CHECK(fails_with(read(3000, left, 1), EBADF));
    close(fd);
    unlink("vectors");
}

static void flags_of_openat2(void)
{
    struct open_how how = { .flags = O_RDWR | O_CREAT, .mode = 0600 };
    const int fd = (int)syscall(SYS_openat2, AT_FDCWD, "strict", &how, sizeof how);
    CHECK(fd >= 0 && close(fd) == 0 && unlink("strict") == 0);
    how.flags = O_RDONLY;
    CHECK(fails_with(syscall(SYS_openat2, AT_FDCWD, "none", &how, sizeof how), EINVAL)); /* mode */
    how = (struct open_how){ .flags = 1u << 30 };
    CHECK(fails_with(syscall(SYS_openat2, AT_FDCWD, "none", &how, sizeof how), EINVAL));
}

static void nameless(void)
{
    char buffer[16] = "", path[64];
    struct stat status;
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 && write(fd, "hidden", 6) == 6 && fstat(fd, &status) == 0 &&
          status.st_nlink == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY);
    CHECK(again >= 0 && read(again, buffer, 16) == 6 && strcmp(buffer, "hidden") == 0);
    close(again);
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0 &&
          has_text("named", "hidden"));
    close(fd);
    unlink("named");
    CHECK(fails_with(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL));
    fd = memfd_create("memory", MFD_CLOEXEC);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && ftruncate(fd, 3 * PAGE) == 0);
    CHECK(pwrite(fd, "mapped", 6, PAGE) == 6);
    char *map = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED && memcmp(map + PAGE, "mapped", 6) == 0 && map[0] == 0);
    munmap(map, 3 * PAGE);
    close(fd);
}

static void modes_and_times(int fd)
{
    struct stat status;
    const struct timespec times[2] = { { 1000, 5 }, { 2000, 7 } };
    CHECK(chmod("file", 0751) == 0 && stat("file", &status) == 0 &&
          (status.st_mode & 07777) == 0751);
    CHECK(utimensat(AT_FDCWD, "file", times, 0) == 0 && stat("file", &status) == 0);
    CHECK(status.st_atim.tv_sec == 1000 && status.st_atim.tv_nsec == 5 &&
          status.st_mtim.tv_sec == 2000 && status.st_mtim.tv_nsec == 7);
    CHECK(fchmod(fd, 0600) == 0 &&
          futimens(fd, (struct timespec[2]){ { 0, UTIME_OMIT }, { 0, UTIME_NOW } }) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_atim.tv_sec == 1000 &&
          status.st_mtim.tv_sec > 2000 && (status.st_mode & 07777) == 0600);
}

/* The calls before utimensat(2), which libraries do not use any more. */
static void times_by_older_calls(int fd)
{
    struct stat status;
    const int64_t seconds[2] = { 3000, 4000 }, micro[4] = { 5000, 6, 7000, 8 },
                  bad[4] = { 0, 1000000, 0, 0 };
    CHECK(syscall(SYS_utime, "file", seconds) == 0 && fstat(fd, &status) == 0 &&
          status.st_atim.tv_sec == 3000 && status.st_mtim.tv_sec == 4000);
    CHECK(syscall(SYS_utimes, "file", micro) == 0 && fstat(fd, &status) == 0 &&
          status.st_atim.tv_nsec == 6000 && status.st_mtim.tv_sec == 7000 &&
          status.st_mtim.tv_nsec == 8000);
    CHECK(fails_with(syscall(SYS_futimesat, AT_FDCWD, "file", bad), EINVAL) &&
          syscall(SYS_futimesat, AT_FDCWD, "file", NULL) == 0 && fstat(fd, &status) == 0 &&
          status.st_mtim.tv_sec > 7000);
}

static void times_without_a_path(int fd)
{
    struct stat status;
    const struct timespec times[2] = { { 1000, 5 }, { 2000, 7 } };
    CHECK(utimensat(fd, "", times, AT_EMPTY_PATH) == 0 && fstat(fd, &status) == 0 &&
          status.st_mtim.tv_sec == 2000);
    CHECK(utimensat(fd, "", times, 0) == -1 && errno == ENOENT);
}

static void extended_status(int fd)
{
    struct stat status;
    struct statx extended;
    CHECK(fstat(fd, &status) == 0);
    CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &extended) == 0 &&
          extended.stx_size == 4 && extended.stx_ino == status.st_ino);
    CHECK(fails_with(statx(fd, "", AT_EMPTY_PATH, STATX__RESERVED, &extended), EINVAL) &&
          fails_with(statx(fd, "", 1 << 30, STATX_BASIC_STATS, &extended), EINVAL));
    CHECK(extended.stx_mode == status.st_mode &&
          extended.stx_mtime.tv_sec == status.st_mtim.tv_sec);
}

static bool belongs_to(const char *path, uid_t user, gid_t group)
{
    struct stat status;
    return lstat(path, &status) == 0 && status.st_uid == user && status.st_gid == group;
}

static void owners(int fd)
{
    struct stat status;
    const uid_t same = (uid_t)-1;
    CHECK(belongs_to("file", 0, 0) && chown("file", 1000, 100) == 0 && fchown(fd, same, 200) == 0);
    CHECK(belongs_to("file", 1000, 200) && fchmod(fd, 06711) == 0 && fchown(fd, 7, same) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_uid == 7 && (status.st_mode & 07777) == 0711);
    CHECK(fchownat(fd, "", 0, 0, AT_EMPTY_PATH) == 0 && belongs_to("file", 0, 0));
    CHECK(fails_with(chown("no", 0, 0), ENOENT) && fchmod(fd, 0644) == 0);
}

static void owners_of_links(void)
{
    CHECK(chown("file", 7, 200) == 0);
    CHECK(symlink("file", "owned") == 0 && lchown("owned", 8, 9) == 0);
    CHECK(belongs_to("owned", 8, 9) && belongs_to("file", 7, 200));
    CHECK(fchownat(AT_FDCWD, "owned", 0, 0, 0) == 0 && belongs_to("file", 0, 0));
    CHECK(unlink("owned") == 0);
}

/* It succeeds and changes nothing. */
static void advice(int fd)
{
    CHECK(fsync(fd) == 0 && fdatasync(fd) == 0 &&
          posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) == 0);
}

static void permissions(void)
{
    CHECK(access("file", R_OK | W_OK) == 0 && fails_with(access("file", X_OK), EACCES) &&
          fails_with(access("no", F_OK), ENOENT));
}

static void file_system_status(void)
{
    struct statfs system;
    CHECK(statfs(".", &system) == 0 && system.f_bsize > 0 && system.f_bavail > 0 &&
          system.f_namelen == 255);
}

static void mode_mask(void)
{
    struct stat status;
    mode_t mask = umask(077);
    close(open("masked", O_WRONLY | O_CREAT, 0666));
    CHECK(stat("masked", &status) == 0 && (status.st_mode & 0777) == 0600 && umask(mask) == 077);
    unlink("masked");
}

static void attributes(void)
{
    write_text("file", "text");
    int fd = open("file", O_RDWR);
    modes_and_times(fd);
    times_by_older_calls(fd);
    times_without_a_path(fd);
    extended_status(fd);
    owners(fd);
    owners_of_links();
    advice(fd);
    close(fd);
    permissions();
    file_system_status();
    mode_mask();
    unlink("file");
}

static void copying(void)
{
    static char data[200000], back[200000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31 + i / 777);
    int from = open("from", O_RDWR | O_CREAT, 0600), to = open("to", O_RDWR | O_CREAT, 0600);
    CHECK(write(from, data, sizeof data) == sizeof data && lseek(from, 0, SEEK_SET) == 0);
    CHECK(sendfile(to, from, NULL, sizeof data + 10) == sizeof data);
    CHECK(pread(to, back, sizeof back, 0) == sizeof back && memcmp(data, back, sizeof back) == 0);
    off_t offset = 1000;
    CHECK(sendfile(to, from, &offset, 5) == 5 && offset == 1005 &&
          lseek(from, 0, SEEK_CUR) == sizeof data);
    loff_t source = 10, target = 0;
    CHECK(copy_file_range(from, &source, to, &target, 100, 0) == 100 && source == 110 &&
          target == 100);
    CHECK(pread(to, back, 100, 0) == 100 && memcmp(data + 10, back, 100) == 0);
    CHECK(fails_with(sendfile(to, 999, NULL, 1), EBADF));
    close(from);
    close(to);
    unlink("from");
    unlink("to");
}

/* Leaves the copy at 50 and the one at `far`, 100 or more. */
static void copied_descriptors(int fd, int copy, int far)
{
    CHECK(copy >= 0 && far >= 100 && fcntl(far, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFD) == 0);
    CHECK(write(fd, "shared", 6) == 6 && lseek(copy, 0, SEEK_CUR) == 6);
    CHECK(dup2(fd, 50) == 50 && dup2(fd, fd) == fd && fails_with(dup2(999, 51), EBADF) &&
          fails_with(dup3(fd, fd, 0), EINVAL));
}

static void descriptor_flags(int fd, int copy)
{
    int flag = 1;
    CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && fcntl(fd, F_SETFL, O_APPEND) == 0 &&
          (fcntl(copy, F_GETFL) & O_APPEND));
    CHECK(fails_with(fcntl(fd, F_DUPFD, 100000), EINVAL) && fails_with(fcntl(77, F_GETFD), EBADF));
    CHECK(syscall(SYS_ioctl, fd, TCGETS, &flag) == -1 && errno == ENOTTY && !isatty(1));
}

static void locks(int fd, int copy)
{
    struct flock lock = { .l_type = F_WRLCK };
    CHECK(fcntl(fd, F_SETLK, &lock) == 0 && fcntl(copy, F_GETLK, &lock) == 0 &&
          lock.l_type == F_UNLCK);
}

static void every_descriptor(int fd)
{
    int count = 0;
    while (count < 2000 && dup(fd) >= 0)
        count++;
    CHECK(errno == EMFILE && count > 900);
}

static void descriptors(void)
{
    int fd = open("file", O_RDWR | O_CREAT, 0600), copy = dup(fd),
        far = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    copied_descriptors(fd, copy, far);
    descriptor_flags(fd, copy);
    locks(fd, copy);
    CHECK(close_range(50, 200, 0) == 0 && fails_with(fcntl(far, F_GETFD), EBADF));
    every_descriptor(fd);
    CHECK(close_range(copy, ~0u, 0) == 0);
    close(fd);
    unlink("file");
}

int main(void)
{
    char directory[] = "/tmp/vfs-XXXXXX";
    CHECK(mkdtemp(directory) && chdir(directory) == 0);
    contents();
    holes();
    vectors();
    flags_of_openat2();
    nameless();
    attributes();
    copying();
    descriptors();
    CHECK(chdir("/") == 0 && rmdir(directory) == 0);
    return DONE();
}
