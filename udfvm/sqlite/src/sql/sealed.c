/* Functions that were sealed under a name, and runtimes that were prepared to load stored
 * functions. Commands of udfvm leave them in the image cache for programs without Python.
 *
 * functions/NAME.udf and runtimes/LANGUAGE.runtime in the cache are small texts, lines of a key and
 * a value, written by sealed.py. The cache belongs to the user. A file that nobody else can have
 * put there is as trusted as the program that reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "sql/sealed.h"

#define MAX_NOTE 65536u /* bytes of such a text */
#define FORMAT   "5"
#define MAX_VMS  64u
#define WAIT_NS  60000000000u

/* ---- The cache ---- */

char *cache_path(sqlite_library *library, const char *folder)
{
    sqlite_library *sqlite3_api = library;
    const char *chosen = getenv("UDFVM_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (chosen && *chosen)
        return sqlite3_mprintf("%s%s", chosen, folder);
    if (xdg && *xdg)
        return sqlite3_mprintf("%s/udfvm%s", xdg, folder);
    return home && *home ? sqlite3_mprintf("%s/.cache/udfvm%s", home, folder) : NULL;
}

/* Returns the text of a file, to be freed with free(). Returns NULL if it does not exist, and NULL
 * with *message if it must not be used. */
static char *read_note(sqlite_library *library, const char *folder, const char *name,
                       const char *suffix, char **message)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_error error = { .code = UDFVM_OK };
    char *directory = cache_path(library, folder), *file = sqlite3_mprintf("%s%s", name, suffix),
         *text = NULL;
    int fd = directory && file ? udfvm_private_open(directory, file, O_RDONLY, &error) : -1;
    if (fd < 0 && error.code == UDFVM_E_CACHE)
        *message = sqlite3_mprintf("%s", error.message);
    ssize_t length = fd >= 0 && (text = malloc(MAX_NOTE + 1)) ? read(fd, text, MAX_NOTE) : -1;
    if (fd >= 0)
        close(fd);
    sqlite3_free(directory);
    sqlite3_free(file);
    if (length < 0) {
        free(text);
        return NULL;
    }
    text[length] = 0;
    return text;
}

/* Copies the value of a key. Returns false if the key is missing, or the value too long. */
bool note_value(const char *note, const char *key, char *value, size_t size)
{
    const size_t key_length = strlen(key);
    for (const char *line = note; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, key_length) != 0 || line[key_length] != ' ')
            continue;
        const char *start = line + key_length + 1;
        const size_t length = strcspn(start, "\n");
        if (length >= size)
            return false;
        memcpy(value, start, length);
        value[length] = 0;
        return true;
    }
    return false;
}

static bool note_number(const char *note, const char *key, uint64_t *number)
{
    char text[32], *end;
    if (!note_value(note, key, text, sizeof text))
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == 0;
}

/* ---- Images ---- */

static udfvm_image *open_image(sqlite_library *library, const char *file, udfvm_image *base,
                               char **message)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_error error = { .code = UDFVM_OK };
    char *directory = cache_path(library, "");
    udfvm_image *image = directory ? udfvm_image_open_cached(directory, file, base, &error) : NULL;
    if (!image && error.code == UDFVM_E_IMAGE)
        *message = sqlite3_mprintf("%s/%s: %s: run the udfvm command that made it again", directory,
                                   file, error.message);
    else if (!image && error.code == UDFVM_E_SYSTEM && error.os_errno == ENOENT)
        *message = sqlite3_mprintf(
            "its image is no longer in the cache: run the udfvm command that made it again");
    else if (!image)
        *message = sqlite3_mprintf("%s", error.message);
    sqlite3_free(directory);
    return image;
}

struct base_image *base_find(const struct function_registry *registry, const char *key)
{
    struct base_image *base = registry->bases;
    while (base && strcmp(base->path, key) != 0)
        base = base->next;
    return base;
}

struct base_image *base_add(struct function_registry *registry, const char *key, udfvm_image *image,
                            char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    struct udfvm_error error = { .code = UDFVM_OK };
    struct base_image *base = calloc(1, sizeof *base);
    if (base && (base->path = strdup(key)) &&
        (base->pool = udfvm_pool_create(image, MAX_VMS, NULL, &error))) {
        base->image = image;
        base->next = registry->bases;
        registry->bases = base;
        return base;
    }
    if (error.code != UDFVM_OK)
        *message = sqlite3_mprintf("%s", error.message);
    udfvm_image_close(image);
    if (base)
        free(base->path);
    free(base);
    return NULL;
}

