/* Opening files that nobody but this user and root can have put where they are: everything that is
 * read from the image cache.
 *
 * A path is walked from the root. Each directory is judged by the descriptor that the next step
 * starts from, so that nobody can exchange it in between: it belongs to this user or to root, and
 * others cannot write it, unless it is sticky, as /tmp is, or others cannot get to it. The
 * directory of the file, and the file, may not be writable by others at all. The file is a regular
 * one, and is opened without following a link and without waiting for somebody at its other end.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"
#include "base/error.h"

#define MAX_LINKS     40u /* symbolic links on the way, as Linux has it */
#define SHOWN         200 /* bytes of a path in a message: its end */
#define OTHERS_WRITE  (S_IWGRP | S_IWOTH)
#define OTHERS_SEARCH (S_IXGRP | S_IXOTH)

struct walk {
    int fd;         /* the directory reached */
    bool reachable; /* others may search every directory down to here */
    unsigned links;
    char reached[PATH_MAX];  /* the path of that directory, for messages */
    char rest[2 * PATH_MAX]; /* what is left to walk */
    char path[PATH_MAX];     /* of what is judged, for messages */
};

static const char *shown(const char *path)
{
    const size_t length = strlen(path);
    return length > SHOWN ? path + length - SHOWN : path;
}

static int refuse(struct udfvm_error *error, const char *path, const char *finding,
                  const char *advice)
{
    return udfvm_fail(error, UDFVM_E_CACHE, "%s %s: %s", shown(path), finding, advice);
}

static int refuse_errno(struct udfvm_error *error, const char *path)
{
    const int number = errno;
    if (number == ENOENT) {
        udfvm_fail_errno(error, "%s", shown(path));
        return UDFVM_E_SYSTEM;
    }
    if (number == ELOOP)
        refuse(error, path, "is a symbolic link",
               "remove it, or set UDFVM_CACHE to another directory");
    else if (number == ENXIO)
        refuse(error, path, "is not a regular file", "remove it");
    else
        udfvm_fail(error, UDFVM_E_CACHE,
                   "%s cannot be opened: %s: see to its permissions, or set UDFVM_CACHE to another "
                   "directory",
                   shown(path), strerror(number));
    if (error)
        error->os_errno = number;
    return UDFVM_E_CACHE;
}

/* In a user namespace whoever has no number in it, mostly the machine's own root, is shown as this
 * one. */
static bool has_no_number_here(uid_t owner)
{
    unsigned overflow = 0, first, outside, count;
    FILE *file = fopen("/proc/sys/kernel/overflowuid", "re");
    bool found = file && fscanf(file, "%u", &overflow) == 1 && overflow == owner;
    if (file)
        fclose(file);
    file = found ? fopen("/proc/self/uid_map", "re") : NULL;
    found = file != NULL;
    while (found && fscanf(file, "%u %u %u", &first, &outside, &count) == 3)
        found = owner < first || owner - first >= count;
    if (file)
        fclose(file);
    return found;
}

static bool is_ours(uid_t owner)
{
    return owner == geteuid() || owner == 0;
}

static int judge_directory(struct walk *walk, bool last, struct udfvm_error *error)
{
    struct stat status;
    if (fstat(walk->fd, &status) < 0)
        return refuse_errno(error, walk->reached);
    if (!is_ours(status.st_uid) && (last || !has_no_number_here(status.st_uid)))
        return refuse(error, walk->reached, "belongs to another user",
                      "set UDFVM_CACHE to a directory of your own");
    const bool written = status.st_mode & OTHERS_WRITE;
    if (written && (last || (walk->reachable && !(status.st_mode & S_ISVTX))))
        return refuse(error, walk->reached, "can be written by other users",
                      "take that from them (chmod go-w), or set UDFVM_CACHE to another directory");
    walk->reachable = walk->reachable && (status.st_mode & OTHERS_SEARCH);
    return UDFVM_OK;
}

/* Takes the next component off the rest; false where there is none. */
static bool next_component(struct walk *walk, char name[NAME_MAX + 1])
{
    const char *start = walk->rest + strspn(walk->rest, "/");
    const size_t length = strcspn(start, "/");
    if (length == 0 || length > NAME_MAX)
        return false;
    memcpy(name, start, length);
    name[length] = 0;
    memmove(walk->rest, start + length, strlen(start + length) + 1);
    return true;
}

static int go_to(struct walk *walk, int fd, const char *name, struct udfvm_error *error)
{
    const int number = errno;
    if (walk->fd >= 0)
        close(walk->fd);
    walk->fd = fd;
    if (strcmp(name, "/") == 0)
        walk->reached[0] = 0;
    const size_t used = strlen(walk->reached);
    snprintf(walk->reached + used, sizeof walk->reached - used, "%s%s", used > 1 ? "/" : "", name);
    if (strcmp(name, "/") == 0 || strcmp(name, "..") == 0)
        walk->reachable = true; /* upwards: what is above is judged as if others got there */
    errno = number;
    return fd < 0 ? refuse_errno(error, walk->reached) : UDFVM_OK;
}

