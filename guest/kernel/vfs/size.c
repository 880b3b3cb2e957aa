/* System calls that set the size of a file. */
#include "mm/user.h"
#include "vfs/file.h"

#define KEEP_SIZE 1u /* fallocate(2) */

static int64_t truncate_file(struct file *file, uint64_t size)
{
    if (!file->operations->truncate || !file_writable(file))
        return -EINVAL;
    return (int64_t)size < 0 ? -EINVAL : file->operations->truncate(file, size);
}

SYSTEM_CALL(ftruncate)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    int64_t result = truncate_file(file, b);
    file_put(file);
    return result;
}

SYSTEM_CALL(truncate)
{
    char path[MAX_PATH];
    struct status status;
    int64_t result = path_from_program(AT_FDCWD, a, PATH_FOLLOW, path);
    if (result == 0)
        result = path_status(path, true, &status);
    if (result == 0 && !status_is(&status, S_IFREG))
        return status_is(&status, S_IFDIR) ? -EISDIR : -EINVAL;
    struct file *file = result ? NULL : vfs_open(path, O_WRONLY, 0, &result);
    if (!file)
        return result;
    result = truncate_file(file, b);
    file_put(file);
    return result;
}

/* Only the size is set: space is not reserved. */
static int64_t allocate(struct file *file, uint64_t mode, uint64_t offset, uint64_t length)
{
    uint64_t end;
    if (!file_writable(file))
        return -EBADF;
    if (!file->operations->truncate)
        return file->operations->seekable ? -ENODEV : -ESPIPE;
    if (mode & ~(uint64_t)KEEP_SIZE)
        return -EOPNOTSUPP;
    if ((int64_t)offset < 0 || (int64_t)length <= 0)
        return -EINVAL;
    if (__builtin_add_overflow(offset, length, &end) || (int64_t)end < 0)
        return -EFBIG;
    return (mode & KEEP_SIZE) || end <= file_size(file) ? 0 : file->operations->truncate(file, end);
}

SYSTEM_CALL(fallocate)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    int64_t result = allocate(file, (uint32_t)b, c, d);
    file_put(file);
    return result;
}
