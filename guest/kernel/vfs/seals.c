/* Seals of files of memfd_create(2): what is forbidden from then on. */
#include "mm/regions.h"
#include "vfs/tmpfs.h"

#define SEALS       (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)
#define WRITE_SEALS (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

int64_t seals_check_write(const struct node *node, uint64_t end)
{
    return (node->seals & WRITE_SEALS) || ((node->seals & F_SEAL_GROW) && end > node->size) ? -EPERM
                                                                                            : 0;
}

int64_t seals_check_size(const struct node *node, uint64_t size)
{
    return ((node->seals & F_SEAL_GROW) && size > node->size) ||
                   ((node->seals & F_SEAL_SHRINK) && size < node->size)
               ? -EPERM
               : 0;
}

int64_t seals_check_mapping(const struct node *node, int protection)
{
    return (node->seals & WRITE_SEALS) && (protection & PROT_WRITE) ? -EPERM : 0;
}

static bool may_be_written_by_mapping(const struct node *node)
{
    for (size_t index = 0; node->memory.mapped && index < region_count(); index++) {
        const struct region *region = region_at(index);
        if (region->use == REGION_PROGRAM && region->may_write &&
            region_file(region) == &node->memory)
            return true;
    }
    return false;
}

/* The file's node, if it can have seals. */
static struct node *sealable(const struct file *file)
{
    struct node *node = file->flags & O_PATH ? NULL : tmpfs_node(file);
    return node && node_is(node, S_IFREG) ? node : NULL;
}

int64_t seals_add(struct file *file, uint64_t seals)
{
    struct node *node = sealable(file);
    if (!node)
        return -EINVAL;
    if (!file_writable(file))
        return -EPERM;
    if (seals & ~(uint64_t)SEALS)
        return -EINVAL;
    if (node->seals & F_SEAL_SEAL)
        return -EPERM;
    if ((seals & F_SEAL_WRITE) && may_be_written_by_mapping(node))
        return -EBUSY;
    node->seals |= (uint8_t)seals;
    return 0;
}

int64_t seals_get(const struct file *file)
{
    const struct node *node = sealable(file);
    return node ? node->seals : -EINVAL;
}
