/* udfvm.h: functions in C or C++ (C11, C++20, or GNU dialects) that become UDFs. Build a shared
 * object, or a program whose main() ends with `return udfvm_serve();`:
 *
 *     #include <udfvm.h>
 *
 *     UDFVM_SCALAR(score, optional_f64, (f64, dep_delay), (f64, distance))
 *     {
 *         return distance == 0 ? udfvm_null_f64() : udfvm_some_f64(dep_delay / distance * 100);
 *     }
 *
 *     gcc -O3 -g -shared -fPIC -o score.so score.c \
 *         -I "$(python -c 'import udfvm; print(udfvm.get_include())')"
 *
 * Then udfvm.from_elf("score.so", "score") is the UDF.
 *
 * Types: i8 i16 i32 i64, u8 u16 u32 u64, f32 f64, boolean, text, blob, as the C types udfvm_TYPE.
 * Each also as optional_TYPE, a struct of `valid` and `value`, which udfvm_some_TYPE(value) and
 * udfvm_null_TYPE() make. A null for a parameter that is not optional makes the result null without
 * a call. list_TYPE is a list of them, a struct of `data` and `length`, and UDFVM_STRUCT declares
 * structs. In C++, an exception that a function throws is the error of the call.
 *
 * This header includes udfvm_groups.h, which has aggregates, and udfvm_table.h, which has table
 * functions.
 *
 * Long because objects and programs need nothing else: no library of udfvm, and no other header.
 */
#ifndef UDFVM_H
#define UDFVM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
#include <exception>
#include <typeinfo>
#include <cxxabi.h>
#endif

#define UDFVM_NATIVE_VERSION 6u

/* The Arrow C Data Interface (arrow.apache.org/docs/format/CDataInterface.html). */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif

/* ---- Between an object and the runtime that loads it ---- */

/* How Arrow stores a type; text and blob have 32-bit offsets. */
enum udfvm_storage {
    UDFVM_STORAGE_boolean = 0,
    UDFVM_STORAGE_i8 = 1,
    UDFVM_STORAGE_i16 = 2,
    UDFVM_STORAGE_i32 = 3,
    UDFVM_STORAGE_i64 = 4,
    UDFVM_STORAGE_u8 = 5,
    UDFVM_STORAGE_u16 = 6,
    UDFVM_STORAGE_u32 = 7,
    UDFVM_STORAGE_u64 = 8,
    UDFVM_STORAGE_f32 = 9,
    UDFVM_STORAGE_f64 = 10,
    UDFVM_STORAGE_text = 11,
    UDFVM_STORAGE_blob = 13,
    UDFVM_STORAGE_struct = 16,
    UDFVM_STORAGE_list = 17,
    UDFVM_OPTIONAL = 256 /* added to one of them */
};

/* A type, and how C stores it: optional types as a struct of bool `valid` and `value`, structs as
 * structs, lists as a struct of a pointer to the items, `data`, and their number, `length`. */
struct udfvm_type {
    uint32_t storage; /* enum udfvm_storage */
    uint32_t count;   /* of fields; a list has one, its items */
    size_t size;
    size_t value; /* where the value of an optional type lies */
    const struct udfvm_field *fields;
};

/* A field of a struct, or the items of a list. */
struct udfvm_field {
    const char *name;
    size_t offset;
    const struct udfvm_type *type;
};

/* A text (UTF-8) or blob. */
struct udfvm_bytes {
    const char *data; /* not NUL-terminated; may be NULL if length is 0 */
    size_t length;
};

/* A value to or from a host function. */
struct udfvm_any {
    /* 0 null, 1 integer, 2 real, 3 text, 4 blob, 5 boolean, in `integer`, 6 any type, in `value` */
    uint32_t type;
    int64_t integer;
    double real;
    struct udfvm_bytes bytes;
    const struct udfvm_type *nested; /* the type of `value` */
    void *value;
};

struct udfvm_input;

enum { UDFVM_FAILED = 1, UDFVM_ALLOCATED = 2 };

/* The state of an object. It is weak, so that the object's translation units share one. The runtime
 * sets the functions. */
struct udfvm_state {
    uint32_t marks; /* what the present row did: UDFVM_FAILED, UDFVM_ALLOCATED */
    char type[100]; /* of the error: "" for RuntimeError */
    char message[1020];
    void *(*allocate)(size_t size);
    void (*free_all)(void);
    /* Reads a list or struct of a column. Parts may lie in memory of allocate(), then marked. */
    void (*read)(const struct udfvm_input *column, int64_t row, void *to);
    /* Calls a host function. A result of type 6 is stored where its `value` points to, as of the
     * type `nested`; any other is filled in. */
    const char *(*call_host)(const char *name, const struct udfvm_any *arguments, size_t count,
                             struct udfvm_any *result);
    /* Takes a row of a table function. Returns false if no more rows are wanted: see
     * struct udfvm_table. */
    bool (*emit)(const void *row);
};
#ifdef __cplusplus
extern "C" {
#endif
extern struct udfvm_state udfvm_state;
__attribute__((weak, visibility("hidden"))) struct udfvm_state udfvm_state;
#ifdef __cplusplus
}
#endif

