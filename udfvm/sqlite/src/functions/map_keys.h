/* Keys of the rows of a batch of vm_map: values of any type. */
#ifndef UDFVM_SQLITE_MAP_KEYS_H
#define UDFVM_SQLITE_MAP_KEYS_H

#include "connection/sqlite_copies.h"
#include "wire/batch.h"

struct map_keys {
    struct udfvm_value *values; /* those with bytes: offset in `bytes` */
    size_t count, capacity;
    struct batch_buffer bytes;
};

int map_keys_add(sqlite_library *library, struct map_keys *keys, sqlite3_value *key);
void map_keys_result(sqlite_library *library, const struct map_keys *keys, uint64_t index,
                     sqlite3_context *context);
void map_keys_clear(struct map_keys *keys);
void map_keys_free(struct map_keys *keys);

#endif
