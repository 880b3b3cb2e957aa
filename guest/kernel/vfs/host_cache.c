/* A cache of the host's tree, which does not change while an image lives. It holds the status of
 * paths and whole listings of directories. A listing answers most lookups of missing names without
 * a hypercall. Python's import looks up many such names.
 *
 * The cache lies in a few blocks of pages. If they exceed a limit, the cache drops everything
 * and fills anew.
 */
#include "vfs/host_cache.h"
#include "host/hypercall.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/report.h"

#define BUCKETS      1024u
#define BLOCK_PAGES  8u
#define MAX_CACHE    (8u << 20)
#define MEMORY_SHARE 32u /* and at most this part of all memory */
#define FULL_MARGIN \
    (sizeof(struct udfvm_directory_entry) + MAX_NAME + 8) /* the most bytes of one more entry */

struct cache_block {
    struct cache_block *next;
    size_t pages, used;
};

static struct known_path **buckets;
static struct cache_block *blocks;
static size_t bytes_held;

static void forget_all(void)
{
    while (blocks) {
        struct cache_block *block = blocks;
        blocks = block->next;
        page_free(block, block->pages);
    }
    if (buckets)
        memset(buckets, 0, BUCKETS * sizeof *buckets);
    bytes_held = 0;
}

/* Makes space before a lookup: later additions must not drop the result. */
static void make_space(size_t bytes)
{
    struct memory_statistics memory;
    memory_statistics(&memory);
    if (bytes_held + bytes > minimum(MAX_CACHE, memory.total / MEMORY_SHARE))
        forget_all();
}

/* Takes zeroed memory; NULL if memory is out. */
static void *take(size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (!blocks || blocks->pages * PAGE_SIZE - blocks->used < bytes) {
        const size_t pages = maximum(BLOCK_PAGES, page_up(bytes + sizeof *blocks) / PAGE_SIZE);
        struct cache_block *block = page_alloc(pages);
        if (!block)
            return NULL;
        *block = (struct cache_block){ blocks, pages, (sizeof *block + 15) & ~(size_t)15 };
        blocks = block;
        bytes_held += pages * PAGE_SIZE;
    }
    void *taken = (char *)blocks + blocks->used;
    blocks->used += bytes;
    return taken;
}

/* FNV-1a (public domain; G. Fowler, L. C. Noll, K.-P. Vo). */
static uint32_t hash_more(uint32_t hash, char next)
{
    return (hash ^ (uint8_t)next) * 16777619u;
}

static uint32_t hash_path(const char *path, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = hash_more(hash, path[i]);
    return hash;
}

static struct known_path *find(const char *path, size_t length, uint32_t hash)
{
    struct known_path *known = buckets ? buckets[hash % BUCKETS] : NULL;
    while (known && !(known->hash == hash && strncmp(known->path, path, length) == 0 &&
                      !known->path[length]))
        known = known->next;
    return known;
}

struct known_path *cache_find(const char *path)
{
    const size_t length = strlen(path);
    return find(path, length, hash_path(path, length));
}

/* Does what find() does, and adds a missing path. */
static struct known_path *provide(const char *path, size_t length)
{
    const uint32_t hash = hash_path(path, length);
    struct known_path *known = find(path, length, hash);
    if (known)
        return known;
    if (!buckets)
        buckets = kernel_alloc(BUCKETS * sizeof *buckets);
    known = buckets ? take(sizeof *known + length + 1) : NULL;
    if (!known)
        return NULL;
    *known = (struct known_path){ .next = buckets[hash % BUCKETS],
                                  .hash = hash,
                                  .own_result = UNKNOWN,
                                  .followed_result = UNKNOWN };
    memcpy(known->path, path, length);
    known->path[length] = 0;
    buckets[hash % BUCKETS] = known;
    return known;
}

/* Notes that the directory that holds the path exists, because something was found in it. */
static void note_directory(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] != '/')
        length--;
    struct known_path *directory = length > 1 ? provide(path, length - 1) : NULL;
    if (directory)
        directory->exists = true;
}

/* Returns true if the result is a fact about the tree, which does not change. */
static bool is_lasting(int64_t result)
{
    return result == 0 || result == -ENOENT || result == -ENOTDIR || result == -ELOOP;
}

static const struct udfvm_stat *copy_status(const struct udfvm_stat *stat)
{
    struct udfvm_stat *copy = take(sizeof *copy);
    if (copy)
        *copy = *stat;
    return copy;
}

static void note_status(struct known_path *known, bool follow, int64_t result,
                        const struct udfvm_stat *stat)
{
    const bool is_link = stat && (stat->mode & S_IFMT) == S_IFLNK;
    if (follow || (result != -ELOOP && !is_link)) {
        known->followed_result = (int16_t)result;
        known->followed = stat;
    }
    if (!follow) {
        known->own_result = (int16_t)result;
        known->own = stat;
    }
}

