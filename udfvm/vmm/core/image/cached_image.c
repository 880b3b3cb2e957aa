/* Images of the cache. Beside an image lies a note, NAME.verified: which state of the file was
 * checked. A later process need not read all of it again, and the note's time of modification says
 * when the image was used last. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "image/image.h"

#define MAX_IDENTITY 160u
#define MAX_NAME     200u

/* What changes with any write to the file: the change time cannot be set back. */
static bool identity_of(int fd, char text[MAX_IDENTITY])
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return false;
    snprintf(text, MAX_IDENTITY, "%" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64,
             (uint64_t)status.st_dev, (uint64_t)status.st_ino, (int64_t)status.st_size,
             (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec,
             (int64_t)status.st_ctim.tv_sec * 1000000000 + status.st_ctim.tv_nsec);
    return true;
}

/* Whether the note says so; then it is marked as used now. */
static bool checked_before(const char *directory, const char *note, const char *identity)
{
    char text[MAX_IDENTITY];
    const int fd = udfvm_private_open(directory, note, O_RDONLY, NULL);
    if (fd < 0)
        return false;
    const ssize_t length = read(fd, text, sizeof text);
    const bool same = length >= 0 && (size_t)length == strlen(identity) &&
                      memcmp(text, identity, (size_t)length) == 0;
    if (same)
        futimens(fd, NULL); /* fails where the cache is root's, and then nothing goes */
    close(fd);
    return same;
}

/* A new file takes the place of the note, whatever that is. Where none can be written the next
 * process checks the image again. */
static void write_note(const char *directory, const char *note, const char *identity)
{
    char name[MAX_NAME + 64];
    uint64_t random = 0;
    const int folder = udfvm_private_open(directory, NULL, 0, NULL);
    if (folder < 0 || getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        if (folder >= 0)
            close(folder);
        return;
    }
    snprintf(name, sizeof name, "%.16s.%016" PRIx64 ".tmp", note, random);
    const int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        flock(fd, LOCK_EX | LOCK_NB); /* it is nobody's leftover */
        const size_t length = strlen(identity);
        if (write(fd, identity, length) != (ssize_t)length ||
            renameat(folder, name, folder, note) < 0)
            unlinkat(folder, name, 0);
        close(fd);
    }
    close(folder);
}

/* An image under the name of another would run another function. */
static bool has_name(const udfvm_image *image, const char *file)
{
    char expected[2 * sizeof image->header->name + 1];
    for (size_t i = 0; i < sizeof image->header->name; i++)
        snprintf(expected + 2 * i, 3, "%02x", image->header->name[i]);
    return strncmp(file, expected, sizeof expected - 1) == 0 && file[sizeof expected - 1] == '.';
}

static int check_cached(const udfvm_image *image, int fd, const char *directory, const char *name,
                        struct udfvm_error *error)
{
    char note[MAX_NAME + 16], identity[MAX_IDENTITY];
    if (!has_name(image, name))
        return udfvm_fail(error, UDFVM_E_IMAGE, "%.80s is another image than its name says", name);
    const bool noted = snprintf(note, sizeof note, "%s.verified", name) < (int)sizeof note &&
                       identity_of(fd, identity);
    if (noted && checked_before(directory, note, identity))
        return UDFVM_OK;
    UDFVM_TRY(udfvm_image_verify(image, error));
    if (noted)
        write_note(directory, note, identity);
    return UDFVM_OK;
}

udfvm_image *udfvm_image_open_cached(const char *directory, const char *name, udfvm_image *base,
                                     struct udfvm_error *error)
{
    const int fd = udfvm_private_open(directory, name, O_RDONLY, error);
    if (fd < 0)
        return NULL;
    /* Refused by who is about to remove it: it stays usable here, for the last time. */
    flock(fd, LOCK_SH | LOCK_NB);
    udfvm_image *image = udfvm_image_open(fd, base, error);
    if (image && check_cached(image, fd, directory, name, error) != UDFVM_OK) {
        udfvm_image_close(image);
        image = NULL;
    }
    close(fd);
    return image;
}
