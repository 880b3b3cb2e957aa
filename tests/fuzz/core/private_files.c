/* Paths to files of the image cache: names, links on the way and what they lead to. The tree that
 * is walked is made of the input too. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"

#include "guest.h"

#define MAX_TEXT  8192u
#define MAX_LINKS 4u

static char folder[] = "/tmp/udfvm-fuzz-XXXXXX";
static int top; /* the same */

static void remove_folder(void)
{
    char command[sizeof folder + 16];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", folder);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    const int here = mkdtemp(folder) ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (mkdirat(here, "d", 0700) < 0)
        defect("no folder");
    close(openat(here, "d/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    top = here;
    atexit(remove_folder);
    return 0;
}

/* A text of the input, in which a byte stands for a long part: the longest paths are rare else. */
static void take_text(struct input *input, char *text, size_t size)
{
    size_t length = input_byte(input), used = 0;
    const uint8_t *bytes = input_bytes(input, &length);
    if (length && bytes[0] == 1) { /* in our folder */
        used = (size_t)snprintf(text, size, "%s/", folder);
        bytes++, length--;
    }
    for (size_t i = 0; i < length && bytes[i]; i++) {
        const size_t repeated = bytes[i] >= 0xf0 ? (bytes[i] & 15u) * 300 : 1;
        for (size_t n = 0; n < repeated && used < size - 1; n++)
            text[used++] = bytes[i] < 0xf0 ? (char)bytes[i] : n % 200 ? 'x' : '/';
    }
    text[used] = 0;
}

static void check_descriptors(void)
{
    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) < 0)
            defect("a descriptor of the program was closed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char directory[MAX_TEXT], name[MAX_TEXT], target[MAX_TEXT];
    static const char *const links[MAX_LINKS] = { "a", "b", "d/a", "d/b" };
    struct input input = { data, size };
    struct udfvm_error error = { .code = UDFVM_OK };
    take_text(&input, directory, sizeof directory);
    take_text(&input, name, sizeof name);
    for (size_t i = 0; i < MAX_LINKS && input.left; i++) {
        take_text(&input, target, sizeof target);
        if (symlinkat(target, top, links[i]) < 0 && errno == EEXIST)
            defect("a link was left");
    }
    const int fd = udfvm_private_open(directory, name, O_RDONLY, &error);
    check_descriptors();
    if ((fd < 0) != (error.code != UDFVM_OK))
        defect("a file and an error, or neither");
    if (fd >= 0) {
        struct stat status;
        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_mode & 022)
            defect("a file that anybody could have put there");
        close(fd);
    }
    for (size_t i = 0; i < MAX_LINKS; i++)
        unlinkat(top, links[i], 0);
    return 0;
}
