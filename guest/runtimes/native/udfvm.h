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
 * a call.
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

#define UDFVM_NATIVE_VERSION 2u

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
    UDFVM_OPTIONAL = 256 /* added to one of them */
};

/* A text (UTF-8) or blob. */
struct udfvm_bytes {
    const char *data; /* not NUL-terminated; may be NULL if length is 0 */
    size_t length;
};

/* A value to or from a host function. */
struct udfvm_any {
    uint32_t type; /* 0 null, 1 integer, 2 real, 3 text, 4 blob, 5 boolean, in `integer` */
    int64_t integer;
    double real;
    struct udfvm_bytes bytes;
};

/* The state of an object. It is weak, so that the object's translation units share one. The runtime
 * sets the functions. */
struct udfvm_state {
    uint32_t failed;
    char message[1020];
    void *(*allocate)(size_t size);
    const char *(*call_host)(const char *name, const struct udfvm_any *arguments, size_t count,
                             struct udfvm_any *result);
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
};

/* The column of results. */
struct udfvm_output {
    uint8_t *validity; /* a clear bit: the row is null, and not computed */
    void *data;        /* of booleans: bits, all clear at first */
    uint32_t skips;    /* 1: some bits of validity are clear */
    /* Appends the next row of texts or blobs. Returns false if the column is full. */
    bool (*append)(void *context, const char *bytes, size_t length);
    void *context;
};

/* A parameter: its name, and its enum udfvm_storage. */
struct udfvm_parameter {
    const char *name;
    uint32_t type;
};

#define UDFVM_MAX_PARAMETERS 8

