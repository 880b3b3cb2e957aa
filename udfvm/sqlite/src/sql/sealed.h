/* Functions that a command of udfvm sealed, into the image cache or into a file, and its prepared
 * runtimes. */
#ifndef UDFVM_SQLITE_SEALED_H
#define UDFVM_SQLITE_SEALED_H

#include "connection/registry.h"
#include "sql/signature.h"

/* A function's note in the form of an offer, without its images. `offered` points into the rest. */
struct sealed_note {
    struct udfvm_sqlite_function offered;
    struct sql_signature signature, column_names;
    struct udfvm_sqlite_column columns[MAX_PARAMETERS];
    uint8_t defaults[4096];
};
bool sealed_read(const char *note, const char *name,
                 struct sealed_note *sealed); /* false: not a note of this version */
/* Copies the value of a key of a note. Returns false if the key is missing, or the value too
 * long. */
bool note_value(const char *note, const char *key, char *value, size_t size);
/* Base images that the connection has open, by key. base_add takes over the image. Both return NULL
 * with *message. */
struct base_image *base_find(const struct function_registry *registry, const char *key);
struct base_image *base_add(struct function_registry *registry, const char *key, udfvm_image *image,
                            char **message);
/* Returns a directory of the image cache, as udfvm/images/cache_files.py does; free it with
 * sqlite3_free. Returns NULL without HOME, or if memory is out. */
char *cache_path(sqlite_library *library, const char *folder);
/* Finds the sealed function of a name and puts it into the registry. Returns NULL; without *message
 * if there is none. *message is sqlite3_malloc'd. */
struct sql_function *sealed_find(struct function_registry *registry, const char *name,
                                 size_t length, char **message);
/* Does the same, but returns a reference, and leaves the registry alone. */
struct sql_function *sealed_load(struct function_registry *registry, const char *name,
                                 size_t length, char **message);
/* Does the same for a function in a file of its own. Returns NULL with *message, or if memory is
 * out. */
struct sql_function *sealed_open(struct function_registry *registry, const char *path,
                                 char **message);
/* Returns the pool and base image for functions of a language (its index): from an offer, or
 * prepared in the image cache. Returns NULL with *message. */
struct language_runtime *runtime_of(struct function_registry *registry, unsigned language,
                                    char **message);

#endif
