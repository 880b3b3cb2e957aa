#include "vfs/vfs.h"
#include "host/exit.h"
#include "vfs/tmpfs.h"

const struct program_start *vfs_program;

void vfs_init(const struct program_start *program)
{
    vfs_program = program;
    mounts_init();
    for (int fd = 0; fd < 3; fd++) {
        struct file *file = stream_open(fd);
        if (!file)
            kernel_panic("no memory for the standard streams");
        descriptor_install(file, fd, false);
    }
}

void vfs_prepare_seal(void)
{
    host_forget_handles();
}

uint64_t file_size(struct file *file)
{
    struct status status;
    file->operations->status(file, &status);
    return status.size;
}

int64_t file_read_at(struct file *file, uint64_t offset, void *buffer, size_t length)
{
    size_t done = 0;
    if (!file->operations->read || !file_readable(file))
        return file_is_directory(file) ? -EISDIR : -EACCES;
    while (done < length) {
        int64_t got = file->operations->read(file, offset + done, (uint8_t *)buffer + done,
                                             length - done);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int64_t read_backing(void *file, uint64_t offset, void *buffer, size_t length)
{
    return file_read_at(file, offset, buffer, length);
}

/* MAP_SHARED_VALIDATE refuses others, MAP_SYNC among them. */
#define KNOWN_MAP_FLAGS                                                                            \
    (MAP_TYPE | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | \
     MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |        \
     MAP_HUGETLB | MAP_32BIT)

int64_t file_check_mapping(const struct file *file, int protection, int flags)
{
    const bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    if (((flags & MAP_TYPE) == 0) || (flags & MAP_TYPE) > MAP_SHARED_VALIDATE)
        return -EINVAL;
    if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~KNOWN_MAP_FLAGS))
        return -EOPNOTSUPP;
    if (!file_readable(file) || (shared && (protection & PROT_WRITE) && !file_writable(file)))
        return -EACCES;
    if (!file->operations->mappable)
        return -ENODEV;
    const struct node *node = tmpfs_node(file);
    return node && shared ? seals_check_mapping(node, protection) : 0;
}

struct backing file_backing(struct file *file)
{
    const struct node *node = tmpfs_node(file);
    const bool sealed = node && seals_check_mapping(node, PROT_WRITE);
    return (struct backing){ .path = file->path ? file->path : "",
                             .constant = file->operations->constant,
                             .writable = file_writable(file) && !sealed,
                             .memory = file->operations->memory ? file->operations->memory(file)
                                                                : NULL,
                             .file = file,
                             .place = file->operations->place ? file->operations->place(file) : 0,
                             .read = read_backing };
}
