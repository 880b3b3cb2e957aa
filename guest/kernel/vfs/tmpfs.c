/* Files in memory: what can be done with open ones. */
#include "vfs/tmpfs.h"
#include "lib/string.h"

#define MAX_FILE_SIZE (1ull << 40) /* bytes; without holes, memory ends long before */

static void node_truncate(struct node *node, uint64_t size)
{
    if (size < node->size || size == 0)
        file_memory_cut(&node->memory, size);
    else
        file_memory_clear(&node->memory, node->size, size);
    node->size = size;
    node_touch(node);
}

static int64_t tmpfs_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    const struct node *node = file->object;
    if (offset >= node->size)
        return 0;
    length = minimum(length, node->size - offset);
    for (uint64_t done = 0; done < length;) {
        const size_t page = (offset + done) / PAGE_SIZE, within = (offset + done) % PAGE_SIZE;
        const size_t part = minimum(length - done, PAGE_SIZE - within);
        const uint8_t *bytes = file_memory_page(&node->memory, page);
        if (bytes)
            memcpy((uint8_t *)buffer + done, bytes + within, part);
        else
            memset((uint8_t *)buffer + done, 0, part);
        done += part;
    }
    return (int64_t)length;
}

static int64_t tmpfs_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    struct node *node = file->object;
    uint64_t done = 0;
    if (length == 0)
        return 0;
    if (offset >= MAX_FILE_SIZE)
        return -EFBIG;
    length = minimum(length, MAX_FILE_SIZE - offset);
    int64_t error = size_limit_write(offset, &length);
    if (error == 0)
        error = seals_check_write(node, offset + length);
    if (error == 0)
        error = file_memory_reserve(&node->memory, page_up(offset + length) / PAGE_SIZE);
    if (error == 0 && offset > node->size)
        file_memory_clear(&node->memory, node->size, offset);
    while (error == 0 && done < length) {
        const size_t page = (offset + done) / PAGE_SIZE, within = (offset + done) % PAGE_SIZE;
        const size_t part = minimum(length - done, PAGE_SIZE - within);
        uint8_t *bytes = file_memory_provide(&node->memory, page);
        if (!bytes) {
            error = -ENOSPC;
            break;
        }
        memcpy(bytes + within, (const uint8_t *)buffer + done, part);
        done += part;
        node->size = maximum(node->size, offset + done);
    }
    if (done)
        node_touch(node);
    return done ? (int64_t)done : error;
}

static int64_t tmpfs_truncate(struct file *file, uint64_t size)
{
    struct node *node = file->object;
    if (size > MAX_FILE_SIZE)
        return -EFBIG;
    int64_t error = seals_check_size(node, size);
    if (error == 0)
        error = size_limit_growth(node->size, size);
    if (error == 0)
        node_truncate(node, size);
    return error;
}

static int64_t tmpfs_punch(struct file *file, uint64_t start, uint64_t end)
{
    struct node *node = file->object;
    const int64_t error = seals_check_write(node, 0);
    if (error)
        return error;
    file_memory_punch(&node->memory, start, end);
    node_touch(node);
    return 0;
}

static int64_t tmpfs_change(struct file *file, const struct attributes *change)
{
    node_change(file->object, change);
    return 0;
}

static uint8_t type_of(const struct node *node)
{
    return (uint8_t)(node->mode >> 12); /* S_IFREG is TYPE_REGULAR << 12, and so on */
}

/* Positions grow in the order of creation, so a listing stays correct while entries are created
 * or removed. */
static int64_t tmpfs_list(struct file *file, uint64_t position, emit_function *emit, void *sink)
{
    const struct node *directory = file->object;
    const struct entry *entry = directory->first;
    while (entry && entry->position < position)
        entry = entry->next;
    for (; entry; entry = entry->next)
        if (!emit(sink, &(struct directory_item){ entry->name, entry->length, entry->node->inode,
                                                  entry->position + 1, type_of(entry->node) }))
            return 0;
    return directory->overlaps && file->path
               ? overlay_list_host(directory, file->path, position, emit, sink)
               : 0;
}

