/* Files in memory: what programs do with temporary files. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096

static bool fails_with(long result, int number)
{
    return result == -1 && errno == number;
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(close(fd) == 0);
}

static bool has_text(const char *path, const char *text)
{
    char buffer[256];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    if (fd >= 0)
        close(fd);
    return length == (ssize_t)strlen(text) && memcmp(buffer, text, strlen(text)) == 0;
}

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

static void holes(void)
{
    static char buffer[3 * PAGE];
    struct stat status;
    int fd = open("holes", O_RDWR | O_CREAT, 0600);
    CHECK(ftruncate(fd, 1ll << 33) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_size == 1ll << 33);
    CHECK(pread(fd, buffer, sizeof buffer, 1ll << 32) == sizeof buffer);
    for (size_t i = 0; i < sizeof buffer; i++)
        if (buffer[i])
            CHECK(!"a hole reads as zeros");
    CHECK(ftruncate(fd, 0) == 0);
    memset(buffer, 'x', sizeof buffer);
    CHECK(pwrite(fd, buffer, PAGE + 10, 100) == PAGE + 10);
    CHECK(pread(fd, buffer, 100, 0) == 100 && buffer[0] == 0 && buffer[99] == 0);
    CHECK(ftruncate(fd, 200) == 0 && ftruncate(fd, 2 * PAGE) == 0);
    CHECK(pread(fd, buffer, 2 * PAGE, 0) == 2 * PAGE);
    CHECK(buffer[199] == 'x' && buffer[200] == 0 &&
          buffer[PAGE + 1] == 0); /* what was cut off does not come back */
    CHECK(lseek(fd, -1, SEEK_END) == 2 * PAGE - 1 && fails_with(lseek(fd, -1, SEEK_SET), EINVAL));
    CHECK(lseek(fd, 5 * PAGE, SEEK_SET) == 5 * PAGE && read(fd, buffer, 1) == 0);
    CHECK(write(fd, "end", 3) == 3 && fstat(fd, &status) == 0 && status.st_size == 5 * PAGE + 3);
    CHECK(posix_fallocate(fd, 0, 7 * PAGE) == 0 && fstat(fd, &status) == 0 &&
          status.st_size == 7 * PAGE);
    CHECK(fails_with(ftruncate(fd, -1), EINVAL));
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
    CHECK(fails_with(syscall(SYS_readv, fd, in, -1l), EINVAL));
    CHECK(read(fd, NULL, 0) == 0);
    CHECK(fails_with(read(3000, left, 1), EBADF));
    close(fd);
    unlink("vectors");
}

static void directories(void)
{
    char path[4200];
    struct stat status;
    CHECK(mkdir("directory", 0755) == 0 && fails_with(mkdir("directory", 0755), EEXIST));
    CHECK(mkdir("directory/inner/", 0700) == 0);
    CHECK(stat("directory", &status) == 0 && S_ISDIR(status.st_mode) && status.st_nlink == 3);
    CHECK(fails_with(rmdir("directory"), ENOTEMPTY));
    CHECK(fails_with(unlink("directory"), EISDIR));
    CHECK(fails_with(open("directory", O_WRONLY), EISDIR));
    CHECK(chdir("directory/inner") == 0);
    write_text("here", "text");
    CHECK(has_text("../inner/./here", "text") && has_text("..//inner///here", "text"));
    CHECK(getcwd(path, sizeof path) &&
          strcmp(path + strlen(path) - strlen("/directory/inner"), "/directory/inner") == 0);
    CHECK(fails_with((long)getcwd(path, 2) - 1, ERANGE));
    CHECK(fails_with(stat("nothing/../here", &status), ENOENT));
    CHECK(fails_with(stat("here/../here", &status), ENOTDIR));
    CHECK(fails_with(rmdir("."), EINVAL));
    CHECK(fails_with(rmdir("here"), ENOTDIR));
    int fd = open("..", O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0 && chdir("/") == 0);
    CHECK(fstatat(fd, "inner/here", &status, 0) == 0 && status.st_size == 4);
    CHECK(fstatat(fd, "", &status, AT_EMPTY_PATH) == 0 && S_ISDIR(status.st_mode));
    CHECK(fails_with(read(fd, path, 1), EISDIR));
    CHECK(unlinkat(fd, "inner/here", 0) == 0 && unlinkat(fd, "inner", AT_REMOVEDIR) == 0);
    CHECK(fchdir(fd) == 0 && chdir("..") == 0 && close(fd) == 0);
    CHECK(rmdir("directory") == 0 && fails_with(stat("directory", &status), ENOENT));
    memset(path, 'n', sizeof path);
    path[256] = 0;
    CHECK(fails_with(mkdir(path, 0755), ENAMETOOLONG));
    path[255] = 0;
    CHECK(mkdir(path, 0755) == 0 && rmdir(path) == 0);
    path[255] = 'n';
    path[4199] = 0;
    CHECK(fails_with(mkdir(path, 0755), ENAMETOOLONG));
}

