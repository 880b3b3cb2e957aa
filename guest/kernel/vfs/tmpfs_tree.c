/* Names of the memory file systems: /tmp, /var/tmp, /dev/shm and /run. */
#include "tmpfs.h"

#define DEVICE 0x7466u

static struct node *root;
static uint64_t last_inode;
static const char *const mounts[] = { "/tmp", "/var/tmp", "/dev/shm", "/run" };

struct node *node_create(uint32_t mode)
{
    struct node *node = kernel_alloc(sizeof *node);
    if (!node)
        return NULL;
    *node = (struct node){ .mode = mode, .inode = ++last_inode };
    node_touch(node);
    return node;
}

void node_touch(struct node *node)
{
    node->modified_ns = realtime_ns();
}

void node_release(struct node *node)
{
    if (node->links || node->users)
        return;
    node_truncate(node, 0);
    kernel_free(node->target);
    kernel_free(node);
}

struct node *node_child(const struct node *directory, const char *name, size_t length)
{
    struct node *child = directory->children;
    while (child && (strlen(child->name) != length || memcmp(child->name, name, length) != 0))
        child = child->next;
    return child;
}

int64_t node_attach(struct node *directory, const char *name, struct node *node)
{
    const size_t length = strlen(name);
    if (length == 0 || length > 255)
        return length ? -ENAMETOOLONG : -ENOENT;
    node->name = kernel_alloc(length + 1);
    if (!node->name)
        return -ENOSPC;
    memcpy(node->name, name, length + 1);
    node->parent = directory;
    node->next = directory->children;
    directory->children = node;
    node->links++;
    node_touch(directory);
    return 0;
}

void node_detach(struct node *node)
{
    struct node **link = &node->parent->children;
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    node_touch(node->parent);
    kernel_free(node->name);
    node->name = NULL;
    node->parent = node->next = NULL;
    node->links--;
    node_release(node);
}

/* Links are followed inside the memory file systems only; `budget` bounds their number. */
static struct node *walk(const char *path, bool follow, int budget, int64_t *error)
{
    struct node *node = root;
    for (const char *at = path; *at;) {
        while (*at == '/')
            at++;
        const char *start = at;
        while (*at && *at != '/')
            at++;
        if (at == start)
            break;
        struct node *child = node_is(node, S_IFDIR) ? node_child(node, start, (size_t)(at - start)) : NULL;
        if (!child) {
            *error = node_is(node, S_IFDIR) ? -ENOENT : -ENOTDIR;
            return NULL;
        }
        if (node_is(child, S_IFLNK) && (*at || follow)) {
            char base[PATH_LIMIT], target[PATH_LIMIT];
            memcpy(base, path, (size_t)(start - path));
            base[start - path] = 0;
            *error = budget ? path_normalise(base, child->target, target) : -ELOOP;
            if (*error == 0)
                *error = path_normalise(target, *at ? at + 1 : ".", base);
            return *error ? NULL : walk(base, follow, budget - 1, error);
        }
        node = child;
    }
    return node;
}

struct node *node_find(const char *path, bool follow, int64_t *error)
{
    return walk(path, follow, 40, error);
}

struct node *node_parent(const char *path, const char **name, int64_t *error)
{
    char directory[PATH_LIMIT];
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] != '/')
        length--;
    memcpy(directory, path, length);
    directory[length] = 0;
    *name = path + length;
    struct node *node = node_find(directory, true, error);
    if (node && !node_is(node, S_IFDIR)) {
        *error = -ENOTDIR;
        return NULL;
    }
    return node;
}

bool tmpfs_covers(const char *path)
{
    const char *rest;
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++)
        if (path_below(path, mounts[i], &rest))
            return true;
    return false;
}

void node_status(const struct node *node, struct udfvm_stat *stat)
{
    *stat = (struct udfvm_stat){
        .device = DEVICE, .inode = node->inode, .size = node->size, .mode = node->mode,
        .links = node_is(node, S_IFDIR) ? 2 : node->links,
        .mtime_seconds = node->modified_ns / (int64_t)NANOSECONDS,
        .mtime_nanoseconds = (uint64_t)(node->modified_ns % (int64_t)NANOSECONDS),
    };
}

