/* Opening files, and changing names and attributes. */
#include "lib/string.h"
#include "mm/user.h"
#include "vfs/file.h"

#define TIME_NOW   ((1l << 30) - 1l) /* UTIME_NOW, UTIME_OMIT */
#define TIME_OMIT  ((1l << 30) - 2l)
#define NO_REPLACE 1u /* RENAME_NOREPLACE */

static uint32_t umask_bits = 022;

/* ---- Opening ---- */

static int64_t open_at(int directory, uint64_t string, int flags, uint32_t mode)
{
    char path[MAX_PATH];
    const bool follow = !(flags & O_NOFOLLOW) && !((flags & O_CREAT) && (flags & O_EXCL));
    int64_t error = path_from_program(
        directory, string, (follow ? PATH_FOLLOW : 0) | (flags & O_CREAT ? PATH_TELL : 0), path);
    if (error < 0)
        return error;
    if (error & PATH_SLASH)
        return -EISDIR;
    if ((flags & O_CREAT) && (flags & O_DIRECTORY))
        return -EINVAL;
    struct file *file = vfs_open(path, flags, (int)(mode & 07777 & ~umask_bits), &error);
    return file ? descriptor_install(file, 0, flags & O_CLOEXEC) : error;
}

SYSTEM_CALL(open)
{
    return open_at(AT_FDCWD, a, (int)b, (uint32_t)c);
}
SYSTEM_CALL(openat)
{
    return open_at((int)a, b, (int)c, (uint32_t)d);
}
SYSTEM_CALL(creat)
{
    return open_at(AT_FDCWD, a, O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)b);
}

SYSTEM_CALL(openat2)
{
    struct {
        uint64_t flags, mode, resolve;
    } how;
    if (d < sizeof how)
        return -EINVAL;
    if (!user_range_ok(c, sizeof how))
        return -EFAULT;
    memcpy(&how, (const void *)c, sizeof how);
    if (how.flags >> 32 || how.mode & ~07777ull)
        return -EINVAL;
    if (how.resolve)
        return -ENOSYS; /* rather than to resolve less strictly than asked: programs have ways of
                           their own for kernels without the call, and look for this number
                           (cap-std) */
    return open_at((int)a, b, (int)how.flags, (uint32_t)how.mode);
}

SYSTEM_CALL(memfd_create)
{
    char path[300];
    int64_t length = user_string_length(a, 250);
    if (length < 0)
        return length == -ENAMETOOLONG ? -EINVAL : length;
    if (b & ~3ull) /* MFD_CLOEXEC, MFD_ALLOW_SEALING */
        return -EINVAL;
    format(path, sizeof path, "/memfd:%s", (const char *)a);
    struct file *file = tmpfs_anonymous(path, O_RDWR, 0777);
    return file ? descriptor_install(file, 0, b & 1) : -ENOMEM;
}

/* ---- Making and removing names ---- */

/* The path of a name to be made other than as a directory: written with a slash it could only be
 * one that is there. */
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
               : overlay_make(path, S_IFDIR | ((uint32_t)mode & 01777 & ~umask_bits), NULL);
}

SYSTEM_CALL(mkdir)
{
    return make_directory(AT_FDCWD, a, b);
}
SYSTEM_CALL(mkdirat)
{
    return make_directory((int)a, b, c);
}

/* Memory file systems alone. Unlike elsewhere the directory need not be there: the tree of the host
 * cannot be written. */