/* A function that an object defines with UDFVM_SCALAR or UDFVM_VECTOR. */
struct udfvm_function {
    uint32_t version;
    uint32_t count;
    struct udfvm_state *state;
    /* One of the two is not NULL. `scalar` returns the number of rows done: less than `rows` if the
     * next one failed. */
    int64_t (*scalar)(const struct udfvm_input *columns, const struct udfvm_output *output,
                      int64_t rows);
    void (*vector)(const struct ArrowArray *arguments, struct ArrowArray *result);
    uint32_t result;
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

/* Makes the call fail with an error of this text (formatted as by printf) when the function
 * returns. The value that it returns is ignored. */
__attribute__((format(printf, 1, 2), cold, noinline, unused)) static void udfvm_fail(
    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(udfvm_state.message, sizeof udfvm_state.message, format, arguments);
    va_end(arguments);
    udfvm_state.failed = 1;
}

/* Returns memory for a result. It is valid until the runtime has taken the result. Never returns
 * NULL: running out of memory ends the call. */
static inline char *udfvm_allocate(size_t size)
{
    return (char *)udfvm_state.allocate(size);
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

/* Defines the optional form of a type: the struct, its makers, and how it is read and written. */
#define UDFVM_DEFINE_OPTIONAL(TYPE)                                                               \
    typedef struct udfvm_optional_##TYPE {                                                        \
        bool valid;                                                                               \
        udfvm_##TYPE value;                                                                       \
    } udfvm_optional_##TYPE;                                                                      \
    enum { UDFVM_STORAGE_optional_##TYPE = (int)UDFVM_STORAGE_##TYPE | (int)UDFVM_OPTIONAL };     \
    static inline udfvm_optional_##TYPE udfvm_null_##TYPE(void)                                   \
    {                                                                                             \
        udfvm_optional_##TYPE made;                                                               \
        memset(&made, 0, sizeof made);                                                            \
        return made;                                                                              \
    }                                                                                             \
    static inline udfvm_optional_##TYPE udfvm_some_##TYPE(udfvm_##TYPE value)                     \
    {                                                                                             \
        udfvm_optional_##TYPE made;                                                               \
        made.valid = true;                                                                        \
        made.value = value;                                                                       \
        return made;                                                                              \
    }                                                                                             \
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

#define UDFVM_DEFINE_BOTH(TYPE) UDFVM_DEFINE_NUMBER(TYPE) UDFVM_DEFINE_OPTIONAL(TYPE)
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
UDFVM_DEFINE_OPTIONAL(boolean)
UDFVM_DEFINE_OPTIONAL(text)
UDFVM_DEFINE_OPTIONAL(blob)

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

/* Calls a host function. The call ends unless the arguments have its declared types. The result is
 * null, or of the type that it declares. What the result points to is valid until the runtime has
 * taken the result of this function. Returns false, after udfvm_fail(), if there is no such host
 * function. */
__attribute__((unused)) static bool udfvm_call_host(const char *name,
                                                    const struct udfvm_any *arguments, size_t count,
                                                    struct udfvm_any *result)
{
    const char *error = udfvm_state.call_host(name, arguments, count, result);
    if (error)
        udfvm_fail("%s: %s", name, error);
    return !error;
}

/* ---- Lists of parameters: (type, name), ... ---- */

/* The number of pairs; UDFVM_TOO_MANY, which is more than the maximum, for up to 32 of them. */
#define UDFVM_COUNT(...)                                                                          \
    UDFVM_COUNT_(__VA_ARGS__ __VA_OPT__(, ) UDFVM_MANY_8, UDFVM_MANY_8, UDFVM_MANY_8, 8, 7, 6, 5, \
                 4, 3, 2, 1, 0)
#define UDFVM_MANY_8                                                                \
    UDFVM_TOO_MANY, UDFVM_TOO_MANY, UDFVM_TOO_MANY, UDFVM_TOO_MANY, UDFVM_TOO_MANY, \
        UDFVM_TOO_MANY, UDFVM_TOO_MANY, UDFVM_TOO_MANY
#define UDFVM_COUNT_(...) UDFVM_COUNT__(__VA_ARGS__)
#define UDFVM_COUNT__(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17, \
                      A18, A19, A20, A21, A22, A23, A24, A25, A26, A27, A28, A29, A30, A31, A32,  \
                      N, ...)                                                                     \
    N
enum { UDFVM_TOO_MANY = UDFVM_MAX_PARAMETERS + 1 };
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
#define UDFVM_DESCRIBE_(TYPE, NAME) { #NAME, (uint32_t)UDFVM_STORAGE_##TYPE }

#ifdef __cplusplus
#define UDFVM_EXPORT extern "C" __attribute__((visibility("default")))
#define UDFVM_ASSERT static_assert
#else
#define UDFVM_EXPORT extern __attribute__((visibility("default")))
#define UDFVM_ASSERT _Static_assert
#endif

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

#define UDFVM_FUNCTION(NAME, SCALAR, VECTOR, RESULT, ...)                     \
    UDFVM_EXPORT const struct udfvm_function udfvm_function_##NAME;           \
    const struct udfvm_function udfvm_function_##NAME = {                     \
        UDFVM_NATIVE_VERSION,                                                 \
        UDFVM_COUNT(__VA_ARGS__),                                             \
        &udfvm_state,                                                         \
        SCALAR,                                                               \
        VECTOR,                                                               \
        (uint32_t)UDFVM_STORAGE_##RESULT,                                     \
        { UDFVM_EACH(UDFVM_DESCRIBE, __VA_ARGS__) __VA_OPT__(, ){ NULL, 0 } } \
    };                                                                        \
    UDFVM_OFFER(NAME, &udfvm_function_##NAME, NULL)

/* UDFVM_SCALAR(name, result type, (type, parameter), ...) { body }: a function of one row. The loop
 * over a batch is compiled around the body, so a simple body becomes vector instructions. */
#define UDFVM_SCALAR(NAME, RESULT, ...)                                                       \
    UDFVM_CHECK_COUNT(NAME __VA_OPT__(, ) __VA_ARGS__)                                        \
    static inline udfvm_##RESULT NAME(UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__));                \
    static int64_t udfvm_run_##NAME(const struct udfvm_input *given,                          \
                                    const struct udfvm_output *output_given, int64_t rows)    \
    {                                                                                         \
        const struct udfvm_output output = *output_given;                                     \
        struct udfvm_input udfvm_columns[UDFVM_MAX_PARAMETERS + 1];                           \
        memcpy(udfvm_columns, given, UDFVM_COUNT(__VA_ARGS__) * sizeof *given);               \
        for (int64_t udfvm_row = 0; !output.skips && udfvm_row < rows; udfvm_row++) {         \
            udfvm_put_##RESULT(&output, udfvm_row, NAME(UDFVM_EACH(UDFVM_GET, __VA_ARGS__))); \
            if (__builtin_expect(udfvm_state.failed != 0, 0))                                 \
                return udfvm_row;                                                             \
        }                                                                                     \
        for (int64_t udfvm_row = 0; output.skips && udfvm_row < rows; udfvm_row++) {          \
            if (!udfvm_bit(output.validity, udfvm_row)) {                                     \
                udfvm_skip_##RESULT(&output, udfvm_row);                                      \
                continue;                                                                     \
            }                                                                                 \
            udfvm_put_##RESULT(&output, udfvm_row, NAME(UDFVM_EACH(UDFVM_GET, __VA_ARGS__))); \
            if (udfvm_state.failed)                                                           \
                return udfvm_row;                                                             \
        }                                                                                     \
        return rows;                                                                          \
    }                                                                                         \
    UDFVM_FUNCTION(NAME, udfvm_run_##NAME, NULL, RESULT __VA_OPT__(, ) __VA_ARGS__)           \
    static inline udfvm_##RESULT NAME(UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__))

/* UDFVM_VECTOR(name, result type, (type, parameter), ...) { body }: a function of whole columns.
 *
 * In the body `arguments` is an array of struct ArrowArray, one for each parameter, which is
 * read-only. `result` is the struct ArrowArray to fill. If the result's type has a fixed width, its
 * buffers exist already, for as many rows as the arguments have: buffers[0], the validity, with all
 * bits set, and buffers[1], the data. Otherwise, or instead, the body sets buffers of its own and,
 * if they must be freed, `release`. Rows with a null in a parameter that is not optional are null
 * in the result, whatever the body computes for them. */
#define UDFVM_VECTOR(NAME, RESULT, ...)                                              \
    UDFVM_CHECK_COUNT(NAME __VA_OPT__(, ) __VA_ARGS__)                               \
    static void NAME(const struct ArrowArray *arguments, struct ArrowArray *result); \
    UDFVM_FUNCTION(NAME, NULL, NAME, RESULT __VA_OPT__(, ) __VA_ARGS__)              \
    static void NAME(const struct ArrowArray *arguments, struct ArrowArray *result)

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
