/* Names of files in memory: directories, renaming, links. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "texts.h"

static void nested_directories(void)
{
    struct stat status;
    CHECK(mkdir("directory", 0755) == 0 && fails_with(mkdir("directory", 0755), EEXIST));
    CHECK(mkdir("directory/inner/", 0700) == 0);
    CHECK(stat("directory", &status) == 0 && S_ISDIR(status.st_mode) && status.st_nlink == 3);
    CHECK(fails_with(rmdir("directory"), ENOTEMPTY));
    CHECK(fails_with(unlink("directory"), EISDIR));
    CHECK(fails_with(open("directory", O_WRONLY), EISDIR));
}

/* In directory/inner, where it leaves the file "here". */
static void relative_paths(void)
{
    char path[4200];
    struct stat status;
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
}

/* From directory/inner; removes both and what they have. */
static void paths_from_a_descriptor(void)
{
    char byte;
    struct stat status;
    int fd = open("..", O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0 && chdir("/") == 0);
    CHECK(fstatat(fd, "inner/here", &status, 0) == 0 && status.st_size == 4);
    CHECK(fstatat(fd, "", &status, AT_EMPTY_PATH) == 0 && S_ISDIR(status.st_mode));
    CHECK(fails_with(read(fd, &byte, 1), EISDIR));
    CHECK(unlinkat(fd, "inner/here", 0) == 0 && unlinkat(fd, "inner", AT_REMOVEDIR) == 0);
    CHECK(fchdir(fd) == 0 && chdir("..") == 0 && close(fd) == 0);
    fd = open("gone", O_RDWR | O_CREAT, 0600);
    CHECK(unlink("gone") == 0 && fails_with(fchdir(fd), ENOTDIR) && close(fd) == 0);
    CHECK(rmdir("directory") == 0 && fails_with(stat("directory", &status), ENOENT));
}

static void long_names(void)
{
    char path[4200];
    memset(path, 'n', sizeof path);
    path[256] = 0;
    CHECK(fails_with(mkdir(path, 0755), ENAMETOOLONG));
    path[255] = 0;
    CHECK(mkdir(path, 0755) == 0 && rmdir(path) == 0);
    path[255] = 'n';
    path[4199] = 0;
    CHECK(fails_with(mkdir(path, 0755), ENAMETOOLONG));
}

static void directories(void)
{
    nested_directories();
    relative_paths();
    paths_from_a_descriptor();
    long_names();
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

/* The file of the new name is replaced: who has it open still reads it. Leaves "b". */
static void renaming_over_a_file(void)
{
    char buffer[8];
    struct stat one, other;
    write_text("a", "first");
    write_text("b", "second");
    int fd = open("b", O_RDONLY);
    CHECK(stat("a", &one) == 0);
    CHECK(rename("a", "b") == 0 && has_text("b", "first") && fails_with(stat("a", &other), ENOENT));
    CHECK(stat("b", &other) == 0 && one.st_ino == other.st_ino);
    CHECK(read(fd, buffer, 8) == 6 && memcmp(buffer, "second", 6) == 0);
    CHECK(fstat(fd, &other) == 0 && other.st_nlink == 0);
    close(fd);
    CHECK(fails_with(rename("a", "c"), ENOENT) && rename("b", "b") == 0);
}

/* Leaves "b", "c" and the directories "d", "d/e" and "f". */
static void refused_renaming(void)
{
    write_text("c", "third");
    CHECK(fails_with(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_NOREPLACE), EEXIST));
    CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && mkdir("f", 0755) == 0);
    CHECK(fails_with(rename("b", "d"), EISDIR) && fails_with(rename("d", "b"), ENOTDIR));
    CHECK(fails_with(rename("f", "d"), ENOTEMPTY) && fails_with(rename("d", "d/e/inside"), EINVAL));
}

static void renaming_directories(void)
{
    struct stat status;
    CHECK(rename("b", "d/e/b") == 0 && rename("d", "f") == 0 && has_text("f/e/b", "first"));
    CHECK(stat("f", &status) == 0 && status.st_nlink == 3);
    CHECK(rename("f/e", "g") == 0 && stat("f", &status) == 0 && status.st_nlink == 2 &&
          has_text("g/../g/b", "first"));
}

static void renaming(void)
{
    renaming_over_a_file();
    refused_renaming();
    renaming_directories();
    CHECK(unlink("g/b") == 0 && rmdir("g") == 0 && rmdir("f") == 0 && unlink("c") == 0);
}

/* Leaves "file". */
static void hard_links(void)
{
    struct stat status;
    write_text("file", "text");
    CHECK(link("file", "hard") == 0 && fails_with(link("file", "hard"), EEXIST));
    CHECK(stat("hard", &status) == 0 && status.st_nlink == 2);
    CHECK(unlink("file") == 0 && has_text("hard", "text") && rename("hard", "file") == 0);
}

/* Leaves "directory/link", which leads to "file". */
static void link_to_a_file(void)
{
    char target[64] = "";
    struct stat status;
    CHECK(mkdir("directory", 0755) == 0 && fails_with(link("directory", "x"), EPERM));
    CHECK(symlink("../file", "directory/link") == 0 &&
          fails_with(symlink("x", "directory/link"), EEXIST));
    CHECK(has_text("directory/link", "text"));
    CHECK(lstat("directory/link", &status) == 0 && S_ISLNK(status.st_mode) && status.st_size == 7);
    CHECK(readlink("directory/link", target, 4) == 4 &&
          readlink("directory/link", target, 64) == 7);
    CHECK(strcmp(target, "../file") == 0 && fails_with(readlink("file", target, 64), EINVAL));
    CHECK(fails_with(open("directory/link", O_RDONLY | O_NOFOLLOW), ELOOP));
}

static void links_to_directories(void)
{
    CHECK(symlink("directory", "way") == 0 && has_text("way/link", "text") &&
          has_text("way/../file", "text"));
    CHECK(mkdir("deep", 0755) == 0 && symlink("../directory", "deep/in") == 0);
    CHECK(has_text("deep/in/../file", "text")); /* up from where the link leads */
    CHECK(fails_with(open("directory/link", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST));
    CHECK(symlink(".", "here") == 0 && has_text("here/here/here/here/file", "text"));
}

static void links_to_nothing(void)
{
    CHECK(symlink("made", "dangling") == 0 && fails_with(open("dangling", O_RDONLY), ENOENT));
    write_text("dangling", "through");
    CHECK(has_text("made", "through"));
    CHECK(symlink("loop", "loop") == 0 && fails_with(open("loop", O_RDONLY), ELOOP));
}

static void link_to_another_file_system(void)
{
    char start[5];
    CHECK(symlink("/proc/self/status", "elsewhere") == 0);
    int fd = open("elsewhere", O_RDONLY);
    CHECK(fd >= 0 && read(fd, start, 5) == 5 && memcmp(start, "Name:", 5) == 0);
    close(fd);
}

static void links(void)
{
    static const char *const names[] = { "file",    "directory/link", "way",
                                         "deep/in", "made",           "dangling",
                                         "loop",    "elsewhere",      "here" };
    hard_links();
    link_to_a_file();
    links_to_directories();
    links_to_nothing();
    link_to_another_file_system();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(unlink(names[i]) == 0);
    CHECK(rmdir("directory") == 0 && rmdir("deep") == 0);
}

int main(void)
{
    char directory[] = "/tmp/vfs-XXXXXX";
    CHECK(mkdtemp(directory) && chdir(directory) == 0);
    directories();
    listing();
    renaming();
    links();
    CHECK(chdir("/") == 0 && rmdir(directory) == 0);
    return DONE();
}