/* Reading goes on rightly while entries are removed and made. */
static void listing(void)
{
    enum { FILES = 1500 };
    static bool seen[FILES];
    char name[32];
    int number, count = 0, extra = 0;
    CHECK(mkdir("many", 0755) == 0 && chdir("many") == 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file%d", i);
        close(open(name, O_WRONLY | O_CREAT, 0600));
    }
    DIR *directory = opendir(".");
    CHECK(directory);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (sscanf(entry->d_name, "file%d", &number) == 1 && number < FILES) {
            CHECK(!seen[number] && entry->d_type == DT_REG && entry->d_ino != 0);
            seen[number] = true;
            count++;
            CHECK(unlink(entry->d_name) == 0);
        } else {
            CHECK(entry->d_type == DT_DIR && entry->d_name[0] == '.');
            extra++;
        }
    }
    CHECK(count == FILES && extra == 2);
    write_text("again", "");
    rewinddir(directory);
    for (count = 0; readdir(directory);)
        count++;
    CHECK(count == 3);
    closedir(directory);
    unlink("again");
    char small[8];
    int fd = open(".", O_RDONLY);
    CHECK(fails_with(syscall(SYS_getdents64, fd, small, sizeof small), EINVAL));
    close(fd);
    CHECK(chdir("..") == 0 && rmdir("many") == 0);
}

static void renaming(void)
{
    struct stat one, other;
    write_text("a", "first");
    write_text("b", "second");
    int fd = open("b", O_RDONLY);
    CHECK(stat("a", &one) == 0);
    CHECK(rename("a", "b") == 0 && has_text("b", "first") && fails_with(stat("a", &other), ENOENT));
    CHECK(stat("b", &other) == 0 && one.st_ino == other.st_ino);
    char buffer[8];
    CHECK(read(fd, buffer, 8) == 6 && memcmp(buffer, "second", 6) == 0); /* open, without a name */
    CHECK(fstat(fd, &other) == 0 && other.st_nlink == 0);
    close(fd);
    CHECK(fails_with(rename("a", "c"), ENOENT) && rename("b", "b") == 0);
    write_text("c", "third");
    CHECK(fails_with(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_NOREPLACE), EEXIST));
    CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && mkdir("f", 0755) == 0);
    CHECK(fails_with(rename("b", "d"), EISDIR) && fails_with(rename("d", "b"), ENOTDIR));
    CHECK(fails_with(rename("f", "d"), ENOTEMPTY) && fails_with(rename("d", "d/e/inside"), EINVAL));
    CHECK(rename("b", "d/e/b") == 0 && rename("d", "f") == 0 && has_text("f/e/b", "first"));
    CHECK(stat("f", &one) == 0 && one.st_nlink == 3);
    CHECK(rename("f/e", "g") == 0 && stat("f", &one) == 0 && one.st_nlink == 2 &&
          has_text("g/../g/b", "first"));
    CHECK(unlink("g/b") == 0 && rmdir("g") == 0 && rmdir("f") == 0 && unlink("c") == 0);
}

