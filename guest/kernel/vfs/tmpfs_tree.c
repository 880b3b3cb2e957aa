/* Names of the memory file systems. One hash table holds all entries, by directory and name, so
 * that large directories stay fast. */
#include "host/clock.h"
#include "host/exit.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "vfs/tmpfs.h"

#define BUCKETS 512u

static struct node *root;
static struct entry **buckets;
static uint64_t last_inode = 1; /* the root has 1 */

static void release_unmapped(struct file_memory *memory)
{
    node_release((struct node *)((uint8_t *)memory - offsetof(struct node, memory)));
}

struct node *node_create(uint32_t mode)
{
    struct node *node = kernel_alloc(sizeof *node);
    if (!node)
        return NULL;
    *node = (struct node){ .mode = mode, .inode = ++last_inode };
    node_touch(node);
    node->accessed = node->modified;
    if (node_is(node, S_IFREG))
        node->memory.idle = release_unmapped;
    node->seals = F_SEAL_SEAL; /* only files of memfd_create(2) can be sealed */
    if (node_is(node, S_IFDIR))
        node->last_position = 1; /* "." and ".." have 0 and 1 */
    return node;
}

void node_touch(struct node *node)
{
    node->modified = node->changed = timestamp_now();
}

void node_release(struct node *node)
{
    if (node->links || node->users || (node_is(node, S_IFREG) && node->memory.mapped))
        return;
    if (node_is(node, S_IFREG))
        file_memory_free(&node->memory);
    if (node_is(node, S_IFLNK))
        kernel_free(node->target);
    extended_attributes_free(node->extended);
    kernel_free(node);
}

/* FNV-1a (public domain; G. Fowler, L. C. Noll, K.-P. Vo). */
static uint32_t hash_name(const struct node *directory, const char *name, size_t length)
{
    uint32_t hash = 2166136261u ^ (uint32_t)directory->inode;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash ^ hash >> 16;
}

struct entry *entry_find(const struct node *directory, const char *name, size_t length)
{
    const uint32_t hash = hash_name(directory, name, length);
    struct entry *entry = buckets[hash % BUCKETS];
    while (entry && !(entry->hash == hash && entry->directory == directory &&
                      entry->length == length && memcmp(entry->name, name, length) == 0))
        entry = entry->collision;
    return entry;
}

int64_t entry_add(struct node *directory, const char *name, struct node *node)
{
    const size_t length = strlen(name);
    if (length == 0 || length > MAX_NAME)
        return length ? -ENAMETOOLONG : -EEXIST;
    struct entry *entry = kernel_alloc(sizeof *entry + length + 1);
    if (!entry)
        return -ENOSPC;
    *entry = (struct entry){ .directory = directory,
                             .node = node,
                             .position = ++directory->last_position,
                             .hash = hash_name(directory, name, length),
                             .length = (uint32_t)length };
    memcpy(entry->name, name, length + 1);
    entry->collision = buckets[entry->hash % BUCKETS];
    buckets[entry->hash % BUCKETS] = entry;
    entry->previous = directory->last;
    *(directory->last ? &directory->last->next : &directory->first) = entry;
    directory->last = entry;
    node->links++;
    node->changed = timestamp_now();
    if (node_is(node, S_IFDIR)) {
        node->parent = directory;
        directory->links++; /* the link of its ".." */
    }
    node_touch(directory);
    return 0;
}

int64_t entry_add_new(struct node *directory, const char *name, struct node *node)
{
    if (!node)
        return -ENOSPC;
    if (directory->mode & S_ISGID) { /* what is made there is of its group */
        node->group = directory->group;
        node->mode |= node_is(node, S_IFDIR) ? S_ISGID : 0;
    }
    int64_t error = entry_add(directory, name, node);
    if (error)
        node_release(node);
    return error;
}

