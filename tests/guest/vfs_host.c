/* The host's tree, read-only, with memory, devices and generated files over it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static bool on_linux;

static bool text_has(const char *path, const char *wanted)
{
    static char text[1 << 20];
    size_t length = 0;
    int fd = open(path, O_RDONLY);
    for (ssize_t got; fd >= 0 && length < sizeof text - 1 &&
                      (got = read(fd, text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = 0;
    if (fd >= 0)
        close(fd);
    bool found = fd >= 0 && memmem(text, length, wanted, strlen(wanted));
    if (!found)
        printf("%s has no \"%s\":\n%.2000s\n", path, wanted, text);
    return found;
}

static void read_in_steps(int fd, const char *whole, char *parts, size_t size)
{
    for (size_t step = 100; step < 100000; step = step * 7 + 1) {
        size_t offset = 0;
        CHECK(lseek(fd, 0, SEEK_SET) == 0);
        for (ssize_t got; (got = read(fd, parts + offset,
                                      step < size + 1 - offset ? step : size + 1 - offset)) > 0;)
            offset += (size_t)got;
        CHECK(offset == size && memcmp(whole, parts, size) == 0);
    }
}

static void read_anywhere(int fd, const char *whole, char *parts, size_t size)
{
    for (unsigned i = 0, offset = 1; i < 50;
         i++, offset = (offset * 1103515245 + 12345) % (unsigned)size) {
        ssize_t got = pread(fd, parts, 3000, offset);
        CHECK(got == (ssize_t)(size - offset < 3000 ? size - offset : 3000) &&
              memcmp(parts, whole + offset, (size_t)got) == 0);
    }
}

/* A file read in parts of any size is the same as read in one. */
static void reading(const char *path)
{
    struct stat status, again;
    CHECK(stat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 1000);
    const size_t size = (size_t)status.st_size;
    char *whole = malloc(size + 1), *parts = malloc(size + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &again) == 0 && again.st_ino == status.st_ino &&
          again.st_size == status.st_size);
    CHECK(pread(fd, whole, size + 1, 0) == (ssize_t)size && pread(fd, whole, 1, (off_t)size) == 0);
    read_in_steps(fd, whole, parts, size);
    read_anywhere(fd, whole, parts, size);
    CHECK(fails_with(write(fd, "x", 1), EBADF));
    close(fd);
    free(whole);
    free(parts);
}