/* A column of arguments: Arrow's buffers. */
struct udfvm_input {
    const uint8_t *validity; /* NULL: no nulls */
    const void *data;
    const int32_t *offsets;
    const void *nested; /* lists and structs: for read() */
};

/* The column of results. */
struct udfvm_output {
    uint8_t *validity; /* a clear bit: the row is null, and not computed */
    void *data;        /* of booleans: bits, all clear at first */
    uint32_t skips;    /* 1: some bits of validity are clear, or rows have to begin */
    /* Appends the next row of texts or blobs. Returns false if the column is full. */
    bool (*append)(void *context, const char *bytes, size_t length);
    /* Appends the next row of lists or structs; NULL: a null. May fail as by udfvm_fail(). */
    void (*append_value)(void *context, const void *value);
    void *context;
    void (*begin_row)(void); /* may be NULL */
};

/* A parameter. */
struct udfvm_parameter {
    const char *name;
    const struct udfvm_type *type;
};

#define UDFVM_MAX_PARAMETERS 8
#define UDFVM_MAX_FIELDS     32 /* of a struct */

struct udfvm_groups; /* of an aggregate: see udfvm_groups.h */
struct udfvm_table;  /* of a table function: see udfvm_table.h */

/* A function that an object defines with UDFVM_SCALAR, UDFVM_VECTOR, UDFVM_AGGREGATE or
 * UDFVM_TABLE. */
struct udfvm_function {
    uint32_t version;
    uint32_t count;
    struct udfvm_state *state;
    /* One of the four is not NULL. `scalar` returns the number of rows done: less than `rows` if
     * the next one failed. */
    int64_t (*scalar)(const struct udfvm_input *columns, const struct udfvm_output *output,
                      int64_t rows);
    void (*vector)(const struct ArrowArray *arguments, struct ArrowArray *result);
    const struct udfvm_groups *groups;
    const struct udfvm_table *table;
    const struct udfvm_type *result; /* of a table function: a row */
    struct udfvm_parameter parameters[UDFVM_MAX_PARAMETERS + 1];
};

/* A function that a program offers by udfvm_serve(). */
struct udfvm_export {
    const char *name;
    const struct udfvm_function *function; /* NULL: a plain function of C types, at `address` */
    const void *address;
};

/* The runtime's function that udfvm_serve() calls. The environment variable UDFVM_RUNTIME has its
 * address, in hexadecimal. It returns only if it was called before. */
typedef int udfvm_serve_function(uint32_t version, const struct udfvm_export *const *begin,
                                 const struct udfvm_export *const *end);

/* ---- For functions ---- */

#define UDFVM_UNUSED __attribute__((unused))
#ifdef __cplusplus
#define UDFVM_EXPORT extern "C" __attribute__((visibility("default")))
#define UDFVM_ASSERT static_assert
#else
#define UDFVM_EXPORT extern __attribute__((visibility("default")))
#define UDFVM_ASSERT _Static_assert
#endif

/* Makes the call fail with an error of this text (formatted as by printf) when the function
 * returns. The value that it returns is ignored. */
__attribute__((format(printf, 1, 2), cold, noinline, unused)) static void udfvm_fail(
    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(udfvm_state.message, sizeof udfvm_state.message, format, arguments);
    va_end(arguments);
    udfvm_state.type[0] = 0;
    udfvm_state.marks |= UDFVM_FAILED;
}

/* Returns memory for a result. It is valid until the runtime has taken the result of the row. Never
 * returns NULL: running out of memory ends the call. */
static inline char *udfvm_allocate(size_t size)
{
    udfvm_state.marks |= UDFVM_ALLOCATED;
    return (char *)udfvm_state.allocate(size);
}

