/* What moves between pipes and files without the program's memory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

static char buffer[1 << 17];
static int first[2], second[2], file;

static bool pipe_has(int fd, const char *text)
{
    const ssize_t length = read(fd, buffer, sizeof buffer);
    return length == (ssize_t)strlen(text) && memcmp(buffer, text, strlen(text)) == 0;
}

static void between_files_and_pipes(void)
{
    loff_t offset = 2;
    CHECK(write(file, "0123456789", 10) == 10 && lseek(file, 0, SEEK_SET) == 0);
    CHECK(splice(file, NULL, first[1], NULL, 4, 0) == 4 && lseek(file, 0, SEEK_CUR) == 4);
    CHECK(splice(file, &offset, first[1], NULL, 3, SPLICE_F_MORE) == 3 && offset == 5 &&
          lseek(file, 0, SEEK_CUR) == 4);
    CHECK(pipe_has(first[0], "0123234"));
    CHECK(splice(file, NULL, first[1], NULL, 100, 0) == 6 &&
          splice(file, NULL, first[1], NULL, 100, 0) == 0);
    offset = 1;
    CHECK(splice(first[0], NULL, file, &offset, 2, 0) == 2 && offset == 3);
    CHECK(splice(first[0], NULL, file, NULL, 100, 0) == 4 && lseek(file, 0, SEEK_CUR) == 14);
    CHECK(pread(file, buffer, 20, 0) == 14 && memcmp(buffer, "04534567896789", 14) == 0);
}

static void between_pipes(void)
{
    CHECK(write(first[1], "piped", 5) == 5);
    CHECK(tee(first[0], second[1], 3, 0) == 3 && pipe_has(second[0], "pip"));
    CHECK(splice(first[0], NULL, second[1], NULL, 4, 0) == 4);
    CHECK(pipe_has(second[0], "pipe") && pipe_has(first[0], "d"));
}

static void vectors(void)
{
    char left[3] = "", right[8] = "";
    const struct iovec out[2] = { { "one", 3 }, { "two", 3 } },
                       in[2] = { { left, 2 }, { right, 8 } };
    CHECK(vmsplice(first[1], out, 2, 0) == 6);
    CHECK(vmsplice(first[0], in, 2, 0) == 6 && strcmp(left, "on") == 0 &&
          memcmp(right, "etwo", 4) == 0);
    CHECK(fails_with(vmsplice(file, out, 2, 0), EBADF));
}

static void refusals(void)
{
    loff_t offset = 0;
    int appended = open("file", O_WRONLY | O_APPEND);
    CHECK(fails_with(splice(first[0], NULL, second[1], NULL, 4, SPLICE_F_NONBLOCK), EAGAIN));
    CHECK(fails_with(tee(first[0], second[1], 4, SPLICE_F_NONBLOCK), EAGAIN));
    CHECK(fails_with(splice(file, NULL, file, NULL, 4, 0), EINVAL));
    CHECK(fails_with(splice(first[0], &offset, file, NULL, 4, 0), ESPIPE));
    CHECK(fails_with(splice(file, NULL, first[1], &offset, 4, 0), ESPIPE));
    CHECK(fails_with(splice(first[1], NULL, file, NULL, 4, 0), EBADF));
    CHECK(fails_with(splice(file, NULL, 999, NULL, 4, 0), EBADF));
    CHECK(fails_with(splice(first[0], NULL, first[1], NULL, 4, 0), EINVAL));
    CHECK(fails_with(tee(first[0], file, 4, 0), EINVAL) && splice(9, NULL, 9, NULL, 0, 0) == 0);
    CHECK(write(first[1], "x", 1) == 1 &&
          fails_with(splice(first[0], NULL, appended, NULL, 4, 0), EINVAL));
    close(appended);
}

static void ends(void)
{
    CHECK(close(second[0]) == 0);
    CHECK(fails_with(splice(file, &(loff_t[1]){ 0 }[0], second[1], NULL, 4, 0), EPIPE));
    CHECK(close(first[1]) == 0 && splice(first[0], NULL, file, NULL, 4, 0) == 1 &&
          splice(first[0], NULL, file, NULL, 4, 0) == 0);
}

int main(void)
{
    char directory[] = "/tmp/splice-XXXXXX";
    signal(SIGPIPE, SIG_IGN);
    CHECK(mkdtemp(directory) && chdir(directory) == 0);
    CHECK(pipe(first) == 0 && pipe(second) == 0);
    file = open("file", O_RDWR | O_CREAT, 0600);
    between_files_and_pipes();
    between_pipes();
    vectors();
    refusals();
    ends();
    CHECK(unlink("file") == 0 && chdir("/") == 0 && rmdir(directory) == 0);
    return DONE();
}
