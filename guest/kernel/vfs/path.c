/* Paths: from a program's string to an absolute, normalised path, and from there to the tree that holds it. */
#include "file.h"
#include "syscalls.h"

static char working_directory[PATH_LIMIT] = "/";

int64_t path_normalise(const char *base, const char *relative, char path[PATH_LIMIT])
{
    size_t length = 0;
    const char *sources[2] = { relative[0] == '/' ? "" : base, relative };
    for (int i = 0; i < 2; i++)
        for (const char *at = sources[i]; *at;) {
            const char *start = at;
            while (*at && *at != '/')
                at++;
            const size_t part = (size_t)(at - start);
            while (*at == '/')
                at++;
            if (part == 0 || (part == 1 && start[0] == '.'))
                continue;
            if (part == 2 && start[0] == '.' && start[1] == '.') {
                while (length && path[--length] != '/')
                    ;
                continue;
            }
            if (part > 255 || length + part + 2 > PATH_LIMIT)
                return -ENAMETOOLONG;
            path[length++] = '/';
            memcpy(path + length, start, part);
            length += part;
        }
    if (length == 0)
        path[length++] = '/';
    path[length] = 0;
    return 0;
}

int64_t path_from_program(int directory, uint64_t string, char path[PATH_LIMIT])
{
    int64_t length = user_string_length(string, PATH_LIMIT);
    if (length <= 0)
        return length == 0 ? -ENOENT : length;
    const char *text = (const char *)string;
    if (text[0] == '/' || directory == AT_FDCWD)
        return path_normalise(working_directory, text, path);
    struct file *file = file_get(directory);
    if (!file)
        return -EBADF;
    int64_t result = file->path && file->operations->entry ? path_normalise(file->path, text, path) : -ENOTDIR;
    file_put(file);
    return result;
}

bool path_below(const char *path, const char *directory, const char **rest)
{
    size_t length = strlen(directory);
    if (strncmp(path, directory, length) != 0 || (path[length] && path[length] != '/'))
        return false;
    *rest = path + length;
    return true;
}

static bool is_device(const char *path)
{
    const char *rest;
    return path_below(path, "/dev", &rest);
}

/* The memory file systems lie over the host's tree, which may hold installed packages below a mount point such as /tmp: what is not in
 * memory is looked for there. */
int64_t path_status(const char *path, bool follow, struct udfvm_stat *stat)
{
    if (tmpfs_covers(path)) {
        int64_t result = tmpfs_status(path, follow, stat);
        return result == -ENOENT ? host_status(path, follow, stat) : result;
    }
    if (is_device(path))
        return device_status(path, stat);
    return procfs_covers(path) ? procfs_status(path, follow, stat) : host_status(path, follow, stat);
}

int64_t path_readlink(const char *path, char *buffer, uint64_t size)
{
    if (tmpfs_covers(path)) {
        int64_t result = tmpfs_readlink(path, buffer, size);
        return result == -ENOENT ? host_readlink(path, buffer, size) : result;
    }
    if (is_device(path))
        return -EINVAL;
    return procfs_covers(path) ? procfs_readlink(path, buffer, size) : host_readlink(path, buffer, size);
}

struct file *vfs_open(const char *path, int flags, int mode, int64_t *error)
{
    char target[PATH_LIMIT];
    if (tmpfs_covers(path)) {
        struct file *file = tmpfs_open(path, flags, mode, error);
        return file || *error != -ENOENT || (flags & O_CREAT) ? file : host_open(path, flags, error);
    }
    if (is_device(path))
        return device_open(path, flags, error);
    if (procfs_covers(path)) {
        int64_t length = procfs_readlink(path, target, sizeof target - 1);
        if (length < 0)
            return procfs_open(path, flags, error);
        target[length] = 0;
        return vfs_open(target, flags, mode, error);
    }
    return host_open(path, flags, error);
}

SYSCALL(sys_getcwd)
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
    struct udfvm_stat stat;
    int64_t result = path_status(path, true, &stat);
    if (result == 0 && (stat.mode & S_IFMT) != S_IFDIR)
        result = -ENOTDIR;
    if (result == 0)
        memcpy(working_directory, path, strlen(path) + 1);
    return result;
}

SYSCALL(sys_chdir)
{
    char path[PATH_LIMIT];
    int64_t result = path_from_program(AT_FDCWD, a, path);
    return result ? result : change_directory(path);
}

SYSCALL(sys_fchdir)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    int64_t result = file->path ? change_directory(file->path) : -ENOTDIR;
    file_put(file);
    return result;
}
