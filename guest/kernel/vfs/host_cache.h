/* The cache of the host's tree, which host_file.c uses. */
#ifndef UDFVM_HOST_CACHE_H
#define UDFVM_HOST_CACHE_H

#include "vfs/file.h"

#define LISTING_BYTES \
    65536u        /* of one reply of the host; only directories that fit are remembered */
#define UNKNOWN 1 /* a result that is not known yet; known ones are 0 or a negative errno */

/* What is known of a path. Lookups fill it in step by step. */
struct known_path {
    struct known_path *next;
    const struct udfvm_stat *own,
        *followed; /* status of the path itself, and of its target if it is a link */
    const struct udfvm_directory_entry *entries; /* a directory's entries: `listing_length` bytes */
    uint32_t listing_length;
    uint32_t hash;
    int16_t own_result, followed_result; /* 0, a negative errno, or UNKNOWN */
    bool exists;                         /* a directory that exists: something was found in it */
    bool unlistable; /* the host does not list it, or the listing is too large */
    char path[];
};

/* Returns NULL if nothing is known of the path. */
struct known_path *cache_find(const char *path);
void cache_status(const char *path, bool follow, int64_t result, const struct udfvm_stat *stat);
/* Returns true if a directory on the path is known not to hold the next component. */
bool cache_denies(const char *path);
/* Lists the deepest known directory on the way to a path, so that later misses in it need no
 * hypercall. With `parent_only` it does so only if that directory would hold the path. */
void cache_learn(const char *path, bool parent_only);
/* Returns the remembered listing, or fetches it. Returns false if it is not available. */
bool cache_listing(const char *directory, const struct udfvm_directory_entry **entries,
                   size_t *length);

static inline const struct udfvm_directory_entry *entry_at(
    const struct udfvm_directory_entry *first, size_t offset)
{
    return (const struct udfvm_directory_entry *)((const char *)first + offset);
}

#endif
