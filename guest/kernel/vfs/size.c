/* Sizes of files: their limit, and system calls that set them. */
#include "mm/user.h"
#include "signal/signal.h"
#include "vfs/file.h"

#include <linux/falloc.h>

static uint64_t limit = UINT64_MAX;

void sizes_set_limit(uint64_t wanted)
{
    limit = wanted;
}

static int64_t exceeded(void)
{
    signal_raise(SIGXFSZ);
    return -EFBIG;
}

int64_t size_limit_write(uint64_t offset, uint64_t *length)
{
    if (offset >= limit)
        return exceeded();
    *length = minimum(*length, limit - offset);
    return 0;
}

int64_t size_limit_growth(uint64_t old_size, uint64_t size)
{
    return size > old_size && size > limit ? exceeded() : 0;
}

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

/* As Linux's tmpfs, files in memory can have holes, and no other change of what they hold. */
static int64_t check_mode(uint64_t mode)
{
    if (mode & FALLOC_FL_PUNCH_HOLE)
        return mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) ? 0 : -EOPNOTSUPP;
    return mode & ~(uint64_t)FALLOC_FL_KEEP_SIZE ? -EOPNOTSUPP : 0;
}

static int64_t check_allocation(const struct file *file, uint64_t offset, uint64_t length)
{
    uint64_t end;
    if (!file_writable(file))
        return -EBADF;
    if (!file->operations->truncate)
        return file->operations->seekable ? -ENODEV : -ESPIPE;
    if ((int64_t)offset < 0 || (int64_t)length <= 0)
        return -EINVAL;
    return __builtin_add_overflow(offset, length, &end) || (int64_t)end < 0 ? -EFBIG : 0;
}

/* Without a hole only the size is set: space is not reserved. */
static int64_t allocate(struct file *file, uint64_t mode, uint64_t offset, uint64_t length)
{
    int64_t error = check_allocation(file, offset, length);
    if (error == 0)
        error = check_mode(mode);
    if (error)
        return error;
    const uint64_t size = file_size(file), end = offset + length;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        return file->operations->punch ? file->operations->punch(file, offset, end) : -EOPNOTSUPP;
    if (mode & FALLOC_FL_KEEP_SIZE)
        return size_limit_growth(size, end);
    return end <= size ? 0 : file->operations->truncate(file, end);
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
