/* Storage of values: Arrow columns in memory, and single values that will be put into a column. */
#ifndef UDFVM_ARROW_STORAGE_H
#define UDFVM_ARROW_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "udfvm_abi.h"

/* How Arrow stores a type. The numbers are those of the ABI. */
enum storage {
    STORAGE_BOOL = UDFVM_STORAGE_BOOL,
    STORAGE_INT8 = UDFVM_STORAGE_INT8,
    STORAGE_INT16 = UDFVM_STORAGE_INT16,
    STORAGE_INT32 = UDFVM_STORAGE_INT32,
    STORAGE_INT64 = UDFVM_STORAGE_INT64,
    STORAGE_UINT8 = UDFVM_STORAGE_UINT8,
    STORAGE_UINT16 = UDFVM_STORAGE_UINT16,
    STORAGE_UINT32 = UDFVM_STORAGE_UINT32,
    STORAGE_UINT64 = UDFVM_STORAGE_UINT64,
    STORAGE_FLOAT32 = UDFVM_STORAGE_FLOAT32,
    STORAGE_FLOAT64 = UDFVM_STORAGE_FLOAT64,
    STORAGE_TEXT32 = UDFVM_STORAGE_TEXT32,
    STORAGE_TEXT64 = UDFVM_STORAGE_TEXT64,
    STORAGE_BYTES32 = UDFVM_STORAGE_BYTES32,
    STORAGE_BYTES64 = UDFVM_STORAGE_BYTES64,
    STORAGE_NULL = UDFVM_STORAGE_NULL,
    STORAGE_STRUCT = UDFVM_STORAGE_STRUCT,
    STORAGE_LIST = UDFVM_STORAGE_LIST,
    STORAGE_COUNT = UDFVM_STORAGE_COUNT,
};

/* A value that will be put into a column. */
struct scalar {
    bool null;
    union {
        int64_t integer;
        uint64_t natural;
        double real;
    };
    const char *bytes;
    size_t length;
};

/* An Arrow column in memory. Offsets have 32 bits, those of TEXT64 and BYTES64 64. */
struct column {
    const uint8_t *validity; /* NULL: no nulls */
    const uint8_t *data;
    const void *offsets;
    int64_t nulls;
    bool all_null;
    enum storage storage; /* the caller sets this and the next members before it reads a batch */
    struct column
        *children; /* fields of a struct; the single child of a list, which its offsets refer to */
    size_t child_count;
    int64_t rows; /* number of a list's items */
};

struct storage_properties {
    const char *name;
    size_t width;
    int64_t smallest; /* the range, for integers with fewer than 64 bits */
    uint64_t largest;
};
extern const struct storage_properties storages[STORAGE_COUNT];

/* Returns the storage's name in udfvm.h. */
const char *storage_name(enum storage storage);

/* What follows is asked some times for each row, so it is inline. */

/* Returns the width in bytes of a stored value or of an offset; 0 for bits. */
static inline size_t storage_width(enum storage storage)
{
    return storages[storage].width;
}

static inline bool storage_is_variable(enum storage storage)
{
    return storage >= STORAGE_TEXT32 && storage <= STORAGE_BYTES64;
}

static inline bool storage_is_text(enum storage storage)
{
    return storage == STORAGE_TEXT32 || storage == STORAGE_TEXT64;
}

/* Returns true for text, bytes and lists. */
static inline bool storage_has_offsets(enum storage storage)
{
    return storage == STORAGE_LIST || storage_is_variable(storage);
}

/* Returns true for a struct or list. */
static inline bool storage_is_nested(enum storage storage)
{
    return storage == STORAGE_STRUCT || storage == STORAGE_LIST;
}

