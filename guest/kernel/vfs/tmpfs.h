/* Nodes of the memory file systems, between tmpfs_tree.c (names), tmpfs.c (contents) and overlay.c.
 */
#ifndef UDFVM_TMPFS_H
#define UDFVM_TMPFS_H

#include "vfs/file.h"

/* A file, directory or symbolic link. */
struct node {
    uint32_t mode, links, users; /* users: open files; freed when both are zero */
    uint64_t inode, size;
    struct timestamp accessed, modified, changed;
    bool dated; /* the first two are what the program set, not what a clock said */
    union {
        struct {
            uint8_t **pages;
            size_t slots;
        }; /* a regular file's; NULL: a hole */
        struct {
            struct entry *first, *last; /* a directory's, by position */
            struct node *parent;
            uint64_t last_position;
            bool writable; /* names can be made in it: not in those that only lead to a mount point
                            */
            bool overlaps; /* the host may have a directory of this name: a mount point, or what
                              leads to one */
        };
        char *target; /* a link's */
    };
};

/* A name in a directory. */
struct entry {
    struct entry *next, *previous, *collision;
    struct node *directory, *node;
    uint64_t position;
    uint32_t hash;
    uint32_t length;
    char name[];
};

static inline bool node_is(const struct node *node, uint32_t type)
{
    return (node->mode & S_IFMT) == type;
}

/* tmpfs_tree.c */
void tree_init(void);
struct node *node_create(uint32_t mode); /* nothing refers to it yet; NULL when memory is out */
void node_release(struct node *node);    /* frees it where nothing refers to it any more */
struct node *node_find(const char *path, int64_t *error);
/* The directory that holds, or would hold, the last component, whose name goes to *name. */
struct node *node_parent(const char *path, const char **name, int64_t *error);
struct entry *entry_find(const struct node *directory, const char *name, size_t length);
int64_t entry_add(struct node *directory, const char *name, struct node *node);
/* The same for a new node, which may be NULL; frees it where that fails. */
int64_t entry_add_new(struct node *directory, const char *name, struct node *node);
void entry_remove(struct entry *entry);
void node_touch(struct node *node); /* its contents have changed */
void node_status(const struct node *node, struct status *status);
void node_change(struct node *node, const struct attributes *change);

/* tmpfs.c */
void node_free_pages(struct node *node);
struct file *node_open(struct node *node, int flags, const char *path, int64_t *error);

#endif
