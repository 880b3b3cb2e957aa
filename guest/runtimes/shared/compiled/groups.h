/* The groups of an aggregate by their numbers: a hash table. All zeros is an empty one. */
#ifndef UDFVM_COMPILED_GROUPS_H
#define UDFVM_COMPILED_GROUPS_H

#include <stddef.h>
#include <stdint.h>

struct group_entry {
    uint64_t number;
    void *group; /* NULL: the entry is free */
};

struct groups {
    struct group_entry *entries;
    size_t capacity, count; /* the capacity is 0 or a power of 2 */
};

/* Returns a group; NULL if there is none of that number. */
void *groups_find(const struct groups *groups, uint64_t number);
/* Adds a group under a number that has none. */
void groups_add(struct groups *groups, uint64_t number, void *group);
/* Removes a group that is there. */
void groups_remove(struct groups *groups, uint64_t number);

#endif
