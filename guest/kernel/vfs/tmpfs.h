/* Nodes of the memory file systems, between tmpfs_tree.c (names) and tmpfs.c (contents). */
#ifndef UDFVM_TMPFS_H
#define UDFVM_TMPFS_H

#include "file.h"

struct node {
    struct node *parent, *next;                  /* next: sibling */
    struct node *children;
    char *name;
    uint32_t mode;
    uint32_t links, users;                       /* users: open files; freed when both are zero */
    uint64_t inode, size;
    int64_t modified_ns;
    uint8_t **pages;                             /* NULL: a hole */
    size_t page_slots;
    char *target;                                /* of a link */
};

static inline bool node_is(const struct node *node, uint32_t type) { return (node->mode & S_IFMT) == type; }
struct node *node_create(uint32_t mode);
void node_release(struct node *node);            /* frees it where nothing refers to it any more */
struct node *node_find(const char *path, bool follow, int64_t *error);
/* The directory that holds, or would hold, the last component, whose name goes to *name. */
struct node *node_parent(const char *path, const char **name, int64_t *error);
struct node *node_child(const struct node *directory, const char *name, size_t length);
int64_t node_attach(struct node *directory, const char *name, struct node *node);
void node_detach(struct node *node);
void node_touch(struct node *node);
int64_t node_truncate(struct node *node, uint64_t size);
void node_status(const struct node *node, struct udfvm_stat *stat);
struct file *node_open(struct node *node, int flags, const char *path);

#endif