static void links(void)
{
    char target[64] = "";
    struct stat status;
    write_text("file", "text");
    CHECK(link("file", "hard") == 0 && fails_with(link("file", "hard"), EEXIST));
    CHECK(stat("hard", &status) == 0 && status.st_nlink == 2);
    CHECK(unlink("file") == 0 && has_text("hard", "text") && rename("hard", "file") == 0);
    CHECK(mkdir("directory", 0755) == 0 && fails_with(link("directory", "x"), EPERM));
    CHECK(symlink("../file", "directory/link") == 0 &&
          fails_with(symlink("x", "directory/link"), EEXIST));
    CHECK(has_text("directory/link", "text"));
    CHECK(lstat("directory/link", &status) == 0 && S_ISLNK(status.st_mode) && status.st_size == 7);
    CHECK(readlink("directory/link", target, 4) == 4 &&
          readlink("directory/link", target, 64) == 7);
    CHECK(strcmp(target, "../file") == 0 && fails_with(readlink("file", target, 64), EINVAL));
    CHECK(fails_with(open("directory/link", O_RDONLY | O_NOFOLLOW), ELOOP));
    CHECK(symlink("directory", "way") == 0 && has_text("way/link", "text") &&
          has_text("way/../file", "text"));
    CHECK(mkdir("deep", 0755) == 0 && symlink("../directory", "deep/in") == 0);
    CHECK(has_text("deep/in/../file", "text")); /* up from where the link leads */
    CHECK(fails_with(open("directory/link", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST));
    CHECK(symlink("made", "dangling") == 0 && fails_with(open("dangling", O_RDONLY), ENOENT));
    write_text("dangling", "through");
    CHECK(has_text("made", "through"));
    CHECK(symlink("loop", "loop") == 0 && fails_with(open("loop", O_RDONLY), ELOOP));
    CHECK(symlink("/proc/self/status", "elsewhere") == 0);
    int fd = open("elsewhere", O_RDONLY);
    CHECK(fd >= 0 && read(fd, target, 5) == 5 && memcmp(target, "Name:", 5) == 0);
    close(fd);
    CHECK(symlink(".", "here") == 0 && has_text("here/here/here/here/file", "text"));
    for (const char *const *name =
             (const char *const[]){ "file", "directory/link", "way", "deep/in", "made", "dangling",
                                    "loop", "elsewhere", "here", NULL };
         *name; name++)
        CHECK(unlink(*name) == 0);
    CHECK(rmdir("directory") == 0 && rmdir("deep") == 0);
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

static void attributes(void)
{
    struct stat status;
    struct statx extended;
    struct statfs system;
    const struct timespec times[2] = { { 1000, 5 }, { 2000, 7 } };
    write_text("file", "text");
    CHECK(chmod("file", 0751) == 0 && stat("file", &status) == 0 &&
          (status.st_mode & 07777) == 0751);
    CHECK(utimensat(AT_FDCWD, "file", times, 0) == 0 && stat("file", &status) == 0);
    CHECK(status.st_atim.tv_sec == 1000 && status.st_atim.tv_nsec == 5 &&
          status.st_mtim.tv_sec == 2000 && status.st_mtim.tv_nsec == 7);
    int fd = open("file", O_RDWR);
    CHECK(fchmod(fd, 0600) == 0 &&
          futimens(fd, (struct timespec[2]){ { 0, UTIME_OMIT }, { 0, UTIME_NOW } }) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_atim.tv_sec == 1000 &&
          status.st_mtim.tv_sec > 2000 && (status.st_mode & 07777) == 0600);
    CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &extended) == 0 &&
          extended.stx_size == 4 && extended.stx_ino == status.st_ino);
    CHECK(extended.stx_mode == status.st_mode &&
          extended.stx_mtime.tv_sec == status.st_mtim.tv_sec);
    CHECK(chown("file", 0, 0) == 0 && fsync(fd) == 0 && fdatasync(fd) == 0 &&
          posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) == 0);
    close(fd);
    CHECK(access("file", R_OK | W_OK) == 0 && fails_with(access("file", X_OK), EACCES) &&
          fails_with(access("no", F_OK), ENOENT));
    CHECK(statfs(".", &system) == 0 && system.f_bsize > 0 && system.f_bavail > 0 &&
          system.f_namelen == 255);
    mode_t mask = umask(077);
    close(open("masked", O_WRONLY | O_CREAT, 0666));
    CHECK(stat("masked", &status) == 0 && (status.st_mode & 0777) == 0600 && umask(mask) == 077);
    unlink("file");
    unlink("masked");
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

static void descriptors(void)
{
    int fd = open("file", O_RDWR | O_CREAT, 0600), copy = dup(fd),
        far = fcntl(fd, F_DUPFD_CLOEXEC, 100), flag = 1;
    CHECK(copy >= 0 && far >= 100 && fcntl(far, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFD) == 0);
    CHECK(write(fd, "shared", 6) == 6 && lseek(copy, 0, SEEK_CUR) == 6);
    CHECK(dup2(fd, 50) == 50 && dup2(fd, fd) == fd && fails_with(dup2(999, 51), EBADF) &&
          fails_with(dup3(fd, fd, 0), EINVAL));
    CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && fcntl(fd, F_SETFL, O_APPEND) == 0 &&
          (fcntl(copy, F_GETFL) & O_APPEND));
    CHECK(fails_with(fcntl(fd, F_DUPFD, 100000), EINVAL) && fails_with(fcntl(77, F_GETFD), EBADF));
    struct flock lock = { .l_type = F_WRLCK };
    CHECK(fcntl(fd, F_SETLK, &lock) == 0 && fcntl(copy, F_GETLK, &lock) == 0 &&
          lock.l_type == F_UNLCK);
    CHECK(syscall(SYS_ioctl, fd, 0x5401, &flag) == -1 && errno == ENOTTY && !isatty(1));
    CHECK(close_range(50, 200, 0) == 0 && fails_with(fcntl(far, F_GETFD), EBADF));
    int most = 0;
    while (most < 2000 && dup(fd) >= 0)
        most++;
    CHECK(errno == EMFILE && most > 900);
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
    directories();
    listing();
    renaming();
    links();
    nameless();
    attributes();
    copying();
    descriptors();
    CHECK(chdir("/") == 0 && rmdir(directory) == 0);
    return DONE();
}