static struct base_image *open_base(struct function_registry *registry, const char *file,
                                    char **message)
{
    struct base_image *base = base_find(registry, file);
    if (base)
        return base;
    udfvm_image *image = open_image(registry->library, file, NULL, message);
    return image ? base_add(registry, file, image, message) : NULL;
}

/* ---- Sealed functions ---- */

/* Reads the form and the columns of a note. */
static bool read_form(const char *note, struct sealed_note *sealed)
{
    struct udfvm_sqlite_function *made = &sealed->offered;
    struct sql_signature *names = &sealed->column_names;
    char text[8192];
    uint64_t form, inverse, whole;
    if (!note_number(note, "form", &form) || !note_number(note, "inverse", &inverse) ||
        !note_number(note, "whole", &whole) || !note_value(note, "columns", text, sizeof text) ||
        form > UDFVM_SQLITE_AGGREGATE || signature_parse(text, strlen(text), names))
        return false;
    made->form = (uint32_t)form;
    made->flags |= (inverse ? UDFVM_SQLITE_INVERSE : 0) | (whole ? UDFVM_SQLITE_WHOLE : 0);
    made->columns = sealed->columns;
    made->column_count = names->count;
    for (uint32_t i = 0; i < names->count; i++)
        sealed->columns[i] = (struct udfvm_sqlite_column){ .name = names->parameters[i].name,
                                                           .type = names->parameters[i].type };
    return (made->form == UDFVM_SQLITE_TABLE) == (names->count > 0);
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Decodes hexadecimal digits up to a space or the end. Returns the number of bytes; SIZE_MAX if the
 * digits are not valid, or more than the capacity. */
static size_t read_hex(const char *text, uint8_t *to, size_t capacity)
{
    size_t count = 0;
    for (; *text && *text != ' '; text += 2) {
        const int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);
        if (low < 0 || count == capacity)
            return SIZE_MAX;
        to[count++] = (uint8_t)(high << 4 | low);
    }
    return count;
}

/* Reads the default of each parameter; "-" stands for none. */
static bool read_defaults(const char *note, struct sealed_note *sealed)
{
    char text[2 * sizeof sealed->defaults + 2 * MAX_PARAMETERS];
    size_t used = 0;
    if (!note_value(note, "defaults", text, sizeof text))
        return false;
    const char *at = text;
    for (uint32_t i = 0; i < sealed->signature.count; i++) {
        if (*at != '-') {
            const size_t length = read_hex(at, sealed->defaults + used,
                                           sizeof sealed->defaults - used);
            if (length == SIZE_MAX)
                return false;
            sealed->signature.parameters[i].fallback = sealed->defaults + used;
            sealed->signature.parameters[i].fallback_length = length;
            used += length;
        }
        at += strcspn(at, " ");
        at += *at == ' ';
    }
    return *at == 0;
}

/* Reads the kind of each parameter, a digit. */
static bool read_kinds(const char *note, struct sql_signature *signature)
{
    char text[MAX_PARAMETERS + 1];
    if (!note_value(note, "kinds", text, sizeof text) || strlen(text) != signature->count)
        return false;
    for (uint32_t i = 0; i < signature->count; i++) {
        if (text[i] < '0' + UDFVM_SQLITE_OF_TYPE || text[i] > '0' + UDFVM_SQLITE_DURATION)
            return false;
        signature->parameters[i].kind = (uint32_t)(text[i] - '0');
    }
    return true;
}

static bool read_signature(const char *note, struct sealed_note *sealed)
{
    char text[4096];
    struct udfvm_sqlite_function *made = &sealed->offered;
    struct sql_signature *signature = &sealed->signature;
    uint64_t singles; /* a bit for each parameter */
    if (!note_value(note, "signature", text, sizeof text) ||
        signature_parse(text, strlen(text), signature) || !note_number(note, "singles", &singles) ||
        !read_kinds(note, signature))
        return false;
    for (uint32_t i = 0; i < signature->count && i < 64; i++)
        signature->parameters[i].single = singles >> i & 1;
    made->parameters = signature->parameters;
    made->parameter_count = signature->count;
    made->result_type = signature->result_type;
    made->flags |= signature->result_json ? UDFVM_SQLITE_JSON_RESULT : 0;
    return true;
}

static bool read_limits(const char *note, struct udfvm_sqlite_function *made)
{
    uint64_t deterministic;
    if (!note_number(note, "timeout_ns", &made->limits.timeout_ns) ||
        !note_number(note, "max_output", &made->limits.max_output) ||
        !note_number(note, "max_log", &made->limits.max_log) ||
        !note_number(note, "deterministic", &deterministic))
        return false;
    made->limits.deterministic = deterministic != 0;
    made->flags |= deterministic ? UDFVM_SQLITE_DETERMINISTIC : 0;
    return true;
}

