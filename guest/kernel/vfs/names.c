/* Opening files, and changing names in the memory file systems. Everywhere else is read-only. */
#include "file.h"
#include "syscalls.h"

static uint32_t umask_bits = 022;

static int64_t open_at(int directory, uint64_t string, int flags, int mode)
{
    char path[PATH_LIMIT];
    int64_t error = path_from_program(directory, string, path);
    struct file *file = error ? NULL : vfs_open(path, flags, mode & ~(int)umask_bits, &error);
    return file ? descriptor_install(file, 0, flags & O_CLOEXEC) : error;
}

SYSCALL(sys_open) { return open_at(AT_FDCWD, a, (int)b, (int)c); }
SYSCALL(sys_openat) { return open_at((int)a, b, (int)c, (int)d); }
SYSCALL(sys_creat) { return open_at(AT_FDCWD, a, O_CREAT | O_WRONLY | O_TRUNC, (int)b); }

SYSCALL(sys_openat2)
{
    struct { uint64_t flags, mode, resolve; } how;
    if (d < sizeof how || !user_range_ok(c, sizeof how))
        return d < sizeof how ? -EINVAL : -EFAULT;
    memcpy(&how, (const void *)c, sizeof how);
    return open_at((int)a, b, (int)how.flags, (int)how.mode);
}

/* Where names can be changed; elsewhere the answer depends on whether the name exists. */
static int64_t writable_path(int directory, uint64_t string, char path[PATH_LIMIT])
{
    struct udfvm_stat stat;
    int64_t result = path_from_program(directory, string, path);
    if (result || tmpfs_covers(path))
        return result;
    result = path_status(path, false, &stat);
    return result == 0 || result == -ENOENT ? -EROFS : result;
}

static int64_t make_directory(int directory, uint64_t string, uint64_t mode)
{
    char path[PATH_LIMIT];
    struct udfvm_stat stat;
    int64_t result = writable_path(directory, string, path);
    if (result == -EROFS && path_status(path, true, &stat) == 0)
        return -EEXIST;                          /* os.makedirs relies on it */
    return result ? result : tmpfs_make(path, S_IFDIR | ((uint32_t)mode & 07777 & ~umask_bits), NULL);
}

static int64_t remove_name(int directory, uint64_t string, bool is_directory)
{
    char path[PATH_LIMIT];
    int64_t result = writable_path(directory, string, path);
    return result ? result : tmpfs_remove(path, is_directory);
}

static int64_t rename_names(int from_directory, uint64_t from_string, int to_directory, uint64_t to_string, uint64_t flags)
{
    char from[PATH_LIMIT], to[PATH_LIMIT];
    int64_t result = writable_path(from_directory, from_string, from);
    if (result == 0)
        result = writable_path(to_directory, to_string, to);
    return result ? result : flags & ~1ull ? -EINVAL : tmpfs_rename(from, to, !(flags & 1));      /* 1: RENAME_NOREPLACE */
}

static int64_t make_link(uint64_t target_string, int directory, uint64_t string)
{
    char path[PATH_LIMIT];
    int64_t length = user_string_length(target_string, PATH_LIMIT);
    int64_t result = length <= 0 ? (length ? length : -ENOENT) : writable_path(directory, string, path);
    return result ? result : tmpfs_make(path, S_IFLNK | 0777, (const char *)target_string);
}

static int64_t hard_link(int from_directory, uint64_t from_string, int to_directory, uint64_t to_string)
{
    char from[PATH_LIMIT], to[PATH_LIMIT];
    int64_t result = writable_path(from_directory, from_string, from);
    if (result == 0)
        result = writable_path(to_directory, to_string, to);
    return result ? result : tmpfs_link(from, to);
}

static int64_t change(int directory, uint64_t string, int32_t mode)
{
    char path[PATH_LIMIT];
    int64_t result = writable_path(directory, string, path);
    return result ? result : tmpfs_change(path, mode);
}

static int64_t change_open(int fd, int32_t mode)
{
    struct file *file = file_get(fd);
    if (!file)
        return -EBADF;
    int64_t result = file->path ? (tmpfs_covers(file->path) ? tmpfs_change(file->path, mode) : -EROFS) : 0;
    file_put(file);
    return result;
}

SYSCALL(sys_mkdir) { return make_directory(AT_FDCWD, a, b); }
SYSCALL(sys_mkdirat) { return make_directory((int)a, b, c); }
SYSCALL(sys_rmdir) { return remove_name(AT_FDCWD, a, true); }
SYSCALL(sys_unlink) { return remove_name(AT_FDCWD, a, false); }
SYSCALL(sys_unlinkat) { return remove_name((int)a, b, c & AT_REMOVEDIR); }
SYSCALL(sys_rename) { return rename_names(AT_FDCWD, a, AT_FDCWD, b, 0); }
SYSCALL(sys_renameat) { return rename_names((int)a, b, (int)c, d, 0); }
SYSCALL(sys_renameat2) { return rename_names((int)a, b, (int)c, d, e); }
SYSCALL(sys_symlink) { return make_link(a, AT_FDCWD, b); }
SYSCALL(sys_symlinkat) { return make_link(a, (int)b, c); }
SYSCALL(sys_link) { return hard_link(AT_FDCWD, a, AT_FDCWD, b); }
SYSCALL(sys_linkat) { return hard_link((int)a, b, (int)c, d); }
SYSCALL(sys_chmod) { return change(AT_FDCWD, a, (int32_t)(b & 07777)); }
SYSCALL(sys_fchmodat) { return change((int)a, b, (int32_t)(c & 07777)); }
SYSCALL(sys_fchmod) { return change_open((int)a, (int32_t)(b & 07777)); }
SYSCALL(sys_chown) { return change(AT_FDCWD, a, -1); }
SYSCALL(sys_fchownat) { return change((int)a, b, -1); }
SYSCALL(sys_fchown) { return change_open((int)a, -1); }
SYSCALL(sys_utimensat) { return b ? change((int)a, b, -1) : change_open((int)a, -1); }

SYSCALL(sys_umask)
{
    const uint32_t before = umask_bits;
    umask_bits = (uint32_t)a & 0777;
    return before;
}

SYSCALL(sys_memfd_create)
{
    char path[300];
    int64_t length = user_string_length(a, 250);
    if (length < 0)
        return length;
    format(path, sizeof path, "/memfd:%s", (const char *)a);
    struct file *file = tmpfs_anonymous(path, O_RDWR);
    return file ? descriptor_install(file, 0, b & 1) : -ENOMEM;          /* 1: MFD_CLOEXEC */
}
