/* Aggregates in C or C++. udfvm.h includes this.
 *
 *     struct sums { double sum; int64_t count; };
 *
 *     UDFVM_AGGREGATE(mean, struct sums, optional_f64, (f64, value))
 *     {
 *         group->sum += value;
 *         group->count++;
 *     }
 *     UDFVM_FINISH(mean)
 *     {
 *         return group->count ? udfvm_some_f64(group->sum / group->count) : udfvm_null_f64();
 *     }
 *
 * Each group of rows has a `struct sums`, zero at first; in C++ it is value-initialised, and
 * destroyed with the group. These may follow, in any order:
 *
 *     UDFVM_INIT(mean) { ... }                  begins a group
 *     UDFVM_INVERSE(mean, (f64, value)) { ... } takes the oldest row out again, for windows
 *     UDFVM_MERGE(mean) { ... }                 adds what the group `other` has seen
 *     UDFVM_FREE(mean) { ... }                  frees what the group points to
 *     UDFVM_SAVE(mean) { ... }                  returns a udfvm_blob of the group, to be merged in
 *                                               another micro-VM; without it, the group's bytes
 *     UDFVM_LOAD(mean) { ... }                  fills a group that began from such a blob, `state`
 */
#ifndef UDFVM_GROUPS_H
#define UDFVM_GROUPS_H

/* How an aggregate treats groups. What an object may leave out is NULL then. */
struct udfvm_groups {
    size_t size, alignment;
    bool plain; /* the bytes of a group may be copied */
    void (*begin)(void *group);
    /* They take the rows from `row` to `end`, and return the row behind the last one taken: less
     * than `end` if the next one failed. */
    int64_t (*step)(void *group, const struct udfvm_input *columns, int64_t row, int64_t end);
    int64_t (*inverse)(void *group, const struct udfvm_input *columns, int64_t row, int64_t end);
    void (*finish)(void *group, const struct udfvm_output *output);
    void (*merge)(void *group, void *other);
    udfvm_blob (*save)(void *group);
    void (*load)(void *group, udfvm_blob state);
    void (*end)(void *group);
};

/* A function that is NULL unless the object defines it. */
#define UDFVM_LEFT_OUT __attribute__((weak, visibility("hidden")))

#ifdef __cplusplus
#include <new>
#define UDFVM_IS_PLAIN(TYPE)       __is_trivially_copyable(TYPE)
#define UDFVM_MAKE(TYPE, MEMORY)   ::new (MEMORY) TYPE()
#define UDFVM_UNMAKE(TYPE, MEMORY) ((TYPE *)(MEMORY))->~TYPE()
#define UDFVM_CHECK_ROW(NAME) \
    UDFVM_UNUSED static udfvm_row_of_##NAME *const udfvm_checked_##NAME = udfvm_leave_##NAME;
