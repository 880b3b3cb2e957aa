/* System calls that create, remove and rename directory entries. */
#include "lib/string.h"
#include "mm/user.h"
#include "vfs/file.h"

#define NO_REPLACE 1u /* RENAME_NOREPLACE */
#define EXCHANGE   2u /* RENAME_EXCHANGE */

/* Resolves the path of a new name that is not a directory. A slash at its end would name an
 * existing directory. */
static int64_t path_to_make(int directory, uint64_t string, char path[MAX_PATH])
{
    struct status status;
    int64_t result = path_from_program(directory, string, PATH_NAME, path);
    if (result <= 0)
        return result;
    return result & PATH_DOTS || path_status(path, false, &status) == 0 ? -EEXIST : -ENOENT;
}

static int64_t make_directory(int directory, uint64_t string, uint64_t mode)
{
    char path[MAX_PATH];
    int64_t result = path_from_program(directory, string, PATH_NAME, path);
    if (result < 0)
        return result;
    return result & PATH_DOTS
               ? -EEXIST
               : overlay_make(path, S_IFDIR | permitted_mode((uint32_t)mode & 01777), NULL);
}

SYSTEM_CALL(mkdir)
{
    return make_directory(AT_FDCWD, a, b);
}
SYSTEM_CALL(mkdirat)
{
    return make_directory((int)a, b, c);
}

/* Creates an empty file, or a FIFO. Devices are for privileged programs. */
static int64_t make_node(int directory, uint64_t string, uint32_t mode)
{
    char path[MAX_PATH];
    const uint32_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
    if (type == S_IFDIR || type == S_IFCHR || type == S_IFBLK)
        return -EPERM;
    if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
        return -EINVAL;
    const int64_t result = path_to_make(directory, string, path);
    return result ? result : overlay_make(path, type | permitted_mode(mode & 07777), NULL);
}

SYSTEM_CALL(mknod)
{
    return make_node(AT_FDCWD, a, (uint32_t)b);
}
SYSTEM_CALL(mknodat)
{
    return make_node((int)a, b, (uint32_t)c);
}

/* mount(2) mounts memory file systems only. Unlike in Linux, the directory need not exist,
 * because the program cannot create one in the host's tree. */
SYSTEM_CALL(mount)
{
    char path[MAX_PATH];
    const int64_t length = user_string_length(c, 64);
    if (length < 0)
        return length;
    if (strcmp((const char *)c, "tmpfs") != 0)
        return -ENODEV;
    const int64_t result = path_from_program(AT_FDCWD, b, PATH_NAME, path);
    return result < 0 ? result : mount_memory(path);
}

static int64_t remove_directory(int directory, uint64_t string)
{
    char path[MAX_PATH];
    int64_t result = path_from_program(directory, string, PATH_NAME, path);
    if (result < 0)
        return result;
    if (!(result & PATH_DOTS))
        return overlay_remove(path, true);
    const char *text = (const char *)string;
    size_t length = strlen(text);
    while (length && text[length - 1] == '/')
        length--;
    return length == 0                             ? -EBUSY
           : length > 1 && text[length - 2] == '.' ? -ENOTEMPTY
                                                   : -EINVAL; /* "/", "..", "." */
}

static int64_t remove_file(int directory, uint64_t string)
{
    char path[MAX_PATH];
    struct status status;
    int64_t result = path_from_program(directory, string, PATH_NAME, path);
    if (result < 0 || result & PATH_DOTS)
        return result < 0 ? result : -EISDIR;
    if (result & PATH_SLASH) {
        result = path_status(path, false, &status);
        return result ? result : status_is(&status, S_IFDIR) ? -EISDIR : -ENOTDIR;
    }
    return overlay_remove(path, false);
}

SYSTEM_CALL(rmdir)
{
    return remove_directory(AT_FDCWD, a);
}
SYSTEM_CALL(unlink)
{
    return remove_file(AT_FDCWD, a);
}

SYSTEM_CALL(unlinkat)
{
    if (c & ~(uint64_t)AT_REMOVEDIR)
        return -EINVAL;
    return c & AT_REMOVEDIR ? remove_directory((int)a, b) : remove_file((int)a, b);
}

static int64_t rename_names(int from_directory, uint64_t from_string, int to_directory,
                            uint64_t to_string, uint64_t flags)
{
    char from[MAX_PATH], to[MAX_PATH];
    if (flags != EXCHANGE && (flags & ~(uint64_t)NO_REPLACE))
        return -EINVAL;
    int64_t one = path_from_program(from_directory, from_string, PATH_NAME, from);
    int64_t other = one < 0 ? one : path_from_program(to_directory, to_string, PATH_NAME, to);
    if (other < 0)
        return other;
    if ((one | other) & PATH_DOTS)
        return -EBUSY;
    if (flags & EXCHANGE)
        return overlay_exchange(from, to, one & PATH_SLASH, other & PATH_SLASH);
    return overlay_rename(from, to, !(flags & NO_REPLACE), (one | other) & PATH_SLASH);
}

SYSTEM_CALL(rename)
{
    return rename_names(AT_FDCWD, a, AT_FDCWD, b, 0);
}
SYSTEM_CALL(renameat)
{
    return rename_names((int)a, b, (int)c, d, 0);
}
SYSTEM_CALL(renameat2)
{
    return rename_names((int)a, b, (int)c, d, (uint32_t)e);
}

static int64_t symbolic_link(uint64_t target, int directory, uint64_t string)
{
    char path[MAX_PATH];
    int64_t length = user_string_length(target, MAX_PATH);
    if (length <= 0)
        return length ? length : -ENOENT;
    int64_t result = path_to_make(directory, string, path);
    return result ? result : overlay_make(path, S_IFLNK | 0777, (const char *)target);
}

SYSTEM_CALL(symlink)
{
    return symbolic_link(a, AT_FDCWD, b);
}
SYSTEM_CALL(symlinkat)
{
    return symbolic_link(a, (int)b, c);
}

static int64_t link_path(const char *from, const char *to)
{
    struct status status;
    const int64_t result = overlay_link(from, to);
    if (result != -ENOENT || path_status(from, false, &status))
        return result;
    return status.device == DEVICE_PROCESS || status.device == DEVICE_DEVICES ? -EXDEV : result;
}

/* linkat(2) can also name a file that has no name. It takes the file's descriptor, with an empty
 * path or as /proc/self/fd/N. */
static int64_t hard_link(int from_directory, uint64_t from_string, int to_directory,
                         uint64_t to_string, uint64_t flags)
{
    char from[MAX_PATH], to[MAX_PATH];
    struct file *file = NULL;
    int64_t result = 0;
    if (flags & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if ((flags & AT_EMPTY_PATH) && user_range_ok(from_string, 1) && !*(const char *)from_string) {
        file = file_get_named(from_directory);
        result = file ? 0 : -EBADF;
    } else {
        result = path_from_program(from_directory, from_string,
                                   flags & AT_SYMLINK_FOLLOW ? PATH_FOLLOW : 0, from);
        if (result == 0 && (flags & AT_SYMLINK_FOLLOW))
            file = procfs_descriptor(from);
    }
    if (result == 0)
        result = path_to_make(to_directory, to_string, to);
    if (result == 0)
        result = file ? tmpfs_link_file(file, to) : link_path(from, to);
    file_put(file);
    return result;
}

SYSTEM_CALL(link)
{
    return hard_link(AT_FDCWD, a, AT_FDCWD, b, 0);
}
SYSTEM_CALL(linkat)
{
    return hard_link((int)a, b, (int)c, d, (uint32_t)e);
}