static bool read_language(const char *note, struct udfvm_sqlite_function *made)
{
    char isolation[16], language[16];
    if (!note_value(note, "language", language, sizeof language) ||
        language_of(language) == LANGUAGES ||
        !note_value(note, "isolation", isolation, sizeof isolation))
        return false;
    made->language = 1u << language_of(language);
    made->isolation = strcmp(isolation, "row") == 0 ? UDFVM_SQLITE_ROW : UDFVM_SQLITE_STATEMENT;
    return true;
}

bool sealed_read(const char *note, const char *name, struct sealed_note *sealed)
{
    char format[8];
    sealed->offered = (struct udfvm_sqlite_function){ .name = name,
                                                      .wait_ns = WAIT_NS,
                                                      .pool_limit = MAX_VMS };
    return note_value(note, "udfvm-function", format, sizeof format) &&
           strcmp(format, FORMAT) == 0 && read_signature(note, sealed) &&
           read_limits(note, &sealed->offered) && read_language(note, &sealed->offered) &&
           read_defaults(note, sealed) && read_form(note, sealed);
}

static struct sql_function *make_sealed(struct function_registry *registry, const char *name,
                                        const char *note, struct sealed_note *sealed,
                                        char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    char file[256], own[MAX_NAME + 1];
    if (!sealed_read(note, name, sealed) || !note_value(note, "base", file, sizeof file)) {
        *message = sqlite3_mprintf(
            "its entry in the image cache is of another version of udfvm: run `udfvm seal` again");
        return NULL;
    }
    if (!note_value(note, "name", own, sizeof own) || strcasecmp(own, name) != 0) {
        *message = sqlite3_mprintf(
            "its entry in the image cache is that of another function: run `udfvm seal` again");
        return NULL;
    }
    struct udfvm_sqlite_function *made = &sealed->offered;
    struct base_image *base = open_base(registry, file, message);
    if (!base || !note_value(note, "layer", file, sizeof file))
        return NULL;
    made->limits.log_sink = registry->policy.limits.log_sink;
    made->pool = base->pool;
    made->image = open_image(registry->library, file, base->image, message);
    struct sql_function *function = made->image ? function_create(registry, NULL, made) : NULL;
    udfvm_image_close(made->image);
    return function;
}

struct sql_function *sealed_load(struct function_registry *registry, const char *name,
                                 size_t length, char **message)
{
    char copy[MAX_NAME + 1];
    *message = NULL;
    if (registry->embedded || !name_valid(name, length))
        return NULL;
    memcpy(copy, name, length);
    copy[length] = 0;
    char *note = read_note(registry->library, "/functions", copy, ".udf", message);
    struct sealed_note *sealed = note ? malloc(sizeof *sealed) : NULL;
    struct sql_function *function = sealed ? make_sealed(registry, copy, note, sealed, message)
                                           : NULL;
    free(sealed);
    free(note);
    return function;
}

struct sql_function *sealed_find(struct function_registry *registry, const char *name,
                                 size_t length, char **message)
{
    struct sql_function *function = sealed_load(registry, name, length, message);
    if (function)
        registry_put(registry, function);
    return function;
}

/* ---- Runtimes ---- */

struct language_runtime *runtime_of(struct function_registry *registry, unsigned language,
                                    char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    struct language_runtime *runtime = &registry->runtimes[language];
    char format[8], file[256];
    if (runtime->pool)
        return runtime;
    char *note = registry->embedded ? NULL
                                    : read_note(sqlite3_api, "/runtimes", language_name(language),
                                                ".runtime", message);
    struct base_image *base = NULL;
    if (note && note_value(note, "udfvm-runtime", format, sizeof format) &&
        strcmp(format, FORMAT) == 0 && note_value(note, "base", file, sizeof file))
        base = open_base(registry, file, message);
    if (base) {
        runtime->pool = udfvm_pool_retain(base->pool);
        runtime->base = udfvm_image_retain(base->image);
        runtime->pool_limit = MAX_VMS;
    } else if (!*message) {
        *message = sqlite3_mprintf(
            registry->embedded ? "the program that opened this connection offers no runtime for "
                                 "functions of language '%s'%s"
                               : "there is no runtime for functions of language '%s' in the image "
                                 "cache%s: run `udfvm prepare`",
            language_name(language),
            strcmp(language_name(language), "wasm") == 0 ? " (it needs the package wasmtime)" : "");
    }
    free(note);
    return base ? runtime : NULL;
}