#else
#define UDFVM_IS_PLAIN(TYPE)       true
#define UDFVM_MAKE(TYPE, MEMORY)   memset(MEMORY, 0, sizeof(TYPE))
#define UDFVM_UNMAKE(TYPE, MEMORY) (void)(MEMORY)
#define UDFVM_CHECK_ROW(NAME)                                                              \
    UDFVM_ASSERT(                                                                          \
        __builtin_types_compatible_p(udfvm_row_of_##NAME, __typeof__(udfvm_leave_##NAME)), \
        #NAME " does not have these parameters");
#endif

/* Calls a body with each row. */
#define UDFVM_TAKE_ROWS(NAME, BODY, ...)                                                    \
    {                                                                                       \
        struct udfvm_input udfvm_columns[UDFVM_MAX_PARAMETERS + 1];                         \
        udfvm_group_##NAME *group = (udfvm_group_##NAME *)udfvm_group;                      \
        memcpy(udfvm_columns, udfvm_given, UDFVM_COUNT(__VA_ARGS__) * sizeof *udfvm_given); \
        UDFVM_TRY                                                                           \
        {                                                                                   \
            for (; udfvm_row < udfvm_end; udfvm_row++) {                                    \
                BODY(group __VA_OPT__(, ) UDFVM_EACH(UDFVM_GET, __VA_ARGS__));              \
                if (__builtin_expect(udfvm_state.marks != 0, 0) && !udfvm_end_row())        \
                    return udfvm_row;                                                       \
            }                                                                               \
        }                                                                                   \
        UDFVM_CATCH                                                                         \
        return udfvm_row;                                                                   \
    }

/* UDFVM_AGGREGATE(name, type of a group, result type, (type, parameter), ...) { body }: the body
 * takes a row into `group`, a pointer. */
#define UDFVM_AGGREGATE(NAME, GROUP, RESULT, ...)                                                \
    UDFVM_CHECK_COUNT(NAME __VA_OPT__(, ) __VA_ARGS__)                                           \
    typedef GROUP udfvm_group_##NAME;                                                            \
    typedef udfvm_##RESULT udfvm_value_of_##NAME;                                                \
    typedef void udfvm_row_of_##NAME(udfvm_group_##NAME *group __VA_OPT__(, )                    \
                                         UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__));                \
    UDFVM_UNUSED static void udfvm_put_value_of_##NAME(const struct udfvm_output *output,        \
                                                       udfvm_value_of_##NAME value)              \
    {                                                                                            \
        udfvm_put_##RESULT(output, 0, value);                                                    \
    }                                                                                            \
    static inline void udfvm_step_##NAME(udfvm_group_##NAME *group __VA_OPT__(, )                \
                                             UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__));            \
    static int64_t udfvm_take_##NAME(void *udfvm_group, const struct udfvm_input *udfvm_given,   \
                                     int64_t udfvm_row, int64_t udfvm_end)                       \
        UDFVM_TAKE_ROWS(NAME, udfvm_step_##NAME __VA_OPT__(, ) __VA_ARGS__)                      \
            UDFVM_LEFT_OUT void udfvm_init_##NAME(void *group);                                  \
    UDFVM_LEFT_OUT int64_t udfvm_inverse_##NAME(void *group, const struct udfvm_input *columns,  \
                                                int64_t row, int64_t end);                       \
    UDFVM_LEFT_OUT void udfvm_finish_##NAME(void *group, const struct udfvm_output *output);     \
    UDFVM_LEFT_OUT void udfvm_merge_##NAME(void *group, void *other);                            \
    UDFVM_LEFT_OUT udfvm_blob udfvm_save_##NAME(void *group);                                    \
    UDFVM_LEFT_OUT void udfvm_load_##NAME(void *group, udfvm_blob state);                        \
    UDFVM_LEFT_OUT void udfvm_free_##NAME(void *group);                                          \
    static void udfvm_begin_##NAME(void *group)                                                  \
    {                                                                                            \
        UDFVM_TRY                                                                                \
        {                                                                                        \
            UDFVM_MAKE(udfvm_group_##NAME, group);                                               \
            if (udfvm_init_##NAME)                                                               \
                udfvm_init_##NAME(group);                                                        \
        }                                                                                        \
        UDFVM_CATCH                                                                              \
    }                                                                                            \
    static void udfvm_end_##NAME(void *group)                                                    \
    {                                                                                            \
        if (udfvm_free_##NAME)                                                                   \
            udfvm_free_##NAME(group);                                                            \
        UDFVM_UNMAKE(udfvm_group_##NAME, group);                                                 \
    }                                                                                            \
    static const struct udfvm_groups udfvm_groups_##NAME = { sizeof(udfvm_group_##NAME),         \
                                                             __alignof__(udfvm_group_##NAME),    \
                                                             UDFVM_IS_PLAIN(udfvm_group_##NAME), \
                                                             udfvm_begin_##NAME,                 \
                                                             udfvm_take_##NAME,                  \
                                                             udfvm_inverse_##NAME,               \
                                                             udfvm_finish_##NAME,                \
                                                             udfvm_merge_##NAME,                 \
                                                             udfvm_save_##NAME,                  \
                                                             udfvm_load_##NAME,                  \
                                                             udfvm_end_##NAME };                 \
    UDFVM_FUNCTION(NAME, NULL, NULL, &udfvm_groups_##NAME, NULL,                                 \
                   RESULT __VA_OPT__(, ) __VA_ARGS__)                                            \
    static inline void udfvm_step_##NAME(udfvm_group_##NAME *group UDFVM_UNUSED __VA_OPT__(, )   \
                                             UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__))

/* The same parameters as those of the aggregate. */
#define UDFVM_INVERSE(NAME, ...)                                                                \
    static inline void udfvm_leave_##NAME(udfvm_group_##NAME *group __VA_OPT__(, )              \
                                              UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__));          \
    UDFVM_CHECK_ROW(NAME)                                                                       \
    int64_t udfvm_inverse_##NAME(void *udfvm_group, const struct udfvm_input *udfvm_given,      \
                                 int64_t udfvm_row, int64_t udfvm_end)                          \
        UDFVM_TAKE_ROWS(NAME, udfvm_leave_##NAME __VA_OPT__(, ) __VA_ARGS__) static inline void \
            udfvm_leave_##NAME(udfvm_group_##NAME *group UDFVM_UNUSED __VA_OPT__(, )            \
                                   UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__))