static void refused_changes(const char *path)
{
    CHECK(fails_with(open(path, O_WRONLY), EROFS) &&
          fails_with(open(path, O_RDWR | O_CREAT, 0600), EROFS));
    CHECK(fails_with(open(path, O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST) &&
          fails_with(open(path, O_RDONLY | O_TRUNC), EROFS));
    CHECK(fails_with(unlink(path), EROFS) && fails_with(chmod(path, 0600), EROFS) &&
          fails_with(truncate(path, 0), EROFS));
}

static void refused_names(const char *path)
{
    CHECK(fails_with(rename(path, "/tmp/moved"), EXDEV) &&
          fails_with(rename(path, "/usr/moved"), EROFS) &&
          fails_with(link(path, "/tmp/linked"), EXDEV));
    CHECK(fails_with(mkdir("/usr", 0755), EEXIST) && fails_with(mkdir("/usr/made", 0755), EROFS) &&
          fails_with(mkdir("/tmp", 0755), EEXIST));
    CHECK(fails_with(mkdir("/usr/nothing/made", 0755), ENOENT) &&
          fails_with(rmdir("/tmp"), EBUSY) && fails_with(rmdir("/"), EBUSY));
}

static void refused_opens(const char *path)
{
    struct stat status;
    CHECK(fails_with(open("/made", O_RDWR | O_CREAT, 0600), EROFS) &&
          fails_with(open("/var/made", O_RDWR | O_CREAT, 0600), EROFS));
    CHECK(fails_with(open("/usr", O_RDWR), EISDIR) &&
          fails_with(open(path, O_RDONLY | O_DIRECTORY), ENOTDIR));
    CHECK(fails_with(access(path, W_OK), EROFS) && access(path, R_OK) == 0);
    CHECK(fails_with(open("/usr/nothing", O_RDONLY), ENOENT) &&
          fails_with(stat("/usr/nothing/below", &status), ENOENT));
    CHECK(fails_with(stat("/usr/nothing", &status), ENOENT) &&
          fails_with(lstat("/usr/nothing/other", &status), ENOENT));
}

static void refusing(const char *path)
{
    if (on_linux)
        return;
    refused_changes(path);
    refused_names(path);
    refused_opens(path);
}

static bool lists(const char *path, const char *name, int type)
{
    DIR *directory = opendir(path);
    bool found = false;
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (strcmp(entry->d_name, name) == 0)
            found = !found && entry->d_type == type;
    if (directory)
        closedir(directory);
    return found;
}

static void listing(void)
{
    struct stat status;
    CHECK(lists("/", "tmp", DT_DIR) && lists("/", "proc", DT_DIR) && lists("/dev", "null", DT_CHR));
    CHECK(lists("/dev", "shm", DT_DIR) && lists("/proc", "self", on_linux ? DT_LNK : DT_DIR) &&
          lists("/proc/self", "fd", DT_DIR));
    CHECK(lists("/proc/self/fd", "1", DT_LNK) &&
          lists("/sys/devices/system/cpu", "online", DT_REG));
    CHECK(stat("/var/tmp", &status) == 0 && S_ISDIR(status.st_mode) && stat("/", &status) == 0 &&
          S_ISDIR(status.st_mode));
    close(open("/tmp/vfs-listed", O_WRONLY | O_CREAT, 0600));
    CHECK(lists("/tmp", "vfs-listed", DT_REG) && unlink("/tmp/vfs-listed") == 0 &&
          !lists("/tmp", "vfs-listed", DT_REG));
}

/* Its directory lists it, also by a way around. */
static void program_in_its_directory(void)
{
    struct stat status;
    char program[4096] = "";
    CHECK(readlink("/proc/self/exe", program, sizeof program - 1) > 0 &&
          access(program, X_OK) == 0);
    char *directory = program, *name = strrchr(program, '/');
    *name++ = 0;
    CHECK(lists(directory, name, DT_REG));
    char up[4200];
    snprintf(up, sizeof up, "%s/../%s/./%s", directory, strrchr(directory, '/') + 1, name);
    CHECK(stat(up, &status) == 0 && S_ISREG(status.st_mode));
}

static void devices(void)
{
    unsigned char bytes[64] = { 1 }, more[64];
    struct stat status;
    int fd = open("/dev/null", O_RDWR);
    CHECK(fd >= 0 && read(fd, bytes, 8) == 0 && write(fd, bytes, 8) == 8 &&
          lseek(fd, 0, SEEK_SET) == 0);
    CHECK(fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
    close(fd);
    fd = open("/dev/zero", O_RDONLY);
    CHECK(read(fd, bytes, 8) == 8 && bytes[0] == 0);
    close(fd);
    fd = open("/dev/full", O_WRONLY);
    CHECK(fails_with(write(fd, "x", 1), ENOSPC));
    close(fd);
    fd = open("/dev/urandom", O_RDONLY);
    CHECK(read(fd, bytes, 64) == 64 && read(fd, more, 64) == 64 && memcmp(bytes, more, 64) != 0);
    close(fd);
    CHECK(fails_with(open("/dev/nothing", O_RDONLY), ENOENT) &&
          fails_with(open("/dev/null", O_RDONLY | O_DIRECTORY), ENOTDIR));
    fd = open("/dev/stdout", O_WRONLY);
    CHECK(fd >= 0 && write(fd, "", 0) == 0);
    close(fd);
    CHECK(readlink("/dev/fd", (char *)bytes, sizeof bytes) == 13);
}

static void generated_texts(void)
{
    char path[64];
    CHECK(text_has("/proc/self/maps", "[stack]") && text_has("/proc/self/maps", "vfs_host") &&
          text_has("/proc/meminfo", "MemTotal:"));
    CHECK(text_has("/proc/self/status", "VmRSS:") &&
          text_has("/proc/self/status", "Threads:\t1\n") && text_has("/proc/self/stat", " ("));
    CHECK(text_has("/proc/cpuinfo", "model name") && text_has("/proc/cpuinfo", " sse2 ") &&
          text_has("/proc/stat", "btime"));
    CHECK(text_has("/proc/self/cmdline", "vfs_host") && text_has("/proc/self/comm", "vfs_host\n") &&
          text_has("/proc/self/cgroup", "0::/"));
    CHECK(text_has("/proc/version", "Linux") && text_has("/proc/self/mounts", " / ") &&
          text_has("/proc/uptime", "."));
    CHECK(text_has("/sys/devices/system/cpu/online", "0") &&
          text_has("/proc/sys/kernel/ostype", "Linux"));
    snprintf(path, sizeof path, "/proc/%d/stat", getpid());
    CHECK(text_has(path, "("));
}

static void generated_tree(void)
{
    char target[4096] = "", here[4096];
    struct stat status;
    CHECK(stat("/proc/self/status", &status) == 0 && S_ISREG(status.st_mode) &&
          stat("/proc/self", &status) == 0 && S_ISDIR(status.st_mode));
    CHECK(lstat("/proc/self/exe", &status) == 0 && S_ISLNK(status.st_mode) &&
          stat("/proc/self/exe", &status) == 0 && S_ISREG(status.st_mode));
    CHECK(fails_with(open("/proc/nothing", O_RDONLY), ENOENT) &&
          fails_with(open("/proc/self/maps/x", O_RDONLY), on_linux ? ENOTDIR : ENOENT));
    CHECK(chdir("/var/tmp") == 0 && readlink("/proc/self/cwd", target, sizeof target - 1) == 8 &&
          strcmp(target, "/var/tmp") == 0);
    CHECK(getcwd(here, sizeof here) && strcmp(here, "/var/tmp") == 0);
}

/* In /var/tmp. */
static void descriptors_by_path(void)
{
    char path[64], target[4096] = "";
    struct stat status, other;
    int fd = open("vfs-open", O_RDWR | O_CREAT, 0600), ends[2];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(readlink(path, target, sizeof target - 1) > 0 &&
          strcmp(target, "/var/tmp/vfs-open") == 0);
    CHECK(stat(path, &status) == 0 && fstat(fd, &other) == 0 && status.st_ino == other.st_ino);
    CHECK(unlink("vfs-open") == 0 && stat(path, &status) == 0 && status.st_nlink == 0);
    close(fd);
    CHECK(fails_with(stat(path, &status), ENOENT));
    CHECK(pipe(ends) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    memset(target, 0, sizeof target);
    CHECK(readlink(path, target, sizeof target - 1) > 0 && strncmp(target, "pipe:[", 6) == 0);
    CHECK(open("/proc/self/exe", O_RDONLY) >= 0);
    close(ends[0]);
    close(ends[1]);
    CHECK(chdir("/") == 0);
}

static void generated(void)
{
    generated_texts();
    generated_tree();
    descriptors_by_path();
}

/* A host directory's files, all opened at once, are all read. */
static void many_open(void)
{
    enum { MAX_OPEN = 400 };
    static int open_files[MAX_OPEN];
    char byte, path[512];
    int count = 0;
    DIR *directory = opendir("/usr/lib/x86_64-linux-gnu");
    for (struct dirent *entry; directory && count < MAX_OPEN && (entry = readdir(directory));) {
        snprintf(path, sizeof path, "/usr/lib/x86_64-linux-gnu/%s", entry->d_name);
        int fd = entry->d_type == DT_REG ? open(path, O_RDONLY) : -1;
        if (fd >= 0)
            open_files[count++] = fd;
    }
    CHECK(directory && count > 50);
    closedir(directory);
    for (int i = 0; i < count; i++)
        CHECK(read(open_files[i], &byte, 1) >= 0 && close(open_files[i]) == 0);
}

int main(int argc, char **argv)
{
    on_linux = getenv("ON_LINUX");
    char *library = realpath("/usr/lib/x86_64-linux-gnu/libc.so.6", NULL);
    CHECK(argc > 0 && library);
    reading(library);
    reading(argv[0]);
    refusing(library);
    listing();
    program_in_its_directory();
    devices();
    generated();
    many_open();
    free(library);
    return DONE();
}
