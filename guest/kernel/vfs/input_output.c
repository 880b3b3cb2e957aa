/* Reading and writing through descriptors. */
#include "mm/file_memory.h"
#include "mm/user.h"
#include "vfs/file.h"

#define MAX_TRANSFER   0x7ffff000ull /* bytes of one read or write, as in Linux */
#define CURRENT_OFFSET UINT64_MAX
#define HIGH_PRIORITY  1u /* RWF_HIPRI, a hint like RWF_DSYNC and RWF_SYNC */
#define HINTS          (HIGH_PRIORITY | 2u | 4u)

enum { SEEK_START, SEEK_CURRENT, SEEK_SIZE, SEEK_TO_DATA, SEEK_TO_HOLE };

static int64_t check(const struct file *file, bool write)
{
    if (write ? !file_writable(file) : !file_readable(file))
        return -EBADF;
    if (write ? !file->operations->write : !file->operations->read)
        return file_is_directory(file) ? -EISDIR : -EINVAL;
    return 0;
}

int64_t file_read(struct file *file, void *buffer, uint64_t length)
{
    const int64_t got = file->operations->read(file, file->offset, buffer, length);
    if (got > 0 && file->operations->seekable)
        file->offset += (uint64_t)got;
    return got;
}

int64_t file_write(struct file *file, const void *buffer, uint64_t length)
{
    if ((file->flags & O_APPEND) && file->operations->seekable)
        file->offset = file_size(file);
    const int64_t put = file->operations->write(file, file->offset, buffer, length);
    if (put > 0 && file->operations->seekable)
        file->offset += (uint64_t)put;
    return put;
}

static int64_t transfer(struct file *file, bool write, uint64_t offset, uint64_t buffer,
                        uint64_t length)
{
    length = minimum(length, MAX_TRANSFER);
    int64_t error = check(file, write);
    if (error)
        return error;
    if (length && !user_range_ok(buffer, length))
        return -EFAULT;
    if (offset == CURRENT_OFFSET)
        return write ? file_write(file, (const void *)buffer, length)
                     : file_read(file, (void *)buffer, length);
    if (!file->operations->seekable)
        return -ESPIPE;
    if (write && (file->flags & O_APPEND))
        offset = file_size(file); /* Linux appends too, whatever the offset: pwrite(2), BUGS */
    return write ? file->operations->write(file, offset, (const void *)buffer, length)
                 : file->operations->read(file, offset, (void *)buffer, length);
}

static int64_t transfer_one(uint64_t fd, bool write, uint64_t offset, uint64_t buffer,
                            uint64_t length)
{
    struct file *file = file_get((int)fd);
    if (!file)
        return -EBADF;
    int64_t result = transfer(file, write, offset, buffer, length);
    file_put(file);
    return result;
}

/* Transfers vector by vector. If a stream has no more bytes, the call returns those that it has
 * read and does not wait. */
static int64_t transfer_vectors(struct file *file, bool write, uint64_t offset,
                                const struct io_vector *vectors, uint64_t count)
{
    int64_t total = 0;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t length = vectors[i].length;
        if (length == 0)
            continue;
        if (total && !write && !(file_events(file) & EVENT_IN))
            break;
        const uint64_t start = offset == CURRENT_OFFSET ? offset : offset + (uint64_t)total;
        int64_t got = transfer(file, write, start, vectors[i].base, length);
        if (got < 0)
            return total ? total : got;
        total += got;
        if ((uint64_t)got < length)
            break;
    }
    return total;
}

static int64_t move_vectors(struct file *file, bool write, uint64_t offset,
                            const struct io_vector *vectors, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if ((int64_t)vectors[i].length < 0)
            return -EINVAL;
    if (offset != CURRENT_OFFSET || !file->operations->move_vectors)
        return transfer_vectors(file, write, offset, vectors, count);
    return file->operations->move_vectors(file, write, vectors, count);
}