/* Puts the target of a link in front of the rest. */
static int follow(struct walk *walk, const char *name, struct udfvm_error *error)
{
    struct stat status;
    char target[PATH_MAX];
    snprintf(walk->path, sizeof walk->path, "%.*s/%s", (int)(sizeof walk->path - NAME_MAX - 2),
             walk->reached, name);
    if (fstatat(walk->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return refuse_errno(error, walk->path);
    if (!is_ours(status.st_uid) && !has_no_number_here(status.st_uid))
        return refuse(error, walk->path, "is a symbolic link of another user",
                      "set UDFVM_CACHE to a directory of your own");
    const ssize_t length = readlinkat(walk->fd, name, target, sizeof target - 1);
    if (length <= 0)
        return refuse_errno(error, walk->path);
    const size_t left = strlen(walk->rest);
    if (++walk->links > MAX_LINKS || (size_t)length + left + 2 > sizeof walk->rest) {
        errno = ELOOP;
        return refuse_errno(error, walk->path);
    }
    memmove(walk->rest + length, walk->rest, left + 1);
    memcpy(walk->rest, target, (size_t)length);
    return target[0] == '/' ? go_to(walk, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "/", error)
                            : UDFVM_OK;
}

static int step(struct walk *walk, const char *name, struct udfvm_error *error)
{
    struct stat status;
    if (fstatat(walk->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode))
        return follow(walk, name, error);
    return go_to(walk, openat(walk->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), name,
                 error);
}

/* Walks to a directory and judges it and all above it. */
static int walk_to(struct walk *walk, const char *directory, struct udfvm_error *error)
{
    char name[NAME_MAX + 1];
    if (directory[0] != '/' && !getcwd(walk->rest, PATH_MAX))
        return refuse_errno(error, directory);
    if (strlen(walk->rest) + strlen(directory) + 2 > sizeof walk->rest) {
        errno = ENAMETOOLONG;
        return refuse_errno(error, directory);
    }
    strcat(strcat(walk->rest, "/"), directory);
    UDFVM_TRY(go_to(walk, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "/", error));
    while (next_component(walk, name)) {
        UDFVM_TRY(judge_directory(walk, false, error));
        UDFVM_TRY(step(walk, name, error));
    }
    if (strspn(walk->rest, "/") != strlen(walk->rest)) {
        errno = ENAMETOOLONG;
        return refuse_errno(error, directory);
    }
    return judge_directory(walk, true, error);
}

static int judge_file(const struct walk *walk, const struct stat *status, struct udfvm_error *error)
{
    const mode_t type = status->st_mode & S_IFMT;
    if (type != S_IFREG)
        return refuse(error, walk->path,
                      type == S_IFLNK    ? "is a symbolic link"
                      : type == S_IFDIR  ? "is a directory"
                      : type == S_IFIFO  ? "is a FIFO"
                      : type == S_IFSOCK ? "is a socket"
                                         : "is a device",
                      "remove it, or set UDFVM_CACHE to another directory");
    if (!is_ours(status->st_uid))
        return refuse(error, walk->path, "belongs to another user",
                      "remove it, or set UDFVM_CACHE to a directory of your own");
    if (status->st_mode & OTHERS_WRITE)
        return refuse(error, walk->path, "can be written by other users",
                      "remove it, or take that from them (chmod go-w)");
    return UDFVM_OK;
}

/* Judged first by name, as the mere opening of some devices does something, then by what was
 * opened. */
static int open_file(struct walk *walk, const char *name, int flags, struct udfvm_error *error)
{
    struct stat status;
    snprintf(walk->path, sizeof walk->path, "%.*s/%s", (int)(sizeof walk->path - NAME_MAX - 2),
             walk->reached, name);
    if (fstatat(walk->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        judge_file(walk, &status, error) != UDFVM_OK)
        return -1;
    const int fd = openat(walk->fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
                          0600);
    if (fd < 0 || fstat(fd, &status) < 0)
        refuse_errno(error, walk->path);
    else if (judge_file(walk, &status, error) == UDFVM_OK)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int udfvm_private_open(const char *directory, const char *name, int flags,
                       struct udfvm_error *error)
{
    struct walk *walk = calloc(1, sizeof *walk);
    int fd = -1;
    udfvm_error_clear(error);
    if (!walk) {
        udfvm_fail_errno(error, "opening a file of the image cache");
        return -1;
    }
    walk->fd = -1;
    if (name && (strchr(name, '/') || strlen(name) > NAME_MAX || name[0] == 0))
        refuse(error, name, "is not the name of a file", "pass one without a directory");
    else if (walk_to(walk, directory, error) == UDFVM_OK) {
        fd = name ? open_file(walk, name, flags, error)
                  : openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && !name)
            refuse_errno(error, walk->reached);
    }
    if (walk->fd >= 0)
        close(walk->fd);
    free(walk);
    return fd;
}