static void tmpfs_status(struct file *file, struct status *status)
{
    node_status(file->object, status);
}

static void tmpfs_release(struct file *file)
{
    struct node *node = file->object;
    node->users--;
    node_release(node);
}

static struct file_memory *tmpfs_memory(struct file *file)
{
    return &((struct node *)file->object)->memory;
}

static const struct file_operations file_operations = {
    .memory = tmpfs_memory,
    .read = tmpfs_read,
    .write = tmpfs_write,
    .truncate = tmpfs_truncate,
    .punch = tmpfs_punch,
    .change = tmpfs_change,
    .status = tmpfs_status,
    .release = tmpfs_release,
    .seekable = true,
    .mappable = true,
};
/* Of O_PATH, for what is opened otherwise. */
static const struct file_operations path_operations = {
    .change = tmpfs_change,
    .status = tmpfs_status,
    .release = tmpfs_release,
};
static const struct file_operations directory_operations = {
    .list = tmpfs_list,
    .change = tmpfs_change,
    .status = tmpfs_status,
    .release = tmpfs_release,
    .seekable = true,
};

static int64_t check_open(const struct node *node, int flags)
{
    const bool directory = node_is(node, S_IFDIR);
    if (node_is(node, S_IFLNK))
        return flags & O_DIRECTORY ? -ENOTDIR : flags & O_PATH ? 0 : -ELOOP;
    if (node_is(node, S_IFSOCK) && !(flags & (O_PATH | O_DIRECTORY)))
        return -ENXIO;
    if (!directory && (flags & O_DIRECTORY))
        return -ENOTDIR;
    return directory && ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC))) ? -EISDIR
                                                                                           : 0;
}

static bool truncates(const struct node *node, int flags)
{
    return (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH) &&
           node_is(node, S_IFREG);
}

struct file *node_open(struct node *node, int flags, const char *path, int64_t *error)
{
    *error = check_open(node, flags);
    if (*error == 0 && truncates(node, flags))
        *error = seals_check_size(node, 0);
    if (*error)
        return NULL;
    if (node_is(node, S_IFIFO) && !(flags & O_PATH))
        return fifo_open(node, flags, path, error);
    const struct file_operations *operations = node_is(node, S_IFDIR)   ? &directory_operations
                                               : node_is(node, S_IFREG) ? &file_operations
                                                                        : &path_operations;
    struct file *file = file_create(operations, node, flags, path);
    if (!file) {
        *error = -ENOMEM;
        return NULL;
    }
    node->users++;
    if (truncates(node, flags))
        node_truncate(node, 0);
    return file;
}

/* Creates a file without a name: O_TMPFILE, memfd_create(2). */
struct file *tmpfs_anonymous(const char *name, int flags, int mode, bool sealable)
{
    int64_t error;
    struct node *node = node_create(S_IFREG | ((uint32_t)mode & 07777));
    struct file *file = node ? node_open(node, flags & ~(O_DIRECTORY | O_CREAT | O_TRUNC), name,
                                         &error)
                             : NULL;
    if (node && !file)
        node_release(node);
    else if (node && sealable)
        node->seals = 0;
    return file;
}

struct node *tmpfs_node(const struct file *file)
{
    return file->operations == &file_operations || file->operations == &directory_operations ||
                   file->operations == &path_operations
               ? file->object
               : NULL;
}

struct file *tmpfs_reopen(struct file *file, int flags, int64_t *error)
{
    struct node *node = tmpfs_node(file);
    return node ? node_open(node, flags & ~(O_CREAT | O_EXCL), file->path, error) : NULL;
}

int64_t tmpfs_link_file(struct file *file, const char *to)
{
    const char *name;
    int64_t error = 0;
    if (file->operations != &file_operations)
        return -EXDEV;
    struct node *directory = node_parent(to, &name, &error);
    if (!directory || !directory->writable)
        return directory ? -EROFS : error;
    return entry_find(directory, name, strlen(name)) ? -EEXIST
                                                     : entry_add(directory, name, file->object);
}