static int64_t transfer_many(uint64_t fd, bool write, uint64_t offset, uint64_t vectors,
                             uint64_t count)
{
    struct file *file = file_get((int)fd);
    if (!file)
        return -EBADF;
    int64_t result = offset == CURRENT_OFFSET || file->operations->seekable ? check(file, write)
                                                                            : -ESPIPE;
    if (result == 0 && count > MAX_IO_VECTORS)
        result = -EINVAL;
    if (result == 0 && count && !user_range_ok(vectors, count * sizeof(struct io_vector)))
        result = -EFAULT;
    if (result == 0)
        result = move_vectors(file, write, offset, (const struct io_vector *)vectors, count);
    file_put(file);
    return result;
}

static int64_t transfer_with_flags(uint64_t fd, bool write, uint64_t offset, uint64_t vectors,
                                   uint64_t count, uint64_t flags)
{
    if (flags & ~(uint64_t)HINTS)
        return -EOPNOTSUPP;
    return offset != CURRENT_OFFSET && (int64_t)offset < 0
               ? -EINVAL
               : transfer_many(fd, write, offset, vectors, count);
}

static bool negative(uint64_t offset)
{
    return (int64_t)offset < 0;
}

SYSTEM_CALL(read)
{
    return transfer_one(a, false, CURRENT_OFFSET, b, c);
}
SYSTEM_CALL(write)
{
    return transfer_one(a, true, CURRENT_OFFSET, b, c);
}
SYSTEM_CALL(pread64)
{
    return negative(d) ? -EINVAL : transfer_one(a, false, d, b, c);
}
SYSTEM_CALL(pwrite64)
{
    return negative(d) ? -EINVAL : transfer_one(a, true, d, b, c);
}
SYSTEM_CALL(readv)
{
    return transfer_many(a, false, CURRENT_OFFSET, b, c);
}
SYSTEM_CALL(writev)
{
    return transfer_many(a, true, CURRENT_OFFSET, b, c);
}
SYSTEM_CALL(preadv)
{
    return negative(d) ? -EINVAL : transfer_many(a, false, d, b, c);
}
SYSTEM_CALL(pwritev)
{
    return negative(d) ? -EINVAL : transfer_many(a, true, d, b, c);
}
SYSTEM_CALL(preadv2)
{
    return transfer_with_flags(a, false, d, b, c, f);
}
SYSTEM_CALL(pwritev2)
{
    return transfer_with_flags(a, true, d, b, c, f);
}

static int64_t seek_to(struct file *file, int64_t base, int64_t offset)
{
    int64_t result;
    if (__builtin_add_overflow(base, offset, &result) || result < 0)
        return -EINVAL;
    file->offset = (uint64_t)result;
    return result;
}

/* Files that are not in memory count as data without holes, apart from the hole at their end:
 * lseek(2) permits that. */
static int64_t seek_to_data(struct file *file, int64_t offset, bool hole)
{
    const uint64_t size = file_size(file), from = (uint64_t)offset;
    if (offset < 0 || from >= size)
        return -ENXIO;
    const uint64_t found = file->operations->memory
                               ? file_memory_seek(file->operations->memory(file), from, hole)
                           : hole ? size
                                  : from;
    return found >= size && !hole ? -ENXIO : seek_to(file, 0, (int64_t)minimum(found, size));
}

static int64_t seek(struct file *file, int64_t offset, uint64_t from)
{
    if (!file->operations->seekable)
        return -ESPIPE;
    switch (from) {
    case SEEK_START:
        return seek_to(file, 0, offset);
    case SEEK_CURRENT:
        return seek_to(file, (int64_t)file->offset, offset);
    case SEEK_SIZE:
        return seek_to(file, (int64_t)file_size(file), offset);
    case SEEK_TO_DATA:
    case SEEK_TO_HOLE:
        return seek_to_data(file, offset, from == SEEK_TO_HOLE);
    default:
        return -EINVAL;
    }
}

SYSTEM_CALL(lseek)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    int64_t result = seek(file, (int64_t)b, (uint32_t)c);
    file_put(file);
    return result;
}