int64_t tmpfs_status(const char *path, bool follow, struct udfvm_stat *stat)
{
    int64_t error = 0;
    struct node *node = node_find(path, follow, &error);
    if (node)
        node_status(node, stat);
    return node ? 0 : error;
}

int64_t tmpfs_readlink(const char *path, char *buffer, uint64_t size)
{
    int64_t error = 0;
    struct node *node = node_find(path, false, &error);
    if (!node || !node->target)
        return node ? -EINVAL : error;
    const size_t length = minimum(strlen(node->target), size);
    memcpy(buffer, node->target, length);
    return (int64_t)length;
}

int64_t tmpfs_make(const char *path, uint32_t mode, const char *target)
{
    const char *name;
    int64_t error = 0;
    struct node *directory = node_parent(path, &name, &error);
    if (!directory)
        return error;
    if (node_child(directory, name, strlen(name)))
        return -EEXIST;
    struct node *node = node_create(mode);
    if (!node)
        return -ENOSPC;
    if (target) {
        node->size = strlen(target);
        node->target = kernel_alloc(node->size + 1);
        if (node->target)
            memcpy(node->target, target, node->size + 1);
    }
    error = target && !node->target ? -ENOSPC : node_attach(directory, name, node);
    if (error)
        node_release(node);
    return error;
}

int64_t tmpfs_remove(const char *path, bool directory)
{
    int64_t error = 0;
    struct node *node = node_find(path, false, &error);
    if (!node)
        return error;
    if (directory != node_is(node, S_IFDIR))
        return directory ? -ENOTDIR : -EISDIR;
    for (size_t i = 0; directory && i < sizeof mounts / sizeof *mounts; i++)
        if (strcmp(path, mounts[i]) == 0)
            return -EBUSY;
    if (node->children)
        return -ENOTEMPTY;
    node_detach(node);
    return 0;
}

static bool is_ancestor(const struct node *node, const struct node *of)
{
    while (of && of != node)
        of = of->parent;
    return of == node;
}

int64_t tmpfs_rename(const char *from, const char *to, bool replace)
{
    const char *name;
    int64_t error = 0;
    struct node *node = node_find(from, false, &error);
    struct node *directory = node ? node_parent(to, &name, &error) : NULL;
    if (!directory)
        return error;
    struct node *there = node_child(directory, name, strlen(name));
    if (there == node)
        return 0;
    if (there && !replace)
        return -EEXIST;
    if (is_ancestor(node, directory) || !node->parent)
        return -EINVAL;
    if (there && node_is(there, S_IFDIR) != node_is(node, S_IFDIR))
        return node_is(there, S_IFDIR) ? -EISDIR : -ENOTDIR;
    if (there && there->children)
        return -ENOTEMPTY;
    node->users++;                               /* keeps it while it has no name */
    node_detach(node);
    if (there)
        node_detach(there);
    error = node_attach(directory, name, node);
    node->users--;
    node_release(node);
    return error;
}

int64_t tmpfs_link(const char *from, const char *to)
{
    (void)from;
    (void)to;
    return -EPERM;                               /* a node has one name; programs fall back to renaming or copying */
}

int64_t tmpfs_change(const char *path, int32_t mode)
{
    int64_t error = 0;
    struct node *node = node_find(path, true, &error);
    if (!node)
        return error;
    if (mode >= 0)
        node->mode = (node->mode & S_IFMT) | ((uint32_t)mode & 07777);
    node_touch(node);
    return 0;
}

void tmpfs_init(void)
{
    root = node_create(S_IFDIR | 0755);
    if (!root)
        kernel_panic("no memory for the root directory");
    root->links = 1;
    if (tmpfs_make("/var", S_IFDIR | 0755, NULL) || tmpfs_make("/dev", S_IFDIR | 0755, NULL))
        kernel_panic("no memory for directories");
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++)
        if (tmpfs_make(mounts[i], S_IFDIR | S_ISVTX | 0777, NULL))
            kernel_panic("no memory for directories");
}