/* Returns the value of `group`. It may be called again after more rows. */
#define UDFVM_FINISH(NAME)                                                                      \
    static inline udfvm_value_of_##NAME udfvm_value_##NAME(udfvm_group_##NAME *group);          \
    void udfvm_finish_##NAME(void *group, const struct udfvm_output *output)                    \
    {                                                                                           \
        UDFVM_TRY                                                                               \
        {                                                                                       \
            udfvm_put_value_of_##NAME(output, udfvm_value_##NAME((udfvm_group_##NAME *)group)); \
        }                                                                                       \
        UDFVM_CATCH                                                                             \
    }                                                                                           \
    static inline udfvm_value_of_##NAME udfvm_value_##NAME(udfvm_group_##NAME *group UDFVM_UNUSED)

#define UDFVM_INIT(NAME)                                              \
    static inline void udfvm_start_##NAME(udfvm_group_##NAME *group); \
    void udfvm_init_##NAME(void *group) /* whose caller catches */    \
    {                                                                 \
        udfvm_start_##NAME((udfvm_group_##NAME *)group);              \
    }                                                                 \
    static inline void udfvm_start_##NAME(udfvm_group_##NAME *group UDFVM_UNUSED)

#define UDFVM_MERGE(NAME)                                                                       \
    static inline void udfvm_join_##NAME(udfvm_group_##NAME *group, udfvm_group_##NAME *other); \
    void udfvm_merge_##NAME(void *group, void *other)                                           \
    {                                                                                           \
        UDFVM_TRY                                                                               \
        {                                                                                       \
            udfvm_join_##NAME((udfvm_group_##NAME *)group, (udfvm_group_##NAME *)other);        \
        }                                                                                       \
        UDFVM_CATCH                                                                             \
    }                                                                                           \
    static inline void udfvm_join_##NAME(udfvm_group_##NAME *group UDFVM_UNUSED,                \
                                         udfvm_group_##NAME *other UDFVM_UNUSED)

#define UDFVM_SAVE(NAME)                                                       \
    static inline udfvm_blob udfvm_state_of_##NAME(udfvm_group_##NAME *group); \
    udfvm_blob udfvm_save_##NAME(void *group)                                  \
    {                                                                          \
        udfvm_blob state = { NULL, 0 };                                        \
        UDFVM_TRY                                                              \
        {                                                                      \
            state = udfvm_state_of_##NAME((udfvm_group_##NAME *)group);        \
        }                                                                      \
        UDFVM_CATCH                                                            \
        return state;                                                          \
    }                                                                          \
    static inline udfvm_blob udfvm_state_of_##NAME(udfvm_group_##NAME *group UDFVM_UNUSED)

#define UDFVM_LOAD(NAME)                                                               \
    static inline void udfvm_fill_##NAME(udfvm_group_##NAME *group, udfvm_blob state); \
    void udfvm_load_##NAME(void *group, udfvm_blob state)                              \
    {                                                                                  \
        UDFVM_TRY                                                                      \
        {                                                                              \
            udfvm_fill_##NAME((udfvm_group_##NAME *)group, state);                     \
        }                                                                              \
        UDFVM_CATCH                                                                    \
    }                                                                                  \
    static inline void udfvm_fill_##NAME(udfvm_group_##NAME *group UDFVM_UNUSED,       \
                                         udfvm_blob state UDFVM_UNUSED)

#define UDFVM_FREE(NAME)                                              \
    static inline void udfvm_clear_##NAME(udfvm_group_##NAME *group); \
    void udfvm_free_##NAME(void *group)                               \
    {                                                                 \
        UDFVM_TRY                                                     \
        {                                                             \
            udfvm_clear_##NAME((udfvm_group_##NAME *)group);          \
        }                                                             \
        UDFVM_CATCH                                                   \
    }                                                                 \
    static inline void udfvm_clear_##NAME(udfvm_group_##NAME *group UDFVM_UNUSED)

#endif
