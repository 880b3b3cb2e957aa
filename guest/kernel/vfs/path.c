/* Paths. A program's string becomes an absolute path without links, "." and "..", and the tree that
 * holds it is found.
 *
 * Links in memory and in /proc are followed here. The host follows its own links, so these may
 * stay in a path, except before "..".
 */
#include "lib/string.h"
#include "mm/user.h"
#include "vfs/file.h"

static char working_directory[MAX_PATH] = "/";

enum tree { TREE_FILES, TREE_DEVICES, TREE_PROCESS };

bool path_below(const char *path, const char *directory, const char **rest)
{
    const size_t length = strlen(directory);
    if (strncmp(path, directory, length) != 0 || (path[length] && path[length] != '/'))
        return false;
    *rest = path + length;
    return true;
}

size_t path_parent(const char *path, char parent[MAX_PATH])
{
    size_t name = strlen(path);
    while (name > 0 && path[name - 1] != '/')
        name--;
    const size_t length = name > 1 ? name - 1 : name;
    memcpy(parent, path, length);
    parent[length] = 0;
    return name;
}

const char *path_working_directory(void)
{
    return working_directory;
}

static enum tree tree_of(const char *path)
{
    const char *rest;
    if (path_below(path, "/dev", &rest))
        return path_below(path, "/dev/shm", &rest) ? TREE_FILES : TREE_DEVICES;
    return path_below(path, "/proc", &rest) || path_below(path, "/sys", &rest) ? TREE_PROCESS
                                                                               : TREE_FILES;
}

int64_t path_status(const char *path, bool follow, struct status *status)
{
    switch (tree_of(path)) {
    case TREE_DEVICES:
        return device_status(path, follow, status);
    case TREE_PROCESS:
        return procfs_status(path, follow, status);
    default:
        return overlay_status(path, follow, status);
    }
}

int64_t path_readlink(const char *path, char *buffer, uint64_t size)
{
    switch (tree_of(path)) {
    case TREE_DEVICES:
        return device_readlink(path, buffer, size);
    case TREE_PROCESS:
        return procfs_readlink(path, buffer, size);
    default:
        return overlay_readlink(path, buffer, size);
    }
}

/* Reads a link that is followed here. A link such as /proc/self/fd/7 has no path as its target
 * if the file never had a name or has lost it: such a link is opened as it is. */
static int64_t guest_link(const char *path, char *buffer, uint64_t size)
{
    if (tree_of(path) == TREE_FILES)
        return overlay_readlink(path, buffer, size);
    struct file *file = procfs_descriptor(path);
    const bool is_directory = file && file_is_directory(file);
    file_put(file);
    return file && !is_directory ? -EINVAL : path_readlink(path, buffer, size);
}

/* A path on its way to being resolved: `path` is done, `at` is what is left; it lies in `rest` once
 * a link has been met. */
struct path_walk {
    char *path;
    size_t length;
    const char *remaining;
    unsigned links;
    bool dots, slash; /* the last component was "." or ".."; a slash follows it */
    char rest[MAX_PATH];
};

typedef int64_t readlink_function(const char *path, char *buffer, uint64_t size);

/* If the path so far is a link, goes on with its target, and with `left` after that. 1: it was; 0:
 * no link. */
static int64_t take_link(struct path_walk *walk, const char *left, readlink_function *read)
{
    const size_t capacity = sizeof walk->rest - 1;
    const size_t length = strlen(left);
    walk->path[walk->length] = 0;
    /* The rest moves to the end of the buffer, so that the target fits before it. */
    if (length > capacity - 1)
        return -ENAMETOOLONG;
    char *const kept = walk->rest + capacity - length;
    memmove(kept, left, length + 1);
    const int64_t target = read(walk->path, walk->rest, (uint64_t)(kept - walk->rest) - 1);
    if (target < 0) {
        walk->remaining = kept;
        return target == -EINVAL ? 0 : target;
    }
    if ((uint64_t)target >= (uint64_t)(kept - walk->rest) - 1)
        return -ENAMETOOLONG;
    if (target == 0)
        return -ENOENT;
    if (++walk->links > MAX_LINKS)
        return -ELOOP;
    while (walk->length && walk->path[walk->length - 1] != '/')
        walk->length--;
    walk->length -= walk->length > 0;
    if (walk->rest[0] == '/')
        walk->length = 0;
    walk->rest[target] = '/';
    memmove(walk->rest + target + (length > 0), kept, length + 1);
    walk->remaining = walk->rest;
    return 1;
}

/* "..": what it means depends on whether the component before is a link of the host. `left` begins
 * with it. */
static int64_t go_up(struct path_walk *walk, const char *left)
{
    struct status status;
    walk->path[walk->length] = 0;
    if (walk->length && tree_of(walk->path) == TREE_FILES) {
        int64_t result = overlay_status(walk->path, false, &status);
        if (result)
            return result;
        if (status_is(&status, S_IFLNK)) {
            result = take_link(walk, left, overlay_readlink);
            return result == 1 ? 0 : result ? result : -ENOTDIR;
        }
        if (!status_is(&status, S_IFDIR))
            return -ENOTDIR;
    }
    while (walk->length && walk->path[--walk->length] != '/')
        ;
    walk->remaining = left + 2;
    return 0;
}

static bool may_be_link(const char *path)
{
    return tree_of(path) != TREE_FILES || overlay_is_link_in_memory(path);
}

static bool is_last(const char *at)
{
    while (*at == '/')
        at++;
    return !*at;
}

/* Returns true if the component that ends at `end` is not followed even if it is a link. A link
 * with a slash behind it is followed, unless the path is a name to create. */
