/* Unknown names: lists the known functions, and the one that was probably meant. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sql/resolve.h"
#include "sql/sealed.h"
#include "sql/stored.h"
#include "statement/report.h"

#define STORED_NAMES_SQL \
    "SELECT name FROM main.udfvm_functions WHERE typeof(name) = 'text' ORDER BY name LIMIT 1000"
#define SUFFIX ".udf"

enum { MAX_NAMES = 1000, MAX_NAMES_SHOWN = 20, MAX_DISTANCE = 3 };

/* A list of known functions, and the name that is nearest to the unknown one. */
struct known_listing {
    sqlite_library *library;
    const struct function_registry *registry;
    sqlite3_str *text;
    const char *wanted;
    size_t wanted_length;
    unsigned distance; /* of the nearest name; past MAX_DISTANCE there is none */
    char nearest[MAX_NAME + 1];
    unsigned groups, names; /* listed so far; names: in the current group */
};

/* ---- The name that was probably meant ---- */

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Returns the number of letters to insert, delete, replace or swap with the next one to turn one
 * name into the other (the optimal string alignment distance). Names have at most MAX_NAME bytes.
 */
static unsigned edits(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][MAX_NAME + 1]; /* for the letters of a up to the last two, last and this one */
    for (unsigned j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        const unsigned *before_last = rows[(i + 1) % 3], *last = rows[(i - 1) % 3];
        unsigned *row = rows[i % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            const unsigned replaced = last[j - 1] + !same_letter(a[i - 1], b[j - 1]);
            row[j] = smaller(replaced, smaller(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                same_letter(a[i - 2], b[j - 1]))
                row[j] = smaller(row[j], before_last[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

/* A name behind a namespace and an underscore counts as one different letter. */
static bool behind_namespace(const char *name, size_t length, const char *wanted,
                             size_t wanted_length)
{
    return length > wanted_length + 1 && name[length - wanted_length - 1] == '_' &&
           same_name(name + length - wanted_length, wanted, wanted_length);
}

static void compare(struct known_listing *listing, const char *name, size_t length)
{
    const size_t wanted = listing->wanted_length, longer = length > wanted ? length : wanted,
                 shorter = length > wanted ? wanted : length;
    unsigned distance = MAX_DISTANCE + 1;
    if (longer > MAX_NAME || shorter == 0)
        return;
    if (behind_namespace(name, length, listing->wanted, wanted) ||
        behind_namespace(listing->wanted, wanted, name, length))
        distance = 1;
    else if (longer - shorter <= MAX_DISTANCE)
        distance = edits(name, length, listing->wanted, wanted);
    if (distance >= listing->distance || distance > 1 + shorter / 4 || distance >= shorter)
        return;
    listing->distance = distance;
    memcpy(listing->nearest, name, length);
    listing->nearest[length] = 0;
}

/* ---- The known functions ---- */

static void list_name(struct known_listing *listing, const char *group, const char *name,
                      bool may_run)
{
    sqlite_library *sqlite3_api = listing->library;
    if (listing->names == 0)
        sqlite3_str_appendf(listing->text, "%s%s: ", listing->groups++ ? "; " : " (", group);
    if (listing->names < MAX_NAMES_SHOWN)
        sqlite3_str_appendf(listing->text, "%s%.255s", listing->names ? ", " : "", name);
    else if (listing->names == MAX_NAMES_SHOWN)
        sqlite3_str_appendall(listing->text, ", ...");
    listing->names++;
    if (may_run)
        compare(listing, name, strlen(name));
}

static void list_registered(struct known_listing *listing, unsigned forms)
{
    listing->names = 0;
    for (const struct sql_function *function = listing->registry->functions; function;
         function = function->next)
        if (function->embedder && forms & FORM(function->form))
            list_name(listing, "registered", function->name, true);
}

/* Sealed functions that the connection has used. Some are of files, not of the cache. */
static void list_used(struct known_listing *listing, unsigned forms)
{
    for (const struct sql_function *function = listing->registry->functions; function;
         function = function->next)
        if (!function->embedder && forms & FORM(function->form))
            list_name(listing, "sealed", function->name, true);
}

/* The names may be a stranger's: the code that shows the text makes them visible. */
static void list_stored(struct known_listing *listing, struct function_registry *registry)
{
    sqlite_library *sqlite3_api = listing->library;
    sqlite3_stmt *statement = NULL;
    const bool may_run = registry->policy.languages != 0;
    int code;
    listing->names = 0;
    if (!stored_table(registry, &code) || sqlite3_prepare_v2(registry->connection, STORED_NAMES_SQL,
                                                             -1, &statement, NULL) != SQLITE_OK)
        return;
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        if (name)
            list_name(listing,
                      may_run ? "stored" : "stored, which the connection's policy does not run",
                      name, may_run);
    }
    sqlite3_finalize(statement);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Returns the names of notes in the directory, malloc'd, as each name is. */
static char **sealed_names(sqlite_library *library, size_t *count)
{
    sqlite_library *sqlite3_api = library;
    char *path = cache_path(library, "/functions"), **names = calloc(MAX_NAMES, sizeof *names);
    struct udfvm_error error;
    const int fd = path && names ? udfvm_private_open(path, NULL, O_RDONLY, &error) : -1;
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (fd >= 0 && !directory)
        close(fd);
    *count = 0;
    while (directory && *count < MAX_NAMES && (entry = readdir(directory))) {
        const size_t length = strlen(entry->d_name), suffix = sizeof SUFFIX - 1;
        if (length > suffix && strcmp(entry->d_name + length - suffix, SUFFIX) == 0 &&
            name_valid(entry->d_name, length - suffix) &&
            (names[*count] = strndup(entry->d_name, length - suffix)))
            ++*count;
    }
    if (directory)
        closedir(directory);
    sqlite3_free(path);
    return names;
}

/* `forms` are those that the caller runs; 0: it takes any sealed function of the cache. */
static void list_sealed(struct known_listing *listing, unsigned forms)
{
    size_t count;
    char **names = sealed_names(listing->library, &count);
    listing->names = 0;
    list_used(listing, forms);
    if (count > 0)
        qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++) {
        if (!forms || !registry_find(listing->registry, names[i],
                                     strlen(names[i]))) /* a used one was listed already */
            list_name(listing, "sealed", names[i], true);
        free(names[i]);
    }
    free(names);
}

void append_known(sqlite3_str *text, struct function_registry *registry, const char *wanted,
                  unsigned origins, unsigned forms)
{
    sqlite_library *sqlite3_api = registry->library;
    struct known_listing listing = { .library = registry->library,
                                     .registry = registry,
                                     .text = text,
                                     .wanted = wanted,
                                     .wanted_length = strlen(wanted),
                                     .distance = MAX_DISTANCE + 1 };
    if (origins & KNOWN_REGISTERED)
        list_registered(&listing, forms);
    if (origins & KNOWN_STORED)
        list_stored(&listing, registry);
    if (origins & KNOWN_SEALED && !registry->embedded)
        list_sealed(&listing, forms);
    sqlite3_str_appendall(text, listing.groups ? ")" : " (there is none)");
    if (listing.distance <= MAX_DISTANCE && strcmp(listing.nearest, wanted) != 0)
        sqlite3_str_appendf(text, ": did you mean '%s'?", listing.nearest);
}

char *describe_unknown(struct function_registry *registry, const char *caller, const char *name,
                       unsigned forms)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_str *text = sqlite3_str_new(registry->connection);
    char *cache = registry->embedded ? NULL : cache_path(sqlite3_api, "/functions");
    sqlite3_str_appendf(text, "%s: no UDF named '%.128s' is registered on this connection", caller,
                        name);
    if (!registry->embedded)
        sqlite3_str_appendf(text, ", stored in its database or sealed in %s",
                            cache ? cache : "a cache, which needs HOME");
    sqlite3_free(cache);
    append_known(text, registry, name,
                 KNOWN_REGISTERED | KNOWN_SEALED |
                     (forms & FORM(UDFVM_SQLITE_SCALAR) ? KNOWN_STORED : 0),
                 forms);
    return failing_function(registry, name, UDFVM_SQLITE_UNKNOWN, sqlite3_str_finish(text));
}