SYSTEM_CALL(mount)
{
    char path[MAX_PATH];
    const int64_t length = user_string_length(c, 64);
    if (length < 0)
        return length;
    if (strcmp((const char *)c, "tmpfs") != 0)
        return -ENODEV;
    const int64_t result = path_from_program(AT_FDCWD, b, PATH_NAME, path);
    return result < 0 ? result : overlay_mount(path);
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
    if (flags & ~(uint64_t)NO_REPLACE)
        return -EINVAL;
    int64_t one = path_from_program(from_directory, from_string, PATH_NAME, from);
    int64_t other = one < 0 ? one : path_from_program(to_directory, to_string, PATH_NAME, to);
    if (other < 0)
        return other;
    if ((one | other) & PATH_DOTS)
        return -EBUSY;
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

/* A file without a name gets one by its descriptor: with an empty path, or through /proc/self/fd.
 */
static int64_t hard_link(int from_directory, uint64_t from_string, int to_directory,
                         uint64_t to_string, uint64_t flags)
{
    char from[MAX_PATH], to[MAX_PATH];
    struct file *file = NULL;
    int64_t result = 0;
    if (flags & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if ((flags & AT_EMPTY_PATH) && user_range_ok(from_string, 1) && !*(const char *)from_string) {
        file = file_get(from_directory);
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
        result = file ? tmpfs_link_file(file, to) : overlay_link(from, to);
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

/* ---- Attributes ---- */

static int64_t change_at(int directory, uint64_t string, bool follow,
                         const struct attributes *change)
{
    char path[MAX_PATH];
    int64_t result = path_from_program(directory, string, follow ? PATH_FOLLOW : 0, path);
    if (result)
        return result;
    struct file *file = procfs_descriptor(path);
    if (!file)
        return overlay_change(path, change);
    result = file->operations->change ? file->operations->change(file, change) : -EROFS;
    file_put(file);
    return result;
}

static int64_t change_open(int fd, const struct attributes *change)
{
    struct file *file = file_get(fd);
    if (!file)
        return -EBADF;
    int64_t result = file->operations->change ? file->operations->change(file, change)
                     : file->path             ? -EROFS
                                              : 0;
    file_put(file);
    return result;
}

static struct attributes new_mode(uint64_t mode)
{
    return (struct attributes){ .set_mode = true, .mode = (uint32_t)mode & 07777 };
}

SYSTEM_CALL(chmod)
{
    return change_at(AT_FDCWD, a, true, &(struct attributes[]){ new_mode(b) }[0]);
}
SYSTEM_CALL(fchmodat)
{
    return change_at((int)a, b, true, &(struct attributes[]){ new_mode(c) }[0]);
}
SYSTEM_CALL(fchmod)
{
    return change_open((int)a, &(struct attributes[]){ new_mode(b) }[0]);
}

/* Everything belongs to root, the only user; to give it to root again is no error. */
static bool is_root(uint64_t user, uint64_t group)
{
    return ((uint32_t)user == 0 || (uint32_t)user == UINT32_MAX) &&
           ((uint32_t)group == 0 || (uint32_t)group == UINT32_MAX);
}

static const struct attributes no_change;

SYSTEM_CALL(chown)
{
    return is_root(b, c) ? change_at(AT_FDCWD, a, true, &no_change) : -EPERM;
}
SYSTEM_CALL(lchown)
{
    return is_root(b, c) ? change_at(AT_FDCWD, a, false, &no_change) : -EPERM;
}
SYSTEM_CALL(fchown)
{
    return is_root(b, c) ? change_open((int)a, &no_change) : -EPERM;
}

SYSTEM_CALL(fchownat)
{
    if (!is_root(c, d))
        return -EPERM;
    if ((e & AT_EMPTY_PATH) && user_range_ok(b, 1) && !*(const char *)b)
        return change_open((int)a, &no_change);
    return change_at((int)a, b, !(e & AT_SYMLINK_NOFOLLOW), &no_change);
}

static int64_t take_time(const int64_t from[2], bool *set, struct timestamp *time)
{
    *set = from[1] != TIME_OMIT;
    if (!*set)
        return 0;
    *time = from[1] == TIME_NOW ? timestamp_now()
                                : (struct timestamp){ from[0], (uint32_t)from[1] };
    return from[1] != TIME_NOW && (from[1] < 0 || from[1] >= (int64_t)NANOSECONDS) ? -EINVAL : 0;
}

SYSTEM_CALL(utimensat)
{
    struct attributes change = { .set_mode = false };
    int64_t times[4] = { 0, TIME_NOW, 0, TIME_NOW }; /* accessed, modified: seconds, nanoseconds */
    if (c && !user_range_ok(c, sizeof times))
        return -EFAULT;
    if (c)
        memcpy(times, (const void *)c, sizeof times);
    int64_t error = take_time(times, &change.set_accessed, &change.accessed);
    if (error == 0)
        error = take_time(times + 2, &change.set_modified, &change.modified);
    if (error)
        return error;
    return b ? change_at((int)a, b, !(d & AT_SYMLINK_NOFOLLOW), &change)
             : change_open((int)a, &change);
}

SYSTEM_CALL(umask)
{
    const uint32_t before = umask_bits;
    umask_bits = (uint32_t)a & 0777;
    return before;
}
