/* Extended attributes. Files and directories in memory have those of the name space "user". The
 * others, and the host's files, do not support them: programs that copy files expect that error. */
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "vfs/tmpfs.h"

#include <linux/limits.h>
#include <linux/xattr.h>

struct extended_attribute {
    struct extended_attribute *next;
    size_t name_length, length; /* of the name with its NUL, and of the value behind it */
    char name[];
};

void extended_attributes_free(struct extended_attribute *first)
{
    while (first) {
        struct extended_attribute *next = first->next;
        kernel_free(first);
        first = next;
    }
}

/* Whose attributes a system call is about: a path's, or an open file's. */
struct subject {
    bool by_path, follow;
    uint64_t path;
    int fd;
};

static int64_t node_at(uint64_t string, bool follow, struct node **node)
{
    char path[MAX_PATH];
    struct status status;
    int64_t result = path_from_program(AT_FDCWD, string, follow ? PATH_FOLLOW : 0, path);
    if (result == 0)
        result = path_status(path, follow, &status);
    if (result)
        return result;
    struct file *file = procfs_descriptor(path);
    *node = file                             ? tmpfs_node(file)
            : status.device == DEVICE_MEMORY ? node_find(path, &result)
                                             : NULL;
    file_put(file);
    return result ? result : *node ? 0 : -EOPNOTSUPP;
}

static int64_t node_of(const struct subject *subject, struct node **node)
{
    if (subject->by_path)
        return node_at(subject->path, subject->follow, node);
    struct file *file = file_get(subject->fd);
    if (!file)
        return -EBADF;
    *node = tmpfs_node(file);
    const int64_t result = *node ? 0 : -EOPNOTSUPP;
    file_put(file);
    return result;
}

static int64_t check_name(uint64_t string, const char **name)
{
    const int64_t length = user_string_length(string, XATTR_NAME_MAX + 1);
    if (length <= 0)
        return length == -EFAULT ? -EFAULT : -ERANGE;
    *name = (const char *)string;
    if (strncmp(*name, XATTR_TRUSTED_PREFIX, XATTR_TRUSTED_PREFIX_LEN) == 0)
        return -EPERM; /* it needs a privilege */
    if (strncmp(*name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) != 0)
        return -EOPNOTSUPP;
    return (*name)[XATTR_USER_PREFIX_LEN] ? 0 : -EINVAL;
}

/* The node whose attribute is meant, and the attribute's name. */
static int64_t find_node(const struct subject *subject, uint64_t string, const char **name,
                         struct node **node)
{
    const int64_t result = check_name(string, name);
    if (result == -EFAULT || result == -ERANGE)
        return result;
    const int64_t error = node_of(subject, node);
    return error ? error : result;
}

static bool has_attributes(const struct node *node)
{
    return node_is(node, S_IFREG) || node_is(node, S_IFDIR);
}

static struct extended_attribute **find(struct node *node, const char *name)
{
    struct extended_attribute **link = &node->extended;
    while (*link && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

/* ---- Setting ---- */

static int64_t put(struct node *node, const char *name, const void *value, size_t length, int flags)
{
    struct extended_attribute **link = find(node, name), *old = *link;
    const size_t name_length = strlen(name) + 1;
    if (old ? flags & XATTR_CREATE : flags & XATTR_REPLACE)
        return old ? -EEXIST : -ENODATA;
    struct extended_attribute *made = kernel_alloc(sizeof *made + name_length + length);
    if (!made)
        return -ENOSPC;
    *made = (struct extended_attribute){ old ? old->next : NULL, name_length, length };
    memcpy(made->name, name, name_length);
    if (length)
        memcpy(made->name + name_length, value, length);
    *link = made;
    kernel_free(old);
    node->changed = timestamp_now();
    return 0;
}

static int64_t set(const struct subject *subject, uint64_t string, uint64_t value, uint64_t length,
                   uint64_t flags)
{
    const char *name;
    struct node *node;
    if (flags & ~(uint64_t)(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    if (length > XATTR_SIZE_MAX)
        return -E2BIG;
    if (length && !user_range_ok(value, length))
        return -EFAULT;
    const int64_t error = find_node(subject, string, &name, &node);
    if (error)
        return error;
    return has_attributes(node) ? put(node, name, (const void *)value, length, (int)flags) : -EPERM;
}

static int64_t remove(const struct subject *subject, uint64_t string)
{
    const char *name;
    struct node *node;
    const int64_t error = find_node(subject, string, &name, &node);
    if (error)
        return error;
    if (!has_attributes(node))
        return -EPERM;
    struct extended_attribute **link = find(node, name), *old = *link;
    if (!old)
        return -ENODATA;
    *link = old->next;
    kernel_free(old);
    node->changed = timestamp_now();
    return 0;
}

/* ---- Reading ---- */

static int64_t get(const struct subject *subject, uint64_t string, uint64_t buffer, uint64_t size)
{
    const char *name;
    struct node *node;
    const int64_t error = find_node(subject, string, &name, &node);
    if (error)
        return error == -EPERM ? -ENODATA : error;
    const struct extended_attribute *found = has_attributes(node) ? *find(node, name) : NULL;
    if (!found)
        return -ENODATA;
    if (size && size < found->length)
        return -ERANGE;
    if (size && !user_range_ok(buffer, found->length))
        return -EFAULT;
    if (size)
        memcpy((void *)buffer, found->name + found->name_length, found->length);
    return (int64_t)found->length;
}

static int64_t list(const struct subject *subject, uint64_t buffer, uint64_t size)
{
    struct node *node;
    uint64_t length = 0;
    const int64_t error = node_of(subject, &node);
    if (error)
        return error;
    for (const struct extended_attribute *one = node->extended; one; one = one->next)
        length += one->name_length;
    if (size == 0 || length > size)
        return size ? -ERANGE : (int64_t)length;
    if (!user_range_ok(buffer, length))
        return -EFAULT;
    for (const struct extended_attribute *one = node->extended; one; one = one->next) {
        memcpy((void *)buffer, one->name, one->name_length);
        buffer += one->name_length;
    }
    return (int64_t)length;
}

/* ---- System calls: by path, by path of a link itself, and of an open file ---- */

#define BY_PATH (&(const struct subject){ .by_path = true, .follow = true, .path = a })
#define BY_LINK (&(const struct subject){ .by_path = true, .path = a })
#define BY_FILE (&(const struct subject){ .fd = (int)a })

SYSTEM_CALL(setxattr)
{
    return set(BY_PATH, b, c, d, (uint32_t)e);
}
SYSTEM_CALL(lsetxattr)
{
    return set(BY_LINK, b, c, d, (uint32_t)e);
}
SYSTEM_CALL(fsetxattr)
{
    return set(BY_FILE, b, c, d, (uint32_t)e);
}
SYSTEM_CALL(getxattr)
{
    return get(BY_PATH, b, c, d);
}
SYSTEM_CALL(lgetxattr)
{
    return get(BY_LINK, b, c, d);
}
SYSTEM_CALL(fgetxattr)
{
    return get(BY_FILE, b, c, d);
}
SYSTEM_CALL(listxattr)
{
    return list(BY_PATH, b, c);
}
SYSTEM_CALL(llistxattr)
{
    return list(BY_LINK, b, c);
}
SYSTEM_CALL(flistxattr)
{
    return list(BY_FILE, b, c);
}
SYSTEM_CALL(removexattr)
{
    return remove(BY_PATH, b);
}
SYSTEM_CALL(lremovexattr)
{
    return remove(BY_LINK, b);
}
SYSTEM_CALL(fremovexattr)
{
    return remove(BY_FILE, b);
}
