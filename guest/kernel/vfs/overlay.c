/* Memory file systems over the host's tree. A file that is not in memory is looked up on the
 * host, even below a mount point, because packages may be installed below /tmp or the home
 * directory. New names are created in memory only, and only below the mount points. */
#include "lib/string.h"
#include "mm/alloc.h"
#include "vfs/tmpfs.h"

#define HOST_POSITIONS \
    (1ull << 62) /* positions in a listing from here on belong to the host's entries */

/* ---- Looking ---- */

bool overlay_is_in_memory(const char *path)
{
    int64_t error;
    const struct node *node = node_find(path, &error);
    return node && (!node_is(node, S_IFDIR) || node->writable);
}

bool overlay_is_link_in_memory(const char *path)
{
    int64_t error;
    const struct node *node = node_find(path, &error);
    return node && node_is(node, S_IFLNK);
}

int64_t overlay_status(const char *path, bool follow, struct status *status)
{
    int64_t error;
    const struct node *node = node_find(path, &error);
    if (!node)
        return error == -ENOENT ? host_status(path, follow, status) : error;
    node_status(node, status);
    return 0;
}

int64_t overlay_readlink(const char *path, char *buffer, uint64_t size)
{
    int64_t error;
    const struct node *node = node_find(path, &error);
    if (!node)
        return error == -ENOENT ? host_readlink(path, buffer, size) : error;
    if (!node_is(node, S_IFLNK))
        return -EINVAL;
    const size_t length = minimum(node->size, size);
    memcpy(buffer, node->target, length);
    return (int64_t)length;
}

struct host_sink {
    const struct node *directory;
    emit_function *emit;
    void *sink;
};

static bool emit_from_host(void *argument, const struct directory_item *item)
{
    const struct host_sink *host = argument;
    return entry_find(host->directory, item->name, item->length) || host->emit(host->sink, item);
}

int64_t overlay_list_host(const struct node *directory, const char *path, uint64_t position,
                          emit_function *emit, void *sink)
{
    struct host_sink host = { directory, emit, sink };
    host_list(path, HOST_POSITIONS, maximum(position, HOST_POSITIONS), emit_from_host, &host);
    return 0; /* if the host has no such directory, or hides it, the listing just ends */
}

/* ---- Making names ---- */

/* Returns the directory in memory where the path can be created. Returns NULL if the path
 * exists, also on the host, or cannot be created. */
static struct node *directory_for(const char *path, const char **name, int64_t *error)
{
    struct status status;
    char parent[MAX_PATH];
    struct node *directory = node_parent(path, name, error);
    if (!directory) {
        if (*error != -ENOENT)
            return NULL;
        path_parent(path, parent);
        *error = host_status(path, false, &status) == 0 ? -EEXIST
                 : host_status(parent, true, &status)   ? -ENOENT
                                                        : -EROFS;
        return NULL;
    }
    if (entry_find(directory, *name, strlen(*name)) || !**name ||
        host_status(path, false, &status) == 0)
        *error = -EEXIST;
    else if (!directory->writable)
        *error = -EROFS;
    else
        return directory;
    return NULL;
}

static struct file *create(const char *path, int flags, int mode, int64_t *error)
{
    const char *name;
    struct node *directory = directory_for(path, &name, error);
    if (!directory)
        return NULL;
    struct node *node = node_create(S_IFREG | ((uint32_t)mode & 07777));
    *error = entry_add_new(directory, name, node);
    return *error ? NULL : node_open(node, flags & ~O_CREAT, path, error);
}

static struct file *open_unnamed(const struct node *node, int flags, int mode, int64_t *error)
{
    *error = !node_is(node, S_IFDIR)           ? -ENOTDIR
             : !node->writable                 ? -EROFS
             : (flags & O_ACCMODE) == O_RDONLY ? -EINVAL
                                               : 0;
    if (*error)
        return NULL;
    struct file *file = tmpfs_anonymous(NULL, flags, mode, false);
    *error = file ? 0 : -ENOSPC;
    return file;
}

