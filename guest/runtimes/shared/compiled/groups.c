/* See groups.h. Linear probing: a group lies at its home, or at the next free entry behind it. */
#include "shared/compiled/groups.h"

#include <stdlib.h>

#define FIRST_CAPACITY 16u

/* Numbers mostly count from 0, so they spread well as they are. */
static size_t home_of(const struct groups *groups, uint64_t number)
{
    return (size_t)number & (groups->capacity - 1);
}

/* Returns the index of a number, or of the free entry where it would be. */
static size_t index_of(const struct groups *groups, uint64_t number)
{
    size_t index = home_of(groups, number);
    while (groups->entries[index].group && groups->entries[index].number != number)
        index = (index + 1) & (groups->capacity - 1);
    return index;
}

void *groups_find(const struct groups *groups, uint64_t number)
{
    return groups->capacity ? groups->entries[index_of(groups, number)].group : NULL;
}

static void grow(struct groups *groups)
{
    const struct groups before = *groups;
    groups->capacity = before.capacity ? 2 * before.capacity : FIRST_CAPACITY;
    groups->entries = calloc(groups->capacity, sizeof *groups->entries);
    if (!groups->entries)
        abort();
    for (size_t i = 0; i < before.capacity; i++)
        if (before.entries[i].group)
            groups->entries[index_of(groups, before.entries[i].number)] = before.entries[i];
    free(before.entries);
}

void groups_add(struct groups *groups, uint64_t number, void *group)
{
    if (groups->count >= groups->capacity / 2)
        grow(groups);
    groups->entries[index_of(groups, number)] = (struct group_entry){ number, group };
    groups->count++;
}

/* Entries behind the free one move into it, unless they would come before their homes. */
void groups_remove(struct groups *groups, uint64_t number)
{
    const size_t mask = groups->capacity - 1;
    size_t gap = index_of(groups, number);
    for (size_t next = (gap + 1) & mask; groups->entries[next].group; next = (next + 1) & mask) {
        const size_t home = home_of(groups, groups->entries[next].number);
        if (((next - home) & mask) < ((next - gap) & mask))
            continue;
        groups->entries[gap] = groups->entries[next];
        gap = next;
    }
    groups->entries[gap].group = NULL;
    groups->count--;
}
