/* Functions that a command of udfvm sealed, into the image cache or into a file, and its prepared
 * runtimes. */
#ifndef UDFVM_SQLITE_SEALED_H
#define UDFVM_SQLITE_SEALED_H

#include "connection/registry.h"
#include "sql/signature.h"

/* What a note says of a function, in the form of an offer; without its images. `offered` points
 * into the rest. */
struct sealed_note {
    struct udfvm_sqlite_function offered;
    struct sql_signature signature, column_names;
    struct udfvm_sqlite_column columns[MAX_PARAMETERS];
    uint8_t defaults[4096];
};
bool sealed_read(const char *note, const char *name,
                 struct sealed_note *sealed); /* false: it says none of this version */
/* The value of a key of a note, in `value`; false: it is not there, or too long. */
bool note_value(const char *note, const char *key, char *value, size_t size);
/* Base images that the connection has open, by keys. base_add takes the image over; NULL with
 * *message. */
struct base_image *base_find(const struct function_registry *registry, const char *key);
struct base_image *base_add(struct function_registry *registry, const char *key, udfvm_image *image,
                            char **message);
/* A directory of the image cache, as udfvm/images/cache_files.py has it; release with sqlite3_free.
 * NULL where there is no home, or no memory. */
char *cache_path(sqlite_library *library, const char *folder);
/* The sealed function of that name, put into the registry; NULL with *message NULL: there is none.
 * *message is sqlite3_malloc'd. */
struct sql_function *sealed_find(struct function_registry *registry, const char *name,
                                 size_t length, char **message);
/* The same, a reference, which the registry does not know. */
struct sql_function *sealed_load(struct function_registry *registry, const char *name,
                                 size_t length, char **message);
/* The same of a function that is a file of its own; NULL with *message, or out of
 * memory. */
struct sql_function *sealed_open(struct function_registry *registry, const char *path,
                                 char **message);
/* What loads functions of a language (its index): from an offer, or prepared in the image cache.
 * NULL with *message. */
struct language_runtime *runtime_of(struct function_registry *registry, unsigned language,
                                    char **message);

#endif
