/* Properties of each storage: see storage.h. */
#include "arrow/storage.h"

const struct storage_properties storages[STORAGE_COUNT] = {
    [STORAGE_BOOL] = { "bool", .width = 0 },
    [STORAGE_INT8] = { "i8", 1, INT8_MIN, INT8_MAX },
    [STORAGE_INT16] = { "i16", 2, INT16_MIN, INT16_MAX },
    [STORAGE_INT32] = { "i32", 4, INT32_MIN, INT32_MAX },
    [STORAGE_INT64] = { "i64", 8, INT64_MIN, INT64_MAX },
    [STORAGE_UINT8] = { "u8", 1, 0, UINT8_MAX },
    [STORAGE_UINT16] = { "u16", 2, 0, UINT16_MAX },
    [STORAGE_UINT32] = { "u32", 4, 0, UINT32_MAX },
    [STORAGE_UINT64] = { "u64", 8, 0, UINT64_MAX },
    [STORAGE_FLOAT32] = { "f32", .width = 4 },
    [STORAGE_FLOAT64] = { "f64", .width = 8 },
    [STORAGE_TEXT32] = { "text", .width = 4 },
    [STORAGE_TEXT64] = { "large text", .width = 8 },
    [STORAGE_BYTES32] = { "blob", .width = 4 },
    [STORAGE_BYTES64] = { "large blob", .width = 8 },
    [STORAGE_NULL] = { "null", .width = 0 },
    [STORAGE_STRUCT] = { "struct", .width = 0 },
    [STORAGE_LIST] = { "list", .width = 4 },
};

const char *storage_name(enum storage storage)
{
    return storages[storage].name;
}

int64_t bitmap_count_clear(const uint8_t *bitmap, int64_t rows)
{
    int64_t set = 0;
    for (int64_t byte = 0; byte < rows / 8; byte++)
        set += __builtin_popcount(bitmap[byte]);
    if (rows % 8)
        set += __builtin_popcount(bitmap[rows / 8] & ((1u << (rows % 8)) - 1));
    return rows - set;
}
