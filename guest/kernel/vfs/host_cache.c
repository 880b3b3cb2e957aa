/* What the kernel remembers of the host's files, which do not change while an image lives: the status of paths, and listings of
 * directories, by which a name that is not there needs no hypercall. A Python import asks for many names that are not there.
 */
#include "file.h"
#include "hypercall.h"

#define BUCKETS 1024u
#define LISTING_CHUNK 65536u

struct known_path {
    struct known_path *next;
    struct udfvm_stat stat;
    int64_t result;                              /* 0, or a negative errno */
    char path[];
};

struct known_directory {
    struct known_directory *next;
    struct listing listing;
    int64_t error;
    char path[];
};

static struct known_path *paths[BUCKETS];
static struct known_directory *directories[BUCKETS];

/* FNV-1a (public domain; G. Fowler, L. C. Noll, K.-P. Vo). */
static uint32_t bucket_of(const char *text)
{
    uint32_t hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return (hash ^ hash >> 16) % BUCKETS;
}

int64_t cached_status(const char *path, struct udfvm_stat *stat)
{
    for (const struct known_path *known = paths[bucket_of(path)]; known; known = known->next)
        if (strcmp(known->path, path) == 0) {
            *stat = known->stat;
            return known->result;
        }
    return 1;
}

void cache_status(const char *path, int64_t result, const struct udfvm_stat *stat)
{
    struct known_path *known = kernel_alloc(sizeof *known + strlen(path) + 1);
    if (!known)
        return;
    struct known_path **bucket = &paths[bucket_of(path)];
    memcpy(known->path, path, strlen(path) + 1);
    known->result = result;
    if (result == 0)
        known->stat = *stat;
    known->next = *bucket;
    *bucket = known;
}

static struct known_directory *find_directory(const char *path)
{
    struct known_directory *known = directories[bucket_of(path)];
    while (known && strcmp(known->path, path) != 0)
        known = known->next;
    return known;
}

static uint64_t count_entries(const char *entries, size_t length)
{
    uint64_t count = 0;
    for (size_t at = 0; at < length; count++)
        at += ((const struct udfvm_directory_entry *)(entries + at))->record_length;
    return count;
}

/* Fetches a whole listing. */
static int64_t fetch_listing(const char *path, struct listing *listing)
{
    char *chunk = kernel_alloc(LISTING_CHUNK);
    int64_t got = chunk ? 1 : -ENOMEM;
    uint64_t entries = 0;
    while (got > 0) {
        got = hypercall(UDFVM_HC_FILE_LIST, (uint64_t)path, strlen(path), entries, (uint64_t)chunk, LISTING_CHUNK);
        char *grown = got > 0 ? kernel_alloc(listing->length + (size_t)got) : NULL;
        if (got > 0 && !grown)
            got = -ENOMEM;
        if (got <= 0)
            break;
        memcpy(grown, listing->entries, listing->length);
        memcpy(grown + listing->length, chunk, (size_t)got);
        kernel_free(listing->entries);
        listing->entries = grown;
        listing->length += (size_t)got;
        entries += count_entries(chunk, (size_t)got);
    }
    kernel_free(chunk);
    return got;
}

const struct listing *cached_listing(const char *path, int64_t *error)
{
    struct known_directory *known = find_directory(path);
    if (!known) {
        known = kernel_alloc(sizeof *known + strlen(path) + 1);
        if (!known) {
            *error = -ENOMEM;
            return NULL;
        }
        memcpy(known->path, path, strlen(path) + 1);
        known->error = fetch_listing(path, &known->listing);
        if (known->error == -ENOMEM) {
            *error = known->error;
            kernel_free(known->listing.entries);
            kernel_free(known);
            return NULL;
        }
        struct known_directory **bucket = &directories[bucket_of(path)];
        known->next = *bucket;
        *bucket = known;
    }
    *error = known->error;
    return known->error ? NULL : &known->listing;
}

static bool listed(const struct listing *listing, const char *name)
{
    const size_t length = strlen(name);
    for (size_t at = 0; at < listing->length;) {
        const struct udfvm_directory_entry *entry = (const struct udfvm_directory_entry *)(listing->entries + at);
        if (entry->name_length == length && memcmp(entry->name, name, length) == 0)
            return true;
        at += entry->record_length;
    }
    return false;
}

/* The directory is listed once a name was missed in it (its first miss was the host's answer). Where it cannot be listed, nothing is known. */
bool known_absent(const char *path)
{
    char directory[PATH_LIMIT];
    struct udfvm_stat stat;
    const char *name = path + strlen(path);
    while (name > path && name[-1] != '/')
        name--;
    const size_t length = (size_t)(name - path);
    if (length <= 1 || !*name)
        return false;
    memcpy(directory, path, length - 1);
    directory[length - 1] = 0;
    if (cached_status(directory, &stat) < 0)
        return true;
    const struct known_directory *known = find_directory(directory);
    return known && known->error == 0 && !listed(&known->listing, name);
}