/* Returns the UDFVM_TYPE_x of a stored value in a row. */
static inline uint32_t storage_row_type(enum storage storage)
{
    if (storage == STORAGE_BOOL)
        return UDFVM_TYPE_BOOL;
    if (storage <= STORAGE_UINT64)
        return UDFVM_TYPE_INT64;
    if (storage <= STORAGE_FLOAT64)
        return UDFVM_TYPE_FLOAT64;
    if (storage == STORAGE_NULL)
        return UDFVM_TYPE_NULL;
    return storage <= STORAGE_TEXT64 || storage_is_nested(storage) ? UDFVM_TYPE_TEXT
                                                                   : UDFVM_TYPE_BLOB;
}

/* Returns true if an integer is in the range of an integer type. */
static inline bool storage_holds(enum storage storage, int64_t integer)
{
    return integer >= storages[storage].smallest &&
           (integer < 0 || (uint64_t)integer <= storages[storage].largest);
}

/* Bitmaps have a bit for each row, the least significant bit first. */
static inline bool bitmap_get(const uint8_t *bitmap, int64_t row)
{
    return bitmap[row >> 3] >> (row & 7) & 1;
}

static inline uint64_t bitmap_bytes(int64_t rows)
{
    return ((uint64_t)rows + 7) / 8;
}

/* Clears the bits that are clear in the other bitmap. */
static inline void bitmap_and(uint8_t *bitmap, const uint8_t *other, int64_t rows)
{
    for (uint64_t byte = 0; byte < bitmap_bytes(rows); byte++)
        bitmap[byte] &= other[byte];
}

/* Counts the clear bits among the first `rows`. In a bitmap of validity these are nulls. */
int64_t bitmap_count_clear(const uint8_t *bitmap, int64_t rows);

/* Returns the integer or boolean of a row; for a uint64 its bits. */
static inline int64_t stored_integer(enum storage storage, const void *data, int64_t row)
{
    switch (storage) {
    case STORAGE_BOOL:
        return bitmap_get((const uint8_t *)data, row);
    case STORAGE_INT8:
        return ((const int8_t *)data)[row];
    case STORAGE_INT16:
        return ((const int16_t *)data)[row];
    case STORAGE_INT32:
        return ((const int32_t *)data)[row];
    case STORAGE_UINT8:
        return ((const uint8_t *)data)[row];
    case STORAGE_UINT16:
        return ((const uint16_t *)data)[row];
    case STORAGE_UINT32:
        return ((const uint32_t *)data)[row];
    default:
        return ((const int64_t *)data)[row];
    }
}

/* Returns the number in a row of a float type. */
static inline double stored_real(enum storage storage, const void *data, int64_t row)
{
    return storage == STORAGE_FLOAT32 ? (double)((const float *)data)[row]
                                      : ((const double *)data)[row];
}

static inline bool storage_is_real(enum storage storage)
{
    return storage == STORAGE_FLOAT32 || storage == STORAGE_FLOAT64;
}

/* Returns true if a number has a nearest number of a float type that is not infinite. */
static inline bool storage_holds_real(enum storage storage, double real)
{
    const bool finite = real - real == 0;
    const float narrow = (float)real;
    return storage != STORAGE_FLOAT32 || !finite || narrow - narrow == 0;
}

/* Returns the offset at which a row begins in the column's content; the row before ends there. A
 * module may store offsets at any address, aligned or not. */
static inline int64_t column_offset(const struct column *column, int64_t row)
{
    int32_t narrow;
    int64_t wide;
    if (column->storage == STORAGE_TEXT64 || column->storage == STORAGE_BYTES64) {
        memcpy(&wide, (const uint8_t *)column->offsets + (size_t)row * sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, (const uint8_t *)column->offsets + (size_t)row * sizeof narrow, sizeof narrow);
    return narrow;
}

static inline bool column_is_null(const struct column *column, int64_t row)
{
    return column->all_null || (column->validity && !bitmap_get(column->validity, row));
}

/* Returns the text or bytes of a row. */
static inline struct scalar column_bytes(const struct column *column, int64_t row)
{
    const int64_t begin = column_offset(column, row);
    return (struct scalar){ .bytes = (const char *)column->data + begin,
                            .length = (size_t)(column_offset(column, row + 1) - begin) };
}

#endif