/* Returns such memory for the items of a list: `count` of the type, a udfvm_TYPE *. */
#define udfvm_allocate_items(TYPE, COUNT) \
    ((udfvm_##TYPE *)udfvm_allocate_array(COUNT, sizeof(udfvm_##TYPE)))
static inline void *udfvm_allocate_array(size_t count, size_t size)
{
    size_t bytes;
    return udfvm_allocate(__builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes);
}

/* Frees the memory of a row that is done. Returns false if the row failed. */
__attribute__((noinline, unused)) static bool udfvm_end_row(void)
{
    if (udfvm_state.marks & UDFVM_FAILED)
        return false;
    udfvm_state.free_all();
    udfvm_state.marks = 0;
    return true;
}

typedef struct udfvm_bytes udfvm_text; /* UTF-8 */
typedef struct udfvm_bytes udfvm_blob;

typedef bool udfvm_boolean;
typedef int8_t udfvm_i8;
typedef int16_t udfvm_i16;
typedef int32_t udfvm_i32;
typedef int64_t udfvm_i64;
typedef uint8_t udfvm_u8;
typedef uint16_t udfvm_u16;
typedef uint32_t udfvm_u32;
typedef uint64_t udfvm_u64;
typedef float udfvm_f32;
typedef double udfvm_f64;

/* A bit of a bitmap, least significant first. */
static inline bool udfvm_bit(const void *bits, int64_t row)
{
    return ((const uint8_t *)bits)[row >> 3] >> (row & 7) & 1;
}

/* Reads a boolean of a column. */
static inline udfvm_boolean udfvm_get_boolean(const struct udfvm_input *column, int64_t row)
{
    return udfvm_bit(column->data, row);
}

/* Writes a boolean to the column of results. */
static inline void udfvm_put_boolean(const struct udfvm_output *output, int64_t row,
                                     udfvm_boolean value)
{
    ((uint8_t *)output->data)[row >> 3] |= (uint8_t)(value << (row & 7));
}

/* Reads a text of a column. */
static inline udfvm_text udfvm_get_text(const struct udfvm_input *column, int64_t row)
{
    const int32_t begin = column->offsets[row], end = column->offsets[row + 1];
    udfvm_text value;
    value.data = (const char *)column->data + begin;
    value.length = (size_t)(end - begin);
    return value;
}

/* Reads a blob of a column. */
static inline udfvm_blob udfvm_get_blob(const struct udfvm_input *column, int64_t row)
{
    return udfvm_get_text(column, row);
}

/* Writes a text to the column of results. */
static inline void udfvm_put_text(const struct udfvm_output *output, int64_t row, udfvm_text value)
{
    (void)row;
    if (!output->append(output->context, value.data, value.length))
        udfvm_fail("the results of this batch are too large for one column");
}

/* Writes a blob to the column of results. */
static inline void udfvm_put_blob(const struct udfvm_output *output, int64_t row, udfvm_blob value)
{
    udfvm_put_text(output, row, value);
}

/* Defines how numbers of a type are read and written. */
#define UDFVM_DEFINE_NUMBER(TYPE)                                                              \
    static inline udfvm_##TYPE udfvm_get_##TYPE(const struct udfvm_input *column, int64_t row) \
    {                                                                                          \
        return ((const udfvm_##TYPE *)column->data)[row];                                      \
    }                                                                                          \
    static inline void udfvm_put_##TYPE(const struct udfvm_output *output, int64_t row,        \
                                        udfvm_##TYPE value)                                    \
    {                                                                                          \
        ((udfvm_##TYPE *)output->data)[row] = value;                                           \
    }

/* Describes a type and its optional form, and defines that: the struct, and its makers. */
#define UDFVM_DESCRIBE_TYPE(TYPE, STORAGE, COUNT, FIELDS)                                         \
    typedef struct udfvm_optional_##TYPE {                                                        \
        bool valid;                                                                               \
        udfvm_##TYPE value;                                                                       \
    } udfvm_optional_##TYPE;                                                                      \
    UDFVM_UNUSED static const struct udfvm_type udfvm_type_##TYPE = { (uint32_t)(STORAGE), COUNT, \
                                                                      sizeof(udfvm_##TYPE), 0,    \
                                                                      FIELDS };                   \
    UDFVM_UNUSED static const struct udfvm_type udfvm_type_optional_##TYPE = {                    \
        (uint32_t)(STORAGE) | (uint32_t)UDFVM_OPTIONAL, COUNT, sizeof(udfvm_optional_##TYPE),     \
        offsetof(udfvm_optional_##TYPE, value), FIELDS                                            \
    };                                                                                            \
    UDFVM_UNUSED static inline udfvm_optional_##TYPE udfvm_null_##TYPE(void)                      \
    {                                                                                             \
        udfvm_optional_##TYPE made;                                                               \
        memset(&made, 0, sizeof made);                                                            \
        return made;                                                                              \
    }                                                                                             \
    UDFVM_UNUSED static inline udfvm_optional_##TYPE udfvm_some_##TYPE(udfvm_##TYPE value)        \
    {                                                                                             \
        udfvm_optional_##TYPE made;                                                               \
        made.valid = true;                                                                        \
        made.value = value;                                                                       \
        return made;                                                                              \
    }

/* Defines how a type's optional form is read and written. */
#define UDFVM_DEFINE_OPTIONAL(TYPE)                                                               \
    UDFVM_DESCRIBE_TYPE(TYPE, UDFVM_STORAGE_##TYPE, 0, NULL)                                      \
    static inline udfvm_optional_##TYPE udfvm_get_optional_##TYPE(                                \
        const struct udfvm_input *column, int64_t row)                                            \
    {                                                                                             \
        if (column->validity && !udfvm_bit(column->validity, row))                                \
            return udfvm_null_##TYPE();                                                           \
        return udfvm_some_##TYPE(udfvm_get_##TYPE(column, row));                                  \
    }                                                                                             \
    static inline void udfvm_put_optional_##TYPE(const struct udfvm_output *output, int64_t row,  \
                                                 udfvm_optional_##TYPE optional)                  \
    {                                                                                             \
        if (!optional.valid) {                                                                    \
            output->validity[row >> 3] &= (uint8_t)~(1u << (row & 7));                            \
            memset(&optional, 0, sizeof optional);                                                \
        }                                                                                         \
        udfvm_put_##TYPE(output, row, optional.value);                                            \
    }                                                                                             \
    static inline void udfvm_skip_##TYPE(const struct udfvm_output *output, int64_t row)          \
    {                                                                                             \
        udfvm_put_##TYPE(output, row, udfvm_null_##TYPE().value);                                 \
    }                                                                                             \
    static inline void udfvm_skip_optional_##TYPE(const struct udfvm_output *output, int64_t row) \
    {                                                                                             \
        udfvm_skip_##TYPE(output, row);                                                           \
    }

/* Defines how a list or struct, or its optional form, is read and written. */
#define UDFVM_DEFINE_NESTED(TYPE)                                                              \
    UDFVM_UNUSED static inline udfvm_##TYPE udfvm_get_##TYPE(const struct udfvm_input *column, \
                                                             int64_t row)                      \
    {                                                                                          \
        udfvm_##TYPE value;                                                                    \
        udfvm_state.read(column, row, &value);                                                 \
        return value;                                                                          \
    }                                                                                          \
    UDFVM_UNUSED static inline void udfvm_put_##TYPE(const struct udfvm_output *output,        \
                                                     int64_t row, udfvm_##TYPE value)          \
    {                                                                                          \
        (void)row;                                                                             \
        output->append_value(output->context, &value);                                         \
    }                                                                                          \
    UDFVM_UNUSED static inline void udfvm_skip_##TYPE(const struct udfvm_output *output,       \
                                                      int64_t row)                             \
    {                                                                                          \
        (void)row;                                                                             \
        output->append_value(output->context, NULL);                                           \
    }

/* In C++ a list can be iterated over. */
#ifdef __cplusplus
#define UDFVM_ITERATORS(ITEM)         \
    const udfvm_##ITEM *begin() const \
    {                                 \
        return data;                  \
    }                                 \
    const udfvm_##ITEM *end() const   \
    {                                 \
        return data + length;         \
    }
#else
#define UDFVM_ITERATORS(ITEM)
#endif

/* UDFVM_LIST(type): declares list_TYPE and optional_list_TYPE, of a declared struct or list. Those
 * of the types above, and of UDFVM_STRUCT, exist already. */
#define UDFVM_LIST(ITEM)                                                        \
    typedef struct udfvm_list_##ITEM {                                          \
        const udfvm_##ITEM *data;                                               \
        size_t length;                                                          \
        UDFVM_ITERATORS(ITEM)                                                   \
    } udfvm_list_##ITEM;                                                        \
    UDFVM_UNUSED static const struct udfvm_field udfvm_items_##ITEM[] = {       \
        { "item", 0, &udfvm_type_##ITEM }                                       \
    };                                                                          \
    UDFVM_DESCRIBE_TYPE(list_##ITEM, UDFVM_STORAGE_list, 1, udfvm_items_##ITEM) \
    UDFVM_DEFINE_NESTED(list_##ITEM)                                            \
    UDFVM_DEFINE_NESTED(optional_list_##ITEM)

#define UDFVM_DEFINE_LISTS(TYPE) UDFVM_LIST(TYPE) UDFVM_LIST(optional_##TYPE)
#define UDFVM_DEFINE_ALL(TYPE)   UDFVM_DEFINE_OPTIONAL(TYPE) UDFVM_DEFINE_LISTS(TYPE)
#define UDFVM_DEFINE_BOTH(TYPE)  UDFVM_DEFINE_NUMBER(TYPE) UDFVM_DEFINE_ALL(TYPE)
UDFVM_DEFINE_BOTH(i8)
UDFVM_DEFINE_BOTH(i16)
UDFVM_DEFINE_BOTH(i32)
UDFVM_DEFINE_BOTH(i64)
UDFVM_DEFINE_BOTH(u8)
UDFVM_DEFINE_BOTH(u16)
UDFVM_DEFINE_BOTH(u32)
UDFVM_DEFINE_BOTH(u64)
UDFVM_DEFINE_BOTH(f32)
UDFVM_DEFINE_BOTH(f64)
UDFVM_DEFINE_ALL(boolean)
UDFVM_DEFINE_ALL(text)
UDFVM_DEFINE_ALL(blob)

/* UDFVM_STRUCT(name, (type, field), ...): declares a struct, and lists of it. `name`,
 * optional_NAME, list_NAME, list_optional_NAME and their optional forms are types then, as
 * udfvm_NAME and so on in C. */
#define UDFVM_STRUCT(NAME, ...)                                                            \
    UDFVM_ASSERT(UDFVM_COUNT_FIELDS(__VA_ARGS__) <= UDFVM_MAX_FIELDS,                      \
                 #NAME " has too many fields: the maximum is 32");                         \
    typedef struct udfvm_##NAME {                                                          \
        UDFVM_FOR_EACH(UDFVM_MEMBER, NAME, __VA_ARGS__)                                    \
    } udfvm_##NAME;                                                                        \
    UDFVM_UNUSED static const struct udfvm_field udfvm_fields_##NAME[] = { UDFVM_FOR_EACH( \
        UDFVM_FIELD, NAME, __VA_ARGS__) };                                                 \
    UDFVM_DESCRIBE_TYPE(NAME, UDFVM_STORAGE_struct,                                        \
                        sizeof udfvm_fields_##NAME / sizeof *udfvm_fields_##NAME,          \
                        udfvm_fields_##NAME)                                               \
    UDFVM_DEFINE_NESTED(NAME)                                                              \
    UDFVM_DEFINE_NESTED(optional_##NAME)                                                   \
    UDFVM_DEFINE_LISTS(NAME)
#define UDFVM_MEMBER(NAME, TYPE, FIELD) udfvm_##TYPE FIELD;
#define UDFVM_FIELD(NAME, TYPE, FIELD) \
    { #FIELD, offsetof(udfvm_##NAME, FIELD), &udfvm_type_##TYPE },

/* M(NAME, TYPE, FIELD) for each (TYPE, FIELD). */
#define UDFVM_FOR_EACH(M, NAME, ...) \
    UDFVM_JOIN(UDFVM_FOR_, UDFVM_COUNT_FIELDS(__VA_ARGS__))(M, NAME, __VA_ARGS__)
#define UDFVM_COUNT_FIELDS(...)                                                                  \
    UDFVM_COUNT_(__VA_ARGS__, UDFVM_MANY_16, UDFVM_MANY_16, 32, 31, 30, 29, 28, 27, 26, 25, 24,  \
                 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, \
                 1, 0)
#define UDFVM_BARE(...)                           __VA_ARGS__
#define UDFVM_APPLY(M, ...)                       M(__VA_ARGS__)
#define UDFVM_FOR_UDFVM_TOO_MANY(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A)
#define UDFVM_FOR_1(M, NAME, A)                   UDFVM_APPLY(M, NAME, UDFVM_BARE A)
#define UDFVM_FOR_2(M, NAME, A, ...)  UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_1(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_3(M, NAME, A, ...)  UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_2(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_4(M, NAME, A, ...)  UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_3(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_5(M, NAME, A, ...)  UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_4(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_6(M, NAME, A, ...)  UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_5(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_7(M, NAME, A, ...)  UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_6(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_8(M, NAME, A, ...)  UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_7(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_9(M, NAME, A, ...)  UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_8(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_10(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_9(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_11(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_10(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_12(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_11(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_13(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_12(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_14(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_13(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_15(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_14(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_16(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_15(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_17(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_16(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_18(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_17(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_19(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_18(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_20(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_19(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_21(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_20(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_22(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_21(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_23(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_22(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_24(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_23(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_25(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_24(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_26(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_25(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_27(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_26(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_28(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_27(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_29(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_28(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_30(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_29(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_31(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_30(M, NAME, __VA_ARGS__)
#define UDFVM_FOR_32(M, NAME, A, ...) UDFVM_FOR_1(M, NAME, A) UDFVM_FOR_31(M, NAME, __VA_ARGS__)

/* ---- Host functions: see host_functions= of udfvm.from_elf ---- */

/* A value of a type (see struct udfvm_any), zero so far. */
static inline struct udfvm_any udfvm_any_of(uint32_t type)
{
    struct udfvm_any made;
    memset(&made, 0, sizeof made);
    made.type = type;
    return made;
}

/* A null, as an argument of a host function. */
static inline struct udfvm_any udfvm_any_null(void)
{
    return udfvm_any_of(0);
}

/* An integer, as an argument of a host function. */
static inline struct udfvm_any udfvm_any_i64(udfvm_i64 value)
{
    struct udfvm_any made = udfvm_any_of(1);
    made.integer = value;
    return made;
}

/* A number, as an argument of a host function. */
static inline struct udfvm_any udfvm_any_f64(udfvm_f64 value)
{
    struct udfvm_any made = udfvm_any_of(2);
    made.real = value;
    return made;
}

/* A text, as an argument of a host function. */
static inline struct udfvm_any udfvm_any_text(udfvm_text value)
{
    struct udfvm_any made = udfvm_any_of(3);
    made.bytes = value;
    return made;
}

/* A blob, as an argument of a host function. */
static inline struct udfvm_any udfvm_any_blob(udfvm_blob value)
{
    struct udfvm_any made = udfvm_any_of(4);
    made.bytes = value;
    return made;
}

/* A bool, as an argument of a host function. */
static inline struct udfvm_any udfvm_any_boolean(udfvm_boolean value)
{
    struct udfvm_any made = udfvm_any_of(5);
    made.integer = value;
    return made;
}

/* A value of any declared type, such as list_f64 or a struct, as an argument of a host function:
 * `VALUE` is a const udfvm_TYPE *, which has to be valid until the call. */
#define udfvm_any_value(TYPE, VALUE) \
    udfvm_any_described(&udfvm_type_##TYPE, (void *)(1 ? (VALUE) : (const udfvm_##TYPE *)NULL))
static inline struct udfvm_any udfvm_any_described(const struct udfvm_type *type, void *value)
{
    struct udfvm_any made = udfvm_any_of(6);
    made.nested = type;
    made.value = value;
    return made;
}

/* Calls a host function whose result is as *result says: see struct udfvm_any. */
UDFVM_UNUSED static bool udfvm_ask_host(const char *name, const struct udfvm_any *arguments,
                                        size_t count, struct udfvm_any *result)
{
    udfvm_state.marks |= UDFVM_ALLOCATED;
    const char *error = udfvm_state.call_host(name, arguments, count, result);
    if (error)
        udfvm_fail("%s: %s", name, error);
    return !error;
}

/* Calls a host function. The call ends unless the arguments have its declared types. The result is
 * null, or of the type that it declares. What the result points to is valid until the runtime has
 * taken the result of this function. Returns false, after udfvm_fail(), if there is no such host
 * function. */
UDFVM_UNUSED static bool udfvm_call_host(const char *name, const struct udfvm_any *arguments,
                                         size_t count, struct udfvm_any *result)
{
    *result = udfvm_any_of(0);
    return udfvm_ask_host(name, arguments, count, result);
}

/* Does the same with a result of a declared type: `RESULT` is a udfvm_TYPE *, and optional for a
 * host function that may return None. Returns false, after udfvm_fail(), if the result is of
 * another type, too. */
#define udfvm_call_host_value(TYPE, NAME, ARGUMENTS, COUNT, RESULT) \
    udfvm_call_host_described(                                      \
        NAME, ARGUMENTS, COUNT,                                     \
        udfvm_any_described(&udfvm_type_##TYPE, 1 ? (RESULT) : (udfvm_##TYPE *)NULL))
UDFVM_UNUSED static bool udfvm_call_host_described(const char *name,
                                                   const struct udfvm_any *arguments, size_t count,
                                                   struct udfvm_any result)
{
    return udfvm_ask_host(name, arguments, count, &result);
}

/* ---- Lists of parameters: (type, name), ... ---- */

/* The number of pairs; UDFVM_TOO_MANY, which is more than the maximum, for up to 32 of them. */
#define UDFVM_COUNT(...)                                                                 \
    UDFVM_COUNT_(__VA_ARGS__ __VA_OPT__(, ) UDFVM_MANY_16, UDFVM_MANY_16, UDFVM_MANY_16, \
                 UDFVM_MANY_8, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define UDFVM_MANY_16 UDFVM_MANY_8, UDFVM_MANY_8
#define UDFVM_MANY_8                                                                \
    UDFVM_TOO_MANY, UDFVM_TOO_MANY, UDFVM_TOO_MANY, UDFVM_TOO_MANY, UDFVM_TOO_MANY, \
        UDFVM_TOO_MANY, UDFVM_TOO_MANY, UDFVM_TOO_MANY
#define UDFVM_COUNT_(...) UDFVM_COUNT__(__VA_ARGS__)
#define UDFVM_COUNT__(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17, \
                      A18, A19, A20, A21, A22, A23, A24, A25, A26, A27, A28, A29, A30, A31, A32,  \
                      A33, A34, A35, A36, A37, A38, A39, A40, A41, A42, A43, A44, A45, A46, A47,  \
                      A48, A49, A50, A51, A52, A53, A54, A55, A56, A57, A58, A59, A60, A61, A62,  \
                      A63, A64, N, ...)                                                           \
    N
enum { UDFVM_TOO_MANY = UDFVM_MAX_FIELDS + 1 };
#define UDFVM_CHECK_COUNT(NAME, ...)                               \
    UDFVM_ASSERT(UDFVM_COUNT(__VA_ARGS__) <= UDFVM_MAX_PARAMETERS, \
                 #NAME " has too many parameters: the maximum is 8");
#define UDFVM_JOIN(A, B)  UDFVM_JOIN_(A, B)
#define UDFVM_JOIN_(A, B) A##B
#define UDFVM_EACH(M, ...) \
    UDFVM_JOIN(UDFVM_EACH_, UDFVM_COUNT(__VA_ARGS__))(M __VA_OPT__(, ) __VA_ARGS__)
#define UDFVM_EACH_0(M)
#define UDFVM_EACH_UDFVM_TOO_MANY(M, A, ...)    UDFVM_EACH_1(M, A)
#define UDFVM_EACH_1(M, A)                      M(0, A)
#define UDFVM_EACH_2(M, A, B)                   UDFVM_EACH_1(M, A), M(1, B)
#define UDFVM_EACH_3(M, A, B, C)                UDFVM_EACH_2(M, A, B), M(2, C)
#define UDFVM_EACH_4(M, A, B, C, D)             UDFVM_EACH_3(M, A, B, C), M(3, D)
#define UDFVM_EACH_5(M, A, B, C, D, E)          UDFVM_EACH_4(M, A, B, C, D), M(4, E)
#define UDFVM_EACH_6(M, A, B, C, D, E, F)       UDFVM_EACH_5(M, A, B, C, D, E), M(5, F)
#define UDFVM_EACH_7(M, A, B, C, D, E, F, G)    UDFVM_EACH_6(M, A, B, C, D, E, F), M(6, G)
#define UDFVM_EACH_8(M, A, B, C, D, E, F, G, H) UDFVM_EACH_7(M, A, B, C, D, E, F, G), M(7, H)
#define UDFVM_DECLARE(INDEX, PAIR)              UDFVM_DECLARE_ PAIR
#define UDFVM_DECLARE_(TYPE, NAME)              udfvm_##TYPE NAME
#define UDFVM_GET(INDEX, PAIR) \
    UDFVM_JOIN(udfvm_get_, UDFVM_TYPE_OF PAIR)(&udfvm_columns[INDEX], udfvm_row)
#define UDFVM_TYPE_OF(TYPE, NAME)   TYPE
#define UDFVM_DESCRIBE(INDEX, PAIR) UDFVM_DESCRIBE_ PAIR
#define UDFVM_DESCRIBE_(TYPE, NAME) { #NAME, &udfvm_type_##TYPE }

/* The linker gathers the pointers in a section of this name, and defines symbols for its begin and
 * end. */
#ifdef __has_attribute
#if __has_attribute(retain)
#define UDFVM_GATHERED __attribute__((section("udfvm_exports"), used, retain))
#endif
#endif
#ifndef UDFVM_GATHERED
#define UDFVM_GATHERED __attribute__((section("udfvm_exports"), used))
#endif

#define UDFVM_OFFER(NAME, FUNCTION, ADDRESS)                                             \
    static const struct udfvm_export udfvm_export_##NAME = { #NAME, FUNCTION, ADDRESS }; \
    UDFVM_GATHERED static const struct udfvm_export *udfvm_offer_##NAME = &udfvm_export_##NAME;

#define UDFVM_FUNCTION(NAME, SCALAR, VECTOR, GROUPS, TABLE, RESULT, ...)         \
    UDFVM_EXPORT const struct udfvm_function udfvm_function_##NAME;              \
    const struct udfvm_function udfvm_function_##NAME = {                        \
        UDFVM_NATIVE_VERSION,                                                    \
        UDFVM_COUNT(__VA_ARGS__),                                                \
        &udfvm_state,                                                            \
        SCALAR,                                                                  \
        VECTOR,                                                                  \
        GROUPS,                                                                  \
        TABLE,                                                                   \
        &udfvm_type_##RESULT,                                                    \
        { UDFVM_EACH(UDFVM_DESCRIBE, __VA_ARGS__) __VA_OPT__(, ){ NULL, NULL } } \
    };                                                                           \
    UDFVM_OFFER(NAME, &udfvm_function_##NAME, NULL)

/* In C++, an exception that a function throws is its error: the exception's type, and what(). */
#if defined(__cplusplus) && defined(__cpp_exceptions)
__attribute__((cold, noinline, unused)) static void udfvm_fail_by(const char *what)
{
    const std::type_info *type = abi::__cxa_current_exception_type();
    int status = 0;
    char *name = type ? abi::__cxa_demangle(type->name(), NULL, NULL, &status) : NULL;
    udfvm_fail("%s", what);
    snprintf(udfvm_state.type, sizeof udfvm_state.type, "%s", name ? name : "C++ exception");
    free(name);
}

#ifdef __GLIBCXX__
#define UDFVM_CATCH_END_OF_THREAD        \
    catch (const abi::__forced_unwind &) \
    {                                    \
        throw;                           \
    }
#else
#define UDFVM_CATCH_END_OF_THREAD
#endif
#define UDFVM_TRY try
#define UDFVM_CATCH                                            \
    catch (const std::exception &thrown)                       \
    {                                                          \
        udfvm_fail_by(thrown.what());                          \
    }                                                          \
    UDFVM_CATCH_END_OF_THREAD                                  \
    catch (...)                                                \
    {                                                          \
        udfvm_fail_by("was thrown, and is no std::exception"); \
    }
#else
#define UDFVM_TRY
#define UDFVM_CATCH
#endif

/* UDFVM_SCALAR(name, result type, (type, parameter), ...) { body }: a function of one row. The loop
 * over a batch is compiled around the body, so a simple body becomes vector instructions. */
#define UDFVM_SCALAR(NAME, RESULT, ...)                                                           \
    UDFVM_CHECK_COUNT(NAME __VA_OPT__(, ) __VA_ARGS__)                                            \
    static inline udfvm_##RESULT NAME(UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__));                    \
    static int64_t udfvm_run_##NAME(const struct udfvm_input *given,                              \
                                    const struct udfvm_output *output_given, int64_t rows)        \
    {                                                                                             \
        const struct udfvm_output output = *output_given;                                         \
        struct udfvm_input udfvm_columns[UDFVM_MAX_PARAMETERS + 1];                               \
        int64_t udfvm_row = 0;                                                                    \
        memcpy(udfvm_columns, given, UDFVM_COUNT(__VA_ARGS__) * sizeof *given);                   \
        UDFVM_TRY                                                                                 \
        {                                                                                         \
            for (; !output.skips && udfvm_row < rows; udfvm_row++) {                              \
                udfvm_put_##RESULT(&output, udfvm_row, NAME(UDFVM_EACH(UDFVM_GET, __VA_ARGS__))); \
                if (__builtin_expect(udfvm_state.marks != 0, 0) && !udfvm_end_row())              \
                    return udfvm_row;                                                             \
            }                                                                                     \
            for (; udfvm_row < rows; udfvm_row++) {                                               \
                if (!udfvm_bit(output.validity, udfvm_row)) {                                     \
                    udfvm_skip_##RESULT(&output, udfvm_row);                                      \
                    continue;                                                                     \
                }                                                                                 \
                if (output.begin_row)                                                             \
                    output.begin_row();                                                           \
                udfvm_put_##RESULT(&output, udfvm_row, NAME(UDFVM_EACH(UDFVM_GET, __VA_ARGS__))); \
                if (udfvm_state.marks && !udfvm_end_row())                                        \
                    return udfvm_row;                                                             \
            }                                                                                     \
        }                                                                                         \
        UDFVM_CATCH                                                                               \
        return udfvm_row;                                                                         \
    }                                                                                             \
    UDFVM_FUNCTION(NAME, udfvm_run_##NAME, NULL, NULL, NULL, RESULT __VA_OPT__(, ) __VA_ARGS__)   \
    static inline udfvm_##RESULT NAME(UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__))

/* UDFVM_VECTOR(name, result type, (type, parameter), ...) { body }: a function of whole columns.
 *
 * In the body `arguments` is an array of struct ArrowArray, one for each parameter, which is
 * read-only. `result` is the struct ArrowArray to fill. If the result's type has a fixed width, its
 * buffers exist already, for as many rows as the arguments have: buffers[0], the validity, with all
 * bits set, and buffers[1], the data. Otherwise, or instead, the body sets buffers of its own and,
 * if they must be freed, `release`. Rows with a null in a parameter that is not optional are null
 * in the result, whatever the body computes for them. Lists and structs have children: the items,
 * or the fields. Those of the result are to be set, with offset 0. */
#define UDFVM_VECTOR(NAME, RESULT, ...)                                                         \
    UDFVM_CHECK_COUNT(NAME __VA_OPT__(, ) __VA_ARGS__)                                          \
    static void NAME(const struct ArrowArray *arguments, struct ArrowArray *result);            \
    static void udfvm_run_##NAME(const struct ArrowArray *udfvm_arguments,                      \
                                 struct ArrowArray *udfvm_result){                              \
        UDFVM_TRY{ NAME(udfvm_arguments, udfvm_result);                                         \
    }                                                                                           \
    UDFVM_CATCH                                                                                 \
    }                                                                                           \
    UDFVM_FUNCTION(NAME, NULL, udfvm_run_##NAME, NULL, NULL, RESULT __VA_OPT__(, ) __VA_ARGS__) \
    static void NAME(const struct ArrowArray *arguments, struct ArrowArray *result)

#include "udfvm_groups.h"
#include "udfvm_table.h"

/* ---- Executables ---- */

/* Offers a plain function, defined above, for from_elf(..., signature=...). Only a stripped program
 * needs it: otherwise from_elf finds the function in the program's symbols. */
#define UDFVM_C_FUNCTION(NAME) UDFVM_OFFER(NAME, NULL, (const void *)&NAME)

#ifdef __cplusplus
extern "C" {
#endif
extern const struct udfvm_export *const __start_udfvm_exports[]
    __attribute__((weak, visibility("hidden")));
extern const struct udfvm_export *const __stop_udfvm_exports[]
    __attribute__((weak, visibility("hidden")));
#ifdef __cplusplus
}
#endif

/* Makes the program's functions available. main() calls it when the program is ready. In a micro-VM
 * it does not return: the functions are called from then on. Outside of one it prints what the
 * program is for and returns 1. */
__attribute__((unused)) static int udfvm_serve(void)
{
    const char *runtime = getenv("UDFVM_RUNTIME");
    if (!runtime) {
        fputs("This program contains functions for udfvm and does nothing by itself: "
              "udfvm.from_elf(path, function) calls them.\n",
              stderr);
        return EXIT_FAILURE;
    }
    fflush(stdout);
    setvbuf(stdout, NULL, _IONBF, 0); /* whatever is printed belongs to its call */
    return ((udfvm_serve_function *)(uintptr_t)strtoull(runtime, NULL, 16))(
        UDFVM_NATIVE_VERSION, __start_udfvm_exports, __stop_udfvm_exports);
}

/* The main() of a program that has nothing to prepare. */
#define UDFVM_MAIN            \
    int main(void)            \
    {                         \
        return udfvm_serve(); \
    }

#endif
