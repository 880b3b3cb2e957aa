/* Contents of files in memory: pages, with holes. */
#include "tmpfs.h"

#define SIZE_MAX_FILE (1ull << 40)

/* Room in the page table for pages below `count`. */
static int64_t reserve_slots(struct node *node, size_t count)
{
    if (count <= node->page_slots)
        return 0;
    size_t slots = node->page_slots ? node->page_slots : 8;
    while (slots < count)
        slots *= 2;
    uint8_t **pages = kernel_alloc(slots * sizeof *pages);
    if (!pages)
        return -ENOSPC;
    memcpy(pages, node->pages, node->page_slots * sizeof *pages);
    kernel_free(node->pages);
    node->pages = pages;
    node->page_slots = slots;
    return 0;
}

int64_t node_truncate(struct node *node, uint64_t size)
{
    if (size > SIZE_MAX_FILE)
        return -EFBIG;
    const size_t keep = page_up(size) / PAGE_SIZE;
    for (size_t i = keep; i < node->page_slots; i++)
        if (node->pages[i]) {
            page_free(node->pages[i], 1);
            node->pages[i] = NULL;
        }
    if (size % PAGE_SIZE && keep <= node->page_slots && node->pages[keep - 1] && size < node->size)
        memset(node->pages[keep - 1] + size % PAGE_SIZE, 0, PAGE_SIZE - size % PAGE_SIZE);
    if (size == 0) {
        kernel_free(node->pages);
        node->pages = NULL;
        node->page_slots = 0;
    }
    node->size = size;
    node_touch(node);
    return 0;
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
        if (page < node->page_slots && node->pages[page])
            memcpy((uint8_t *)buffer + done, node->pages[page] + within, part);
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
    if (offset > SIZE_MAX_FILE || length > SIZE_MAX_FILE - offset)
        return -EFBIG;
    int64_t error = length ? reserve_slots(node, page_up(offset + length) / PAGE_SIZE) : 0;
    while (error == 0 && done < length) {
        const size_t page = (offset + done) / PAGE_SIZE, within = (offset + done) % PAGE_SIZE;
        const size_t part = minimum(length - done, PAGE_SIZE - within);
        if (!node->pages[page] && !(node->pages[page] = page_alloc(1))) {
            error = -ENOSPC;
            break;
        }
        memcpy(node->pages[page] + within, (const uint8_t *)buffer + done, part);
        done += part;
        node->size = maximum(node->size, offset + done);
    }
    node_touch(node);
    return done ? (int64_t)done : error;
}

static int64_t tmpfs_truncate(struct file *file, uint64_t size)
{
    return node_truncate(file->object, size);
}

static bool tmpfs_entry(struct file *file, uint64_t index, struct directory_item *item)
{
    const struct node *node = ((const struct node *)file->object)->children;
    while (node && index--)
        node = node->next;
    if (!node)
        return false;
    *item = (struct directory_item){ node->name, strlen(node->name), node->inode,
                                     node_is(node, S_IFDIR) ? DIRECTORY_TYPE : node_is(node, S_IFLNK) ? LINK_TYPE : REGULAR_TYPE };
    return true;
}

static void tmpfs_file_status(struct file *file, struct udfvm_stat *stat)
{
    node_status(file->object, stat);
}

static void tmpfs_release(struct file *file)
{
    struct node *node = file->object;
    node->users--;
    node_release(node);
}

static const struct file_operations file_operations = {
    .read = tmpfs_read, .write = tmpfs_write, .truncate = tmpfs_truncate, .status = tmpfs_file_status, .release = tmpfs_release,
    .seekable = true,
};
static const struct file_operations directory_operations = {
    .entry = tmpfs_entry, .status = tmpfs_file_status, .release = tmpfs_release, .seekable = true,
};

struct file *node_open(struct node *node, int flags, const char *path)
{
    struct file *file = file_create(node_is(node, S_IFDIR) ? &directory_operations : &file_operations, node, flags, path);
    if (file)
        node->users++;
    return file;
}

static int64_t check_open(const struct node *node, int flags)
{
    const bool directory = node_is(node, S_IFDIR);
    if (node_is(node, S_IFLNK))
        return -ELOOP;
    if (!directory && (flags & O_DIRECTORY))
        return -ENOTDIR;
    return directory && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT)) ? -EISDIR : 0;
}

/* A file without a name: O_TMPFILE, memfd_create. */
struct file *tmpfs_anonymous(const char *name, int flags)
{
    struct node *node = node_create(S_IFREG | 0600);
    struct file *file = node ? node_open(node, flags, name) : NULL;
    if (node && !file)
        node_release(node);
    return file;
}

static struct node *create(const char *path, int mode, int64_t *error)
{
    const char *name;
    struct node *directory = node_parent(path, &name, error);
    struct node *node = directory ? node_create(S_IFREG | ((uint32_t)mode & 07777)) : NULL;
    if (!node) {
        *error = directory ? -ENOSPC : *error;
        return NULL;
    }
    *error = node_attach(directory, name, node);
    if (*error == 0)
        return node;
    node_release(node);
    return NULL;
}

struct file *tmpfs_open(const char *path, int flags, int mode, int64_t *error)
{
    *error = 0;
    struct node *node = node_find(path, !(flags & O_NOFOLLOW) && !((flags & O_CREAT) && (flags & O_EXCL)), error);
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        struct file *file = node ? tmpfs_anonymous(NULL, flags) : NULL;
        *error = node ? -ENOSPC : *error;
        return file;
    }
    if (node && (flags & O_CREAT) && (flags & O_EXCL)) {
        *error = -EEXIST;
        return NULL;
    }
    if (!node && *error == -ENOENT && (flags & O_CREAT))
        node = create(path, mode, error);
    if (!node)
        return NULL;
    *error = check_open(node, flags);
    if (*error)
        return NULL;
    if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY)
        node_truncate(node, 0);
    struct file *file = node_open(node, flags, path);
    *error = file ? 0 : -ENOMEM;
    return file;
}