void cache_status(const char *path, bool follow, int64_t result, const struct udfvm_stat *stat)
{
    if (!is_lasting(result))
        return;
    make_space(BLOCK_PAGES * PAGE_SIZE);
    if (result == 0)
        note_directory(path);
    struct known_path *known = provide(path, strlen(path));
    const struct udfvm_stat *copy = known && result == 0 ? copy_status(stat) : NULL;
    if (known && (copy || result != 0))
        note_status(known, follow, result, copy);
}

static const struct udfvm_directory_entry *find_entry(const struct known_path *directory,
                                                      const char *name, size_t length)
{
    for (size_t offset = 0; offset < directory->listing_length;) {
        const struct udfvm_directory_entry *entry = entry_at(directory->entries, offset);
        if (entry->name_length == length && memcmp(entry->name, name, length) == 0)
            return entry;
        offset += entry->record_length;
    }
    return NULL;
}

static size_t component_length(const char *name)
{
    size_t length = 0;
    while (name[length] && name[length] != '/')
        length++;
    return length;
}

bool cache_denies(const char *path)
{
    uint32_t hash = 2166136261u;
    for (size_t length = 0; path[length]; length++) {
        if (path[length] == '/' && length > 0) {
            const struct known_path *known = find(path, length, hash);
            const char *next = path + length + 1;
            if (known && (known->followed_result == -ENOENT ||
                          (known->entries && !find_entry(known, next, component_length(next)))))
                return true;
        }
        hash = hash_more(hash, path[length]);
    }
    return false;
}

/* Fetches a directory's listing into a scratch buffer. Returns its length, or an error if it is
 * incomplete. */
static int64_t fetch(const struct known_path *directory, char *scratch)
{
    int64_t got = hypercall(UDFVM_HYPERCALL_FILE_LIST, (uint64_t)directory->path,
                            strlen(directory->path), 0, (uint64_t)scratch, LISTING_BYTES);
    if (got < 0 || (uint64_t)got > LISTING_BYTES - FULL_MARGIN)
        return got < 0 ? got : -EFBIG;
    for (int64_t offset = 0; offset < got;) {
        const struct udfvm_directory_entry *entry = (const struct udfvm_directory_entry *)(scratch +
                                                                                           offset);
        if (entry->record_length < sizeof *entry)
            return -EIO;
        offset += entry->record_length;
    }
    return got;
}

static bool list(struct known_path *directory)
{
    static const struct udfvm_directory_entry none;
    if (directory->entries || directory->unlistable)
        return directory->entries;
    directory->unlistable = true; /* until the listing has succeeded */
    char *scratch = page_alloc(LISTING_BYTES / PAGE_SIZE);
    if (!scratch)
        return false;
    const int64_t length = fetch(directory, scratch);
    struct udfvm_directory_entry *entries = length > 0 ? take((size_t)length) : NULL;
    if (entries)
        memcpy(entries, scratch, (size_t)length);
    directory->entries = length == 0 ? &none : entries;
    directory->listing_length = entries ? (uint32_t)length : 0;
    page_free(scratch, LISTING_BYTES / PAGE_SIZE);
    return directory->entries;
}

/* Returns the length of the deepest directory on the path that is known to exist; 0 if none is. */
static size_t deepest_directory(const char *path)
{
    const struct known_path *above = NULL; /* the directory that holds the prefix */
    size_t deepest = 0, above_length = 0;
    uint32_t hash = 2166136261u;
    for (size_t length = 0; path[length]; length++) {
        if (path[length] == '/' && length > 0) {
            const struct known_path *known = find(path, length, hash);
            const struct udfvm_directory_entry *entry = above && above->entries
                                                            ? find_entry(above,
                                                                         path + above_length + 1,
                                                                         length - above_length - 1)
                                                            : NULL;
            if ((known && (known->exists || known->followed_result == 0)) ||
                (entry && entry->type == TYPE_DIRECTORY))
                deepest = length;
            above = known;
            above_length = length;
        }
        hash = hash_more(hash, path[length]);
    }
    return deepest;
}

void cache_learn(const char *path, bool parent_only)
{
    make_space(LISTING_BYTES);
    const size_t deepest = deepest_directory(path);
    if (deepest == 0 ||
        (parent_only && strlen(path + deepest + 1) > component_length(path + deepest + 1)))
        return;
    struct known_path *directory = provide(path, deepest);
    if (directory)
        list(directory);
}

bool cache_listing(const char *path, const struct udfvm_directory_entry **entries, size_t *length)
{
    make_space(LISTING_BYTES);
    struct known_path *known = provide(path, strlen(path));
    if (!known || !list(known))
        return false;
    *entries = known->entries;
    *length = known->listing_length;
    return true;
}