void entry_remove(struct entry *entry)
{
    struct node *directory = entry->directory, *node = entry->node;
    struct entry **link = &buckets[entry->hash % BUCKETS];
    while (*link != entry)
        link = &(*link)->collision;
    *link = entry->collision;
    *(entry->previous ? &entry->previous->next : &directory->first) = entry->next;
    *(entry->next ? &entry->next->previous : &directory->last) = entry->previous;
    kernel_free(entry);
    if (node_is(node, S_IFDIR)) {
        node->parent = NULL;
        directory->links--;
    }
    node->links--;
    node->changed = timestamp_now();
    node_touch(directory);
    node_release(node);
}

/* Finds the node of a path without links: path.c has resolved those in memory. */
static struct node *walk(const char *path, size_t length, int64_t *error)
{
    struct node *node = root;
    for (size_t offset = 0; offset < length;) {
        while (offset < length && path[offset] == '/')
            offset++;
        const size_t start = offset;
        while (offset < length && path[offset] != '/')
            offset++;
        if (offset == start)
            break;
        const struct entry *entry = node_is(node, S_IFDIR)
                                        ? entry_find(node, path + start, offset - start)
                                        : NULL;
        if (!entry) {
            *error = node_is(node, S_IFDIR) ? -ENOENT : -ENOTDIR;
            return NULL;
        }
        node = entry->node;
    }
    return node;
}

struct node *node_find(const char *path, int64_t *error)
{
    return walk(path, strlen(path), error);
}

struct node *node_parent(const char *path, const char **name, int64_t *error)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] != '/')
        length--;
    *name = path + length;
    struct node *node = walk(path, length, error);
    if (node && !node_is(node, S_IFDIR)) {
        *error = -ENOTDIR;
        return NULL;
    }
    return node;
}

/* Replaces a time later than the call's fixed clock. A deterministic call must not see when its
 * image was built, or when earlier rows ran. */
static void hide_later(struct timestamp *time)
{
    const struct timestamp now = timestamp_now();
    if (time->seconds > now.seconds ||
        (time->seconds == now.seconds && time->nanoseconds > now.nanoseconds))
        *time = now;
}

void node_status(const struct node *node, struct status *status)
{
    *status = (struct status){
        .device = DEVICE_MEMORY,
        .inode = node->inode,
        .size = node->size,
        .mode = node->mode,
        .links = node->links + (node->links && node_is(node, S_IFDIR)), /* the link of its "." */
        .uid = node->user,
        .gid = node->group,
        .accessed = node->accessed,
        .modified = node->modified,
        .changed = node->changed,
    };
    if (!clock_is_fixed())
        return;
    hide_later(&status->changed);
    if (!node->dated) {
        hide_later(&status->accessed);
        hide_later(&status->modified);
    }
}

/* A regular file of another owner no longer runs as its owner. */
static void set_owner(struct node *node, uint32_t user, uint32_t group)
{
    if (user != UNCHANGED)
        node->user = user;
    if (group != UNCHANGED)
        node->group = group;
    if (node_is(node, S_IFREG))
        node->mode &= ~(uint32_t)(node->mode & S_IXGRP ? S_ISUID | S_ISGID : S_ISUID);
}

void node_change(struct node *node, const struct attributes *change)
{
    if (change->set_owner)
        set_owner(node, change->user, change->group);
    if (change->set_mode)
        node->mode = (node->mode & S_IFMT) | (change->mode & 07777);
    if (change->set_accessed)
        node->accessed = change->accessed;
    if (change->set_modified)
        node->modified = change->modified;
    node->dated |= change->set_accessed || change->set_modified;
    node->changed = timestamp_now();
}

void tree_init(void)
{
    buckets = kernel_alloc(BUCKETS * sizeof *buckets);
    root = node_create(S_IFDIR | 0755);
    if (!buckets || !root)
        kernel_panic("no memory for the file system");
    root->inode = 1;
    root->links = 1;
    root->parent = root;
    root->overlaps = true;
}