struct file *overlay_open(const char *path, int flags, int mode, int64_t *error)
{
    const bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    struct node *node = node_find(path, error);
    if (node && unnamed)
        return open_unnamed(node, flags, mode, error);
    if (node && (flags & O_CREAT) && (flags & O_EXCL))
        *error = -EEXIST;
    else if (node)
        return node_open(node, flags, path, error);
    else if (*error == -ENOENT) {
        struct file *file = host_open(path, flags, error);
        if (file || *error != -ENOENT || !(flags & O_CREAT) || unnamed)
            return file;
        return create(path, flags, mode, error);
    }
    return NULL;
}

int64_t overlay_make(const char *path, uint32_t mode, const char *target)
{
    const char *name;
    int64_t error;
    struct node *directory = directory_for(path, &name, &error);
    if (!directory)
        return error;
    struct node *node = node_create(mode);
    if (node && target) {
        node->size = strlen(target);
        node->target = kernel_alloc(node->size + 1);
        if (!node->target) {
            node_release(node);
            return -ENOSPC;
        }
        memcpy(node->target, target, node->size + 1);
    } else if (node && node_is(node, S_IFDIR)) {
        node->writable = true;
    }
    return entry_add_new(directory, name, node);
}

/* ---- Changing names ---- */

/* Returns the entry in memory of a path that may be removed or renamed. */
static struct entry *entry_to_change(const char *path, int64_t *error)
{
    const char *name;
    struct status status;
    struct node *directory = node_parent(path, &name, error);
    struct entry *entry = directory ? entry_find(directory, name, strlen(name)) : NULL;
    if (!entry) {
        if (directory || *error == -ENOENT)
            *error = !*name ? -EBUSY : host_status(path, false, &status) == 0 ? -EROFS : -ENOENT;
        return NULL;
    }
    *error = node_is(entry->node, S_IFDIR) && entry->node->overlaps ? -EBUSY
             : !directory->writable                                 ? -EROFS
                                                                    : 0;
    return *error ? NULL : entry;
}

int64_t overlay_remove(const char *path, bool directory)
{
    int64_t error;
    struct entry *entry = entry_to_change(path, &error);
    if (!entry)
        return error;
    if (directory != node_is(entry->node, S_IFDIR))
        return directory ? -ENOTDIR : -EISDIR;
    if (directory && entry->node->first)
        return -ENOTEMPTY;
    entry_remove(entry);
    return 0;
}

static bool is_ancestor(const struct node *node, const struct node *of)
{
    while (of != node && of->parent && of->parent != of)
        of = of->parent;
    return of == node;
}

static int64_t check_replace(const struct node *node, const struct node *there)
{
    if (node_is(there, S_IFDIR) != node_is(node, S_IFDIR))
        return node_is(there, S_IFDIR) ? -EISDIR : -ENOTDIR;
    return node_is(there, S_IFDIR) && there->overlaps ? -EBUSY
           : node_is(there, S_IFDIR) && there->first  ? -ENOTEMPTY
                                                      : 0;
}

/* Gives an existing name another node. It needs no memory, so it cannot fail half-way. */
static void replace(struct entry *there, struct node *node)
{
    struct node *old = there->node;
    there->node = node;
    node->links++;
    old->links--;
    if (node_is(old, S_IFDIR))
        old->parent = NULL; /* the new directory's ".." now counts as a link of the parent */
    node_touch(there->directory);
    node_release(old);
}

/* Returns the directory that holds the name. Returns NULL if it is the host's, if it is
 * read-only, or if it does not exist (an error). */
static struct node *changeable_parent(const char *path, const char **name, int64_t *error)
{
    char parent[MAX_PATH];
    struct status status;
    struct node *directory = node_parent(path, name, error);
    if (directory) {
        *error = 0;
        return directory->writable ? directory : NULL;
    }
    path_parent(path, parent);
    if (*error == -ENOENT)
        *error = host_status(parent, true, &status);
    return NULL;
}

/* Finds the directories of both names. Returns 0 or a negative errno. */
static int64_t find_parents(const char *from, const char *to, struct node **new_directory,
                            const char **new_name)
{
    const char *name;
    int64_t error, new_error;
    struct status status;
    const struct node *directory = changeable_parent(from, &name, &error);
    *new_directory = changeable_parent(to, new_name, &new_error);
    if (error || new_error)
        return error ? error : new_error;
    if (directory && *new_directory)
        return 0;
    return directory || *new_directory              ? -EXDEV
           : host_status(from, false, &status) == 0 ? -EROFS
                                                    : -ENOENT;
}

