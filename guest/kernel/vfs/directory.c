/* getdents64(2) lists directories. */
#include "lib/string.h"
#include "mm/user.h"
#include "vfs/file.h"

struct linux_entry {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
}; /* struct linux_dirent64 */

struct listing {
    struct file *file;
    uint64_t address, end;
    bool full;
};

static bool store(void *argument, const struct directory_item *item)
{
    struct listing *listing = argument;
    const size_t length = (offsetof(struct linux_entry, name) + item->length + 1 + 7) & ~(size_t)7;
    if (length > listing->end - listing->address) {
        listing->full = true;
        return false;
    }
    struct linux_entry *entry = (struct linux_entry *)listing->address;
    memset(entry, 0, length);
    *entry = (struct linux_entry){ .inode = item->inode,
                                   .next = (int64_t)item->next,
                                   .length = (uint16_t)length,
                                   .type = item->type };
    memcpy(entry->name, item->name, item->length);
    listing->address += length;
    listing->file->offset = item->next;
    return true;
}

/* Stores "." and "..", if the listing has not passed them. */
static bool store_dots(struct listing *listing)
{
    struct status status;
    char parent[MAX_PATH];
    struct file *file = listing->file;
    if (file->offset == 0) {
        file->operations->status(file, &status);
        if (!store(listing, &(struct directory_item){ ".", 1, status.inode, 1, TYPE_DIRECTORY }))
            return false;
    }
    if (file->offset != 1)
        return true;
    status.inode = 1;
    if (file->path) {
        path_parent(file->path, parent);
        path_status(parent, true, &status);
    }
    return store(listing, &(struct directory_item){ "..", 2, status.inode, 2, TYPE_DIRECTORY });
}

static int64_t list(struct file *file, uint64_t buffer, uint64_t size)
{
    struct listing listing = { file, buffer, buffer + size, false };
    int64_t result = 0;
    if (store_dots(&listing))
        result = file->operations->list(file, file->offset, store, &listing);
    if (listing.address != buffer)
        return (int64_t)(listing.address - buffer);
    return result < 0 ? result : listing.full ? -EINVAL : 0;
}

SYSTEM_CALL(getdents64)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    int64_t result = !file_is_directory(file)         ? -ENOTDIR
                     : !user_range_ok(b, (uint32_t)c) ? -EFAULT
                                                      : list(file, b, (uint32_t)c);
    file_put(file);
    return result;
}
