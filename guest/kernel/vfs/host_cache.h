/* The cache of the host's tree, between host_cache.c and host_file.c. */
#ifndef UDFVM_HOST_CACHE_H
#define UDFVM_HOST_CACHE_H

#include "vfs/file.h"

#define LISTING_BYTES \
    65536u        /* of one answer of the host; only directories that fit are remembered */
#define UNKNOWN 1 /* where a negative errno or 0 is known otherwise */

/* A path. Its data are filled in step by step. */
struct known_path {
    struct known_path *next;
    const struct udfvm_stat *own, *followed; /* of the path; of what it leads to, if it is a link */
    const struct udfvm_directory_entry *entries; /* a directory's, `listing_length` bytes of them */
    uint32_t listing_length;
    uint32_t hash;
    int16_t own_result, followed_result; /* 0, a negative errno, or UNKNOWN */
    bool exists;                         /* as a directory: something was found in it */
    bool unlistable;                     /* or too large to be remembered */
    char path[];
};

/* NULL where nothing is known of the path. */
struct known_path *cache_find(const char *path);
void cache_status(const char *path, bool follow, int64_t result, const struct udfvm_stat *stat);
/* A directory that the path leads through is known not to hold the next component. */
bool cache_denies(const char *path);
/* Lists the deepest known directory on the way to a path, so that later misses in it need no
 * hypercall. With `parent_only` it does so only if that directory would hold the path. */
void cache_learn(const char *path, bool parent_only);
/* The remembered listing; false where there is none and none can be had. */
bool cache_listing(const char *directory, const struct udfvm_directory_entry **entries,
                   size_t *length);

static inline const struct udfvm_directory_entry *entry_at(
    const struct udfvm_directory_entry *first, size_t offset)
{
    return (const struct udfvm_directory_entry *)((const char *)first + offset);
}

#endif
