/* RENAME_EXCHANGE: two names exchange what they mean. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "texts.h"

static int exchange(const char *one, const char *other)
{
    return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

static void files(void)
{
    struct stat before, after;
    write_text("a", "first");
    write_text("b", "second");
    CHECK(stat("a", &before) == 0);
    int fd = open("a", O_RDONLY);
    CHECK(exchange("a", "b") == 0 && has_text("a", "second") && has_text("b", "first"));
    CHECK(stat("b", &after) == 0 && after.st_ino == before.st_ino && after.st_nlink == 1);
    CHECK(fstat(fd, &after) == 0 && after.st_ino == before.st_ino);
    CHECK(exchange("a", "a") == 0 && has_text("a", "second"));
    CHECK(link("a", "hard") == 0 && exchange("a", "hard") == 0 && has_text("hard", "second"));
    close(fd);
}

static void directories(void)
{
    struct stat status;
    CHECK(mkdir("d", 0700) == 0 && mkdir("d/in", 0700) == 0 && mkdir("e", 0700) == 0);
    write_text("d/in/text", "text");
    CHECK(exchange("d/in", "a") == 0 && has_text("a/text", "text") && has_text("d/in", "second"));
    CHECK(stat("d", &status) == 0 && status.st_nlink == 2);
    CHECK(stat("a/..", &status) == 0);
    const ino_t here = status.st_ino;
    CHECK(stat(".", &status) == 0 && status.st_ino == here);
}

static void two_directories(void)
{
    struct stat status;
    CHECK(exchange("a", "d/in") == 0 && stat("d", &status) == 0 && status.st_nlink == 3 &&
          has_text("d/in/text", "text"));
    CHECK(exchange("d/in/", "e/") == 0 && has_text("e/text", "text") && rmdir("d/in") == 0);
    CHECK(symlink("nothing", "link") == 0 && exchange("link", "b") == 0 &&
          has_text("link", "first"));
    CHECK(lstat("b", &status) == 0 && S_ISLNK(status.st_mode));
}

static void what_is_refused(void)
{
    CHECK(fails_with(exchange("a", "none"), ENOENT) && fails_with(exchange("none", "a"), ENOENT));
    CHECK(fails_with(exchange("e", "e/text"), EINVAL) &&
          fails_with(exchange("e/text", "e"), EINVAL));
    CHECK(fails_with(exchange("a/", "e"), ENOTDIR) && fails_with(exchange("e", "a/"), ENOTDIR));
    CHECK(fails_with(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE | RENAME_NOREPLACE),
                     EINVAL));
    CHECK(fails_with(exchange("a", "/usr/lib"), EXDEV));
    CHECK(has_text("a", "second") && has_text("e/text", "text"));
}

int main(void)
{
    char folder[] = "/dev/shm/exchange-XXXXXX";
    CHECK(mkdtemp(folder) && chdir(folder) == 0);
    files();
    directories();
    two_directories();
    what_is_refused();
    CHECK(unlink("a") == 0 && unlink("b") == 0 && unlink("hard") == 0 && unlink("link") == 0 &&
          unlink("e/text") == 0 && rmdir("e") == 0 && rmdir("d") == 0 && rmdir(folder) == 0);
    return DONE();
}
