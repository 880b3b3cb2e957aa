/* Reading and writing through descriptors. */
#include "file.h"
#include "syscalls.h"

#define VECTORS_MAX 1024u
#define TRANSFER_MAX 0x7ffff000ull               /* bytes of one read or write, as in Linux */
#define CURRENT_OFFSET UINT64_MAX

struct vector { uint64_t base, length; };

void vfs_init(void)
{
    tmpfs_init();
    for (int fd = 0; fd < 3; fd++) {
        struct file *file = standard_stream(fd);
        if (!file)
            kernel_panic("no memory for the standard streams");
        descriptor_install(file, fd, false);
    }
}

void vfs_flush(void) { standard_streams_flush(); }
void vfs_prepare_seal(void) { standard_streams_flush(); }
const char *vfs_path(struct file *file) { return file->path; }
bool vfs_is_constant(struct file *file) { return file->operations->constant; }

uint64_t vfs_size(struct file *file)
{
    struct udfvm_stat stat = { .size = 0 };
    file->operations->status(file, &stat);
    return stat.size;
}

int64_t vfs_read_at(struct file *file, uint64_t offset, void *buffer, size_t length)
{
    size_t done = 0;
    if (!file->operations->read || !file_readable(file))
        return file->operations->entry ? -EISDIR : -EACCES;
    while (done < length) {
        int64_t got = file->operations->read(file, offset + done, (uint8_t *)buffer + done, length - done);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int64_t transfer(struct file *file, bool write, uint64_t offset, uint64_t buffer, uint64_t length)
{
    length = minimum(length, TRANSFER_MAX);
    if (write ? !file_writable(file) : !file_readable(file))
        return -EBADF;
    if (write ? !file->operations->write : !file->operations->read)
        return file->operations->entry ? -EISDIR : -EINVAL;
    if (!user_range_ok(buffer, length))
        return -EFAULT;
    const bool current = offset == CURRENT_OFFSET;
    if (!current && !file->operations->seekable)
        return -ESPIPE;
    if (current)
        offset = write && (file->flags & O_APPEND) && file->operations->seekable ? vfs_size(file) : file->offset;
    int64_t result = write ? file->operations->write(file, offset, (const void *)buffer, length)
                           : file->operations->read(file, offset, (void *)buffer, length);
    if (current && result > 0 && file->operations->seekable)
        file->offset = offset + (uint64_t)result;
    return result;
}

static int64_t transfer_one(int fd, bool write, uint64_t offset, uint64_t buffer, uint64_t length)
{
    struct file *file = file_get(fd);
    if (!file)
        return -EBADF;
    int64_t result = transfer(file, write, offset, buffer, length);
    file_put(file);
    return result;
}

static int64_t transfer_vectors(struct file *file, bool write, uint64_t offset, uint64_t vectors, uint64_t count)
{
    int64_t total = 0;
    if (count > VECTORS_MAX)
        return -EINVAL;
    if (!user_range_ok(vectors, count * sizeof(struct vector)))
        return -EFAULT;
    const struct vector *vector = (const struct vector *)vectors;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t length = vector[i].length;
        if (length == 0)
            continue;
        const uint64_t at = offset == CURRENT_OFFSET ? offset : offset + (uint64_t)total;
        int64_t got = transfer(file, write, at, vector[i].base, length);
        if (got < 0)
            return total ? total : got;
        total += got;
        if ((uint64_t)got < length)
            break;
    }
    return total;
}

static int64_t transfer_many(int fd, bool write, uint64_t offset, uint64_t vectors, uint64_t count)
{
    struct file *file = file_get(fd);
    if (!file)
        return -EBADF;
    int64_t result = transfer_vectors(file, write, offset, vectors, count);
    file_put(file);
    return result;
}

static bool bad_offset(uint64_t offset) { return (int64_t)offset < 0; }

SYSCALL(sys_read) { return transfer_one((int)a, false, CURRENT_OFFSET, b, c); }
SYSCALL(sys_write) { return transfer_one((int)a, true, CURRENT_OFFSET, b, c); }
SYSCALL(sys_pread64) { return bad_offset(d) ? -EINVAL : transfer_one((int)a, false, d, b, c); }
SYSCALL(sys_pwrite64) { return bad_offset(d) ? -EINVAL : transfer_one((int)a, true, d, b, c); }
SYSCALL(sys_readv) { return transfer_many((int)a, false, CURRENT_OFFSET, b, c); }
SYSCALL(sys_writev) { return transfer_many((int)a, true, CURRENT_OFFSET, b, c); }
SYSCALL(sys_preadv) { return bad_offset(d) ? -EINVAL : transfer_many((int)a, false, d, b, c); }
SYSCALL(sys_pwritev) { return bad_offset(d) ? -EINVAL : transfer_many((int)a, true, d, b, c); }
SYSCALL(sys_preadv2) { return transfer_many((int)a, false, d == UINT64_MAX ? CURRENT_OFFSET : d, b, c); }
SYSCALL(sys_pwritev2) { return transfer_many((int)a, true, d == UINT64_MAX ? CURRENT_OFFSET : d, b, c); }

SYSCALL(sys_lseek)
{
    struct file *file = file_get((int)a);
    int64_t base = 0, result;
    if (!file)
        return -EBADF;
    if (c == 1)                                  /* SEEK_CUR */
        base = (int64_t)file->offset;
    else if (c == 2)                             /* SEEK_END */
        base = (int64_t)vfs_size(file);
    const int64_t size = file->operations->seekable ? (int64_t)vfs_size(file) : 0;
    if (!file->operations->seekable)
        result = -ESPIPE;
    else if (c == 3 || c == 4)                   /* SEEK_DATA, SEEK_HOLE: files are all data */
        result = (int64_t)b >= size ? -ENXIO : c == 3 ? (int64_t)b : size;
    else if (c > 4 || __builtin_add_overflow(base, (int64_t)b, &result) || result < 0)
        result = -EINVAL;
    if (result >= 0)
        file->offset = (uint64_t)result;
    file_put(file);
    return result;
}

static int64_t truncate_file(struct file *file, uint64_t size)
{
    if (!file->operations->truncate || !file_writable(file))
        return -EINVAL;
    return (int64_t)size < 0 ? -EINVAL : file->operations->truncate(file, size);
}

SYSCALL(sys_ftruncate)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    int64_t result = truncate_file(file, b);
    file_put(file);
    return result;
}