static bool is_kept(const char *end, unsigned how)
{
    return how & PATH_NAME ? is_last(end) : !*end && !(how & PATH_FOLLOW);
}

static bool append(struct path_walk *walk, const char *name, size_t length)
{
    if (length > MAX_NAME || walk->length + length + 2 > MAX_PATH)
        return false;
    walk->path[walk->length++] = '/';
    memcpy(walk->path + walk->length, name, length);
    walk->length += length;
    walk->path[walk->length] = 0;
    return true;
}

/* One component. */
static int64_t step(struct path_walk *walk, unsigned how)
{
    const char *start = walk->remaining, *end = start;
    while (*end && *end != '/')
        end++;
    const size_t part = (size_t)(end - start);
    walk->remaining = end;
    walk->dots = false;
    walk->slash = *end == '/';
    if (part <= 2 && start[0] == '.' && start[part - 1] == '.') {
        walk->dots = true;
        return part == 1 ? 0 : go_up(walk, start);
    }
    if (!append(walk, start, part))
        return -ENAMETOOLONG;
    if (is_kept(end, how) || !may_be_link(walk->path))
        return 0;
    int64_t result = take_link(walk, end, guest_link);
    return result == 1 ? 0 : result;
}

static int64_t walk_on(struct path_walk *walk, unsigned how)
{
    for (;;) {
        while (*walk->remaining == '/')
            walk->remaining++;
        if (!*walk->remaining)
            break;
        int64_t result = step(walk, how);
        if (result)
            return result;
    }
    if (walk->length == 0)
        walk->path[walk->length++] = '/';
    walk->path[walk->length] = 0;
    return 0;
}

/* A slash at the end asks for a directory: also a link of the host is followed to it. What is not
 * there at all, the caller finds. */
static int64_t insist_on_directory(struct path_walk *walk, unsigned how)
{
    struct status status;
    while (path_status(walk->path, false, &status) == 0 && !status_is(&status, S_IFDIR)) {
        if (!status_is(&status, S_IFLNK))
            return -ENOTDIR;
        int64_t result = take_link(walk, "", overlay_readlink);
        if (result == 1)
            result = walk_on(walk, how);
        if (result)
            return result;
    }
    return 0;
}

int64_t path_resolve(const char *base, const char *text, unsigned how, char path[MAX_PATH])
{
    struct path_walk
        walk; /* field by field: zeroing the buffer in it would cost more than the walk */
    walk.path = path;
    walk.length = 0;
    walk.remaining = text;
    walk.links = 0;
    walk.dots = true; /* true for "/", which has no component */
    walk.slash = false;
    if (text[0] != '/' && base[1]) { /* "/" adds nothing */
        walk.length = strlen(base);
        memcpy(path, base, walk.length);
    }
    int64_t result = walk_on(&walk, how);
    if (result)
        return result;
    if (how & (PATH_NAME | PATH_TELL))
        return (walk.slash ? PATH_SLASH : 0) | (walk.dots ? PATH_DOTS : 0);
    return walk.slash ? insist_on_directory(&walk, how) : 0;
}

int64_t path_from_program(int directory, uint64_t string, unsigned how, char path[MAX_PATH])
{
    int64_t length = user_string_length(string, MAX_PATH);
    if (length <= 0)
        return length == 0 ? -ENOENT : length;
    const char *text = (const char *)string;
    if (text[0] == '/' || directory == AT_FDCWD)
        return path_resolve(working_directory, text, how, path);
    struct file *file = file_get_named(directory);
    if (!file)
        return -EBADF;
    int64_t result = file->path && file_is_directory(file)
                         ? path_resolve(file->path, text, how, path)
                         : -ENOTDIR;
    file_put(file);
    return result;
}

struct file *vfs_open(const char *path, int flags, int mode, int64_t *error)
{
    struct file *open = procfs_descriptor(path);
    if (open) {
        *error = 0;
        struct file *file = tmpfs_reopen(open, flags, error);
        if (file || *error) {
            file_put(open);
            return file;
        }
        if (!open->path)
            return open; /* no path leads to a pipe or a socket */
        file = vfs_open(open->path, flags, mode, error);
        file_put(open);
        return file;
    }
    switch (tree_of(path)) {
    case TREE_DEVICES:
        return device_open(path, flags, error);
    case TREE_PROCESS:
        return procfs_open(path, flags, error);
    default:
        return overlay_open(path, flags, mode, error);
    }
}

SYSTEM_CALL(getcwd)
{
    const size_t length = strlen(working_directory) + 1;
    if (b < length)
        return -ERANGE;
    if (!user_range_ok(a, length))
        return -EFAULT;
    memcpy((void *)a, working_directory, length);
    return (int64_t)length;
}

static int64_t change_directory(const char *path)
{
    struct status status;
    int64_t result = path_status(path, true, &status);
    if (result == 0 && !status_is(&status, S_IFDIR))
        result = -ENOTDIR;
    if (result == 0)
        memcpy(working_directory, path, strlen(path) + 1);
    return result;
}

SYSTEM_CALL(chdir)
{
    char path[MAX_PATH];
    int64_t result = path_from_program(AT_FDCWD, a, PATH_FOLLOW, path);
    return result ? result : change_directory(path);
}

SYSTEM_CALL(fchdir)
{
    struct file *file = file_get_named((int)a);
    if (!file)
        return -EBADF;
    int64_t result = file->path && file_is_directory(file) ? change_directory(file->path)
                                                           : -ENOTDIR;
    file_put(file);
    return result;
}
