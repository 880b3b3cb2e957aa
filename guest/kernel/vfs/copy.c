/* Copying between descriptors inside the kernel. */
#include "mm/alloc.h"
#include "mm/user.h"
#include "vfs/file.h"

#define CHUNK_BYTES 65536u

/* The source or target of a copy. `offset` is the caller's own offset; NULL: the file's. */
struct copy_side {
    struct file *file;
    uint64_t *offset;
};

static int64_t write_side(const struct copy_side *to, const char *chunk, uint64_t length)
{
    int64_t put;
    if (!to->offset)
        return file_write(to->file, chunk, length);
    put = to->file->operations->write(to->file, *to->offset, chunk, length);
    *to->offset += put > 0 ? (uint64_t)put : 0;
    return put;
}

static int64_t copy(const struct copy_side *from, const struct copy_side *to, uint64_t length)
{
    char *chunk = page_alloc(CHUNK_BYTES / PAGE_SIZE);
    int64_t total = 0, result = chunk ? 0 : -ENOMEM;
    while (result >= 0 && (uint64_t)total < length) {
        uint64_t *position = from->offset ? from->offset : &from->file->offset;
        const uint64_t offset = *position;
        const int64_t got = from->file->operations->read(
            from->file, offset, chunk, minimum(length - (uint64_t)total, CHUNK_BYTES));
        result = got > 0 ? write_side(to, chunk, (uint64_t)got) : got;
        if (result <= 0)
            break;
        *position = offset +
                    (uint64_t)
                        result; /* assigned, not added: both sides may be the same open file */
        total += result;
        if (result < got)
            break;
    }
    if (chunk)
        page_free(chunk, CHUNK_BYTES / PAGE_SIZE);
    return total ? total : result;
}

static bool offset_ok(const struct copy_side *side)
{
    return !side->offset || (int64_t)*side->offset >= 0;
}

static int64_t check_target(const struct copy_side *to)
{
    if (to->file->flags & O_APPEND)
        return to->offset ? -EBADF : -EINVAL;
    return to->offset && !to->file->operations->seekable ? -ESPIPE : 0;
}

static int64_t check_sides(const struct copy_side *from, const struct copy_side *to)
{
    if (!from->file || !to->file || !file_readable(from->file) || !file_writable(to->file))
        return -EBADF;
    const struct file_operations *source = from->file->operations, *target = to->file->operations;
    if (file_is_directory(from->file) || file_is_directory(to->file))
        return -EISDIR;
    if (!source->read || !source->seekable || !target->write)
        return -EINVAL;
    if (!offset_ok(from) || !offset_ok(to))
        return -EINVAL;
    return check_target(to);
}

static int64_t copy_descriptors(uint64_t from_fd, uint64_t from_offset, uint64_t to_fd,
                                uint64_t to_offset, uint64_t length)
{
    if ((from_offset && !user_range_ok(from_offset, sizeof(uint64_t))) ||
        (to_offset && !user_range_ok(to_offset, sizeof(uint64_t))))
        return -EFAULT;
    const struct copy_side from = { file_get((int)from_fd), (uint64_t *)from_offset },
                           to = { file_get((int)to_fd), (uint64_t *)to_offset };
    int64_t result = check_sides(&from, &to);
    if (result == 0)
        result = copy(&from, &to, minimum(length, INT32_MAX));
    file_put(from.file);
    file_put(to.file);
    return result;
}

SYSTEM_CALL(sendfile)
{
    return copy_descriptors(b, c, a, 0, d);
}
SYSTEM_CALL(copy_file_range)
{
    return f ? -EINVAL : copy_descriptors(a, b, c, d, e);
}
