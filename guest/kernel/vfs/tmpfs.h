/* Nodes of the memory file systems: tmpfs_tree.c has their names, tmpfs.c their contents, and
 * overlay.c puts them over the host's tree. */
#ifndef UDFVM_TMPFS_H
#define UDFVM_TMPFS_H

#include "mm/file_memory.h"
#include "vfs/file.h"

/* A file, directory or symbolic link. */
struct node {
    uint32_t mode, links, users; /* users: open files */
    uint32_t user, group;        /* its owner */
    uint64_t inode, size;
    struct timestamp accessed, modified, changed;
    bool dated;    /* the program, not a clock, set the first two */
    uint8_t seals; /* F_SEAL_ bits */
    struct extended_attribute *extended;
    union {
        struct file_memory memory; /* of a regular file */
        struct {
            struct entry *first, *last; /* of a directory, by position */
            struct node *parent;
            uint64_t last_position;
            /* names can be created in it; not in a directory that only leads to a mount point */
            bool writable;
            /* the host may have a directory of this path: a mount point, or one that leads to it */
            bool overlaps;
        };
        char *target;            /* of a symbolic link */
        struct channel *channel; /* of a FIFO that is open; NULL: it is not */
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
struct node *node_create(
    uint32_t mode);                   /* creates a node without references; NULL if memory is out */
void node_release(struct node *node); /* frees it if nothing refers to it */
struct node *node_find(const char *path, int64_t *error);
/* Returns the directory that holds, or would hold, the last component. *name is that component. */
struct node *node_parent(const char *path, const char **name, int64_t *error);
struct entry *entry_find(const struct node *directory, const char *name, size_t length);
int64_t entry_add(struct node *directory, const char *name, struct node *node);
/* Adds a new node, or fails if it is NULL. Frees the node on error. */
int64_t entry_add_new(struct node *directory, const char *name, struct node *node);
void entry_remove(struct entry *entry);
void node_touch(struct node *node); /* sets the times of a change */
void node_status(const struct node *node, struct status *status);
void node_change(struct node *node, const struct attributes *change);

/* extended_attributes.c */
void extended_attributes_free(struct extended_attribute *first);

/* seals.c: 0, or -EPERM if a seal forbids it */
int64_t seals_check_write(const struct node *node, uint64_t end);
int64_t seals_check_size(const struct node *node, uint64_t size);
int64_t seals_check_mapping(const struct node *node, int protection);

/* fifo.c */
struct file *fifo_open(struct node *node, int flags, const char *path, int64_t *error);

/* etc_files.c */
void etc_files_init(void);

/* tmpfs.c */
struct node *tmpfs_node(const struct file *file); /* NULL: the file is none of these */
struct file *node_open(struct node *node, int flags, const char *path, int64_t *error);

#endif