SYSCALL(sys_truncate)
{
    char path[PATH_LIMIT];
    int64_t result = path_from_program(AT_FDCWD, a, path);
    struct file *file = result ? NULL : vfs_open(path, O_WRONLY, 0, &result);
    if (!file)
        return result;
    result = truncate_file(file, b);
    file_put(file);
    return result;
}

/* Space is not reserved ahead: only the size is set. */
SYSCALL(sys_fallocate)
{
    struct file *file = file_get((int)a);
    uint64_t end;
    if (!file)
        return -EBADF;
    int64_t result = b ? -EOPNOTSUPP : __builtin_add_overflow(c, d, &end) ? -EFBIG : 0;
    if (result == 0 && end > vfs_size(file))
        result = truncate_file(file, end);
    file_put(file);
    return result;
}

static int64_t copy_between(struct file *from, struct file *to, uint64_t *from_offset, uint64_t *to_offset, uint64_t length)
{
    char *chunk = kernel_alloc(16 * PAGE_SIZE);
    int64_t total = 0, got = chunk ? 1 : -ENOMEM;
    while (got > 0 && length) {
        const uint64_t at = from_offset ? *from_offset : from->offset;
        got = from->operations->read ? from->operations->read(from, at, chunk, minimum(length, 16 * PAGE_SIZE)) : -EINVAL;
        if (got <= 0)
            break;
        const uint64_t to_at = to_offset ? *to_offset : to->offset;
        got = to->operations->write && file_writable(to) ? to->operations->write(to, to_at, chunk, (uint64_t)got) : -EBADF;
        if (got <= 0)
            break;
        *(from_offset ? from_offset : &from->offset) += (uint64_t)got;
        *(to_offset ? to_offset : &to->offset) += (uint64_t)got;
        total += got;
        length -= (uint64_t)got;
    }
    kernel_free(chunk);
    return total ? total : got < 0 ? got : 0;
}

static int64_t copy_descriptors(int from_fd, int to_fd, uint64_t from_offset, uint64_t to_offset, uint64_t length)
{
    if ((from_offset && !user_range_ok(from_offset, 8)) || (to_offset && !user_range_ok(to_offset, 8)))
        return -EFAULT;
    struct file *from = file_get(from_fd), *to = file_get(to_fd);
    int64_t result = from && to ? copy_between(from, to, (uint64_t *)from_offset, (uint64_t *)to_offset, length) : -EBADF;
    file_put(from);
    file_put(to);
    return result;
}

SYSCALL(sys_sendfile) { return copy_descriptors((int)b, (int)a, c, 0, d); }
SYSCALL(sys_copy_file_range) { return copy_descriptors((int)a, (int)c, b, d, e); }
SYSCALL(sys_sync) { return 0; }
SYSCALL(sys_fsync) { return descriptor_in_use((int)a) ? 0 : -EBADF; }
SYSCALL(sys_fadvise64) { return descriptor_in_use((int)a) ? 0 : -EBADF; }
