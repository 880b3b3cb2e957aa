/* One sealed function as one file: a note of HEAD bytes, text padded with zeros, then its base
 * image and its layer. sealed_file.py writes it.
 *
 * The file may be a stranger's. It is checked as every image is, and its function runs within the
 * limits of the connection's policy. It must not change while it is mapped, so a file that others
 * could write is copied to memory first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sql/processor.h"
#include "sql/sealed.h"

#define HEAD    65536u
#define MAX_KEY 4400u
#define SEALS   (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* ---- The file ---- */

static bool is_private(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    const int length = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
                                slash ? path : ".");
    if (length < 0 || (size_t)length >= sizeof folder)
        return false;
    const int fd = udfvm_private_open(folder, slash ? slash + 1 : path, O_RDONLY, NULL);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Copies the data of a file, without its holes. */
static bool copy_data(int from, int to, off_t size)
{
    off_t at = 0;
    if (ftruncate(to, size) < 0)
        return false;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0 && at < size) {
        const off_t hole = lseek(from, at, SEEK_HOLE);
        if (hole < 0 || lseek(to, at, SEEK_SET) < 0)
            return false;
        while (at < hole) {
            const ssize_t sent = sendfile(to, from, &at, (size_t)(hole - at));
            if (sent <= 0)
                return false;
        }
    }
    return at >= size || errno == ENXIO;
}

/* Returns a copy in memory that nobody can change. Returns -1 with errno. */
static int frozen(int fd, off_t size)
{
    const int copy = memfd_create("udfvm-function", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy >= 0 && copy_data(fd, copy, size) && fcntl(copy, F_ADD_SEALS, SEALS) == 0)
        return copy;
    const int failed = errno ? errno : EIO;
    if (copy >= 0)
        close(copy);
    errno = failed;
    return -1;
}

/* Returns a descriptor whose content cannot change. `key` identifies this state of the file. */
static int open_file(sqlite_library *library, const char *path, char key[MAX_KEY], char **message)
{
    sqlite_library *sqlite3_api = library;
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0) {
        *message = sqlite3_mprintf("it cannot be opened: %s", strerror(errno));
    } else if (!S_ISREG(status.st_mode) || status.st_size < (off_t)HEAD) {
        *message = sqlite3_mprintf("it is not a file that `udfvm seal --output` wrote");
    } else {
        snprintf(key, MAX_KEY, "%llu:%llu:%lld:%lld.%09ld:%s", (unsigned long long)status.st_dev,
                 (unsigned long long)status.st_ino, (long long)status.st_size,
                 (long long)status.st_ctim.tv_sec, status.st_ctim.tv_nsec, path);
        if (is_private(path))
            return fd;
        const int copy = frozen(fd, status.st_size);
        if (copy < 0)
            *message = sqlite3_mprintf("it cannot be copied to memory: %s", strerror(errno));
        close(fd);
        return copy;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static char *read_head(int fd)
{
    char *note = malloc(HEAD + 1);
    ssize_t length = note ? pread(fd, note, HEAD, 0) : -1;
    if (length < 0) {
        free(note);
        return NULL;
    }
    note[length] = 0;
    return note;
}

/* ---- The processor: programs in an image chose their code by it ---- */

static bool fits_processor(const char *note)
{
    char wanted[65], here[65];
    return note_value(note, "processor", wanted, sizeof wanted) && processor_digest(here) &&
           strcmp(wanted, here) == 0;
}

/* ---- Images ---- */

static udfvm_image *open_part(sqlite_library *library, int fd, const char *note, const char *part,
                              udfvm_image *base, char **message)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_error error = { .code = UDFVM_OK };
    unsigned long long offset, length;
    char text[64], end;
    if (!note_value(note, part, text, sizeof text) ||
        sscanf(text, "%llu %llu%c", &offset, &length, &end) != 2 || length == UINT64_MAX) {
        *message = sqlite3_mprintf("it does not give the offset and length of its %s", part);
        return NULL;
    }
    udfvm_image *image = udfvm_image_open_within(fd, offset, length, base, &error);
    if (image && udfvm_image_verify(image, &error) == UDFVM_OK)
        return image;
    udfvm_image_close(image);
    *message = sqlite3_mprintf("its %s: %s", part, error.message);
    return NULL;
}

static struct base_image *open_base(struct function_registry *registry, int fd, const char *note,
                                    const char *key, char **message)
{
    struct base_image *base = base_find(registry, key);
    if (base)
        return base;
    udfvm_image *image = open_part(registry->library, fd, note, "base", NULL, message);
    return image ? base_add(registry, key, image, message) : NULL;
}

/* A file may lower the limits of the policy, but not raise them. */
static void limit(struct udfvm_limits *limits, const struct udfvm_limits *policy)
{
    if (policy->timeout_ns && (limits->timeout_ns == 0 || limits->timeout_ns > policy->timeout_ns))
        limits->timeout_ns = policy->timeout_ns;
    if (policy->max_output && (limits->max_output == 0 || limits->max_output > policy->max_output))
        limits->max_output = policy->max_output;
    if (limits->max_log > policy->max_log)
        limits->max_log = policy->max_log;
    limits->log_sink = policy->log_sink;
}

static struct sql_function *make(struct function_registry *registry, int fd, const char *note,
                                 const char *key, struct sealed_note *sealed, char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    char name[MAX_NAME + 1];
    if (!note_value(note, "name", name, sizeof name) || !name_valid(name, strlen(name)) ||
        !sealed_read(note, name, sealed)) {
        *message = sqlite3_mprintf(
            "it is not a file that `udfvm seal --output` of this version wrote");
        return NULL;
    }
    if (!fits_processor(note)) {
        *message = sqlite3_mprintf(
            "it was sealed on another processor: run `udfvm seal --output` on this one");
        return NULL;
    }
    struct base_image *base = open_base(registry, fd, note, key, message);
    struct udfvm_sqlite_function *made = &sealed->offered;
    made->image = base ? open_part(registry->library, fd, note, "layer", base->image, message)
                       : NULL;
    if (!made->image)
        return NULL;
    made->pool = base->pool;
    limit(&made->limits, &registry->policy.limits);
    struct sql_function *function = function_create(registry, NULL, made);
    udfvm_image_close(made->image);
    return function;
}

struct sql_function *sealed_open(struct function_registry *registry, const char *path,
                                 char **message)
{
    char *key = malloc(MAX_KEY);
    const int fd = key ? open_file(registry->library, path, key, message) : -1;
    char *note = fd >= 0 ? read_head(fd) : NULL;
    struct sealed_note *sealed = note ? malloc(sizeof *sealed) : NULL;
    struct sql_function *function = sealed ? make(registry, fd, note, key, sealed, message) : NULL;
    if (fd >= 0)
        close(fd);
    free(sealed);
    free(note);
    free(key);
    return function;
}