/* Checks that `node` may get a name in a directory, where `there` is the entry of that name, or
 * NULL. */
static int64_t check_rename(const struct node *node, const struct entry *there, bool may_replace,
                            const struct node *new_directory, bool must_be_directory)
{
    if (there && !may_replace)
        return -EEXIST;
    if (must_be_directory && !node_is(node, S_IFDIR))
        return -ENOTDIR;
    return node_is(node, S_IFDIR) && is_ancestor(node, new_directory) ? -EINVAL : 0;
}

/* Renames an entry's node, and replaces `there` if that is not NULL. */
static int64_t move(struct entry *entry, struct entry *there, struct node *directory,
                    const char *name)
{
    struct node *node = entry->node;
    int64_t error = there ? check_replace(node, there->node) : entry_add(directory, name, node);
    if (error)
        return error;
    if (there)
        replace(there, node);
    entry_remove(entry);
    if (node_is(node, S_IFDIR))
        node->parent = directory;
    return 0;
}

int64_t overlay_rename(const char *from, const char *to, bool may_replace, bool must_be_directory)
{
    const char *name;
    struct node *directory;
    struct status status;
    int64_t error = find_parents(from, to, &directory, &name);
    if (error)
        return error;
    struct entry *entry = entry_to_change(from, &error),
                 *there = entry_find(directory, name, strlen(name));
    if (!entry)
        return error;
    struct node *node = entry->node;
    if (!there && host_status(to, false, &status) == 0)
        return may_replace ? -EROFS : -EEXIST;
    error = check_rename(node, there, may_replace, directory, must_be_directory);
    return error || (there && there->node == node) ? error : move(entry, there, directory, name);
}

/* Gives a name another node, which also counts elsewhere meanwhile. */
static void put(struct entry *entry, struct node *node)
{
    entry->node = node;
    if (node_is(node, S_IFDIR))
        node->parent = entry->directory;
    node->changed = timestamp_now();
    node_touch(entry->directory);
}

static int64_t check_exchange(const struct entry *one, const struct entry *other,
                              bool must_be_directory, bool other_must)
{
    if ((must_be_directory && !node_is(one->node, S_IFDIR)) ||
        (other_must && !node_is(other->node, S_IFDIR)))
        return -ENOTDIR;
    return (node_is(one->node, S_IFDIR) && is_ancestor(one->node, other->directory)) ||
                   (node_is(other->node, S_IFDIR) && is_ancestor(other->node, one->directory))
               ? -EINVAL
               : 0;
}

int64_t overlay_exchange(const char *one, const char *other, bool directory, bool other_directory)
{
    const char *name;
    struct node *parent;
    int64_t error = find_parents(one, other, &parent, &name);
    struct entry *first = error ? NULL : entry_to_change(one, &error),
                 *second = first ? entry_to_change(other, &error) : NULL;
    if (second)
        error = check_exchange(first, second, directory, other_directory);
    if (error)
        return error;
    struct node *node = first->node, *there = second->node;
    first->directory->links += node_is(there, S_IFDIR) - node_is(node, S_IFDIR);
    second->directory->links += node_is(node, S_IFDIR) - node_is(there, S_IFDIR);
    put(first, there);
    put(second, node);
    return 0;
}

int64_t overlay_link(const char *from, const char *to)
{
    const char *name;
    int64_t error, other_error;
    struct status status;
    struct node *node = node_find(from, &error);
    if (!node && (error != -ENOENT || host_status(from, false, &status)))
        return error;
    struct node *directory = directory_for(to, &name, &other_error);
    if (!directory || !node)
        return directory ? -EXDEV : other_error;
    return node_is(node, S_IFDIR) ? -EPERM : entry_add(directory, name, node);
}

int64_t overlay_change(const char *path, const struct attributes *change)
{
    int64_t error;
    struct status status;
    struct node *node = node_find(path, &error);
    if (!node)
        return error == -ENOENT && host_status(path, false, &status) == 0 ? -EROFS : error;
    if (node_is(node, S_IFDIR) && node->overlaps && !node->writable)
        return -EROFS;
    node_change(node, change);
    return 0;
}
