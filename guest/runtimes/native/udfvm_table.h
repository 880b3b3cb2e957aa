/* Table functions in C or C++. udfvm.h includes this.
 *
 *     UDFVM_STRUCT(square, (i64, number), (i64, square))
 *
 *     UDFVM_TABLE(squares, square, (i64, count))
 *     {
 *         for (int64_t i = 0; i < count; i++)
 *             udfvm_emit_squares((udfvm_square){ i, i * i });
 *     }
 *
 * The fields of the struct are the columns. A row of another type is one column, `value`.
 */
#ifndef UDFVM_TABLE_H
#define UDFVM_TABLE_H

/* How a table function makes its rows. */
struct udfvm_table {
    void (*rows)(const struct udfvm_input *columns, int64_t row); /* for a row of arguments */
    /* true: `emit` returns false where no more rows are wanted, and the body is left by an
     * exception. false: `emit` does not return then. */
    bool unwinds;
};

#if defined(__cplusplus) && defined(__cpp_exceptions)
/* Leaves the body of a table function, whose objects are destroyed. */
struct udfvm_end_of_rows {};
#define UDFVM_UNWINDS true
#define UDFVM_LEAVE   throw udfvm_end_of_rows()
#define UDFVM_CATCH_LEAVING           \
    catch (const udfvm_end_of_rows &) \
    {                                 \
    }
#else
#define UDFVM_UNWINDS false
#define UDFVM_LEAVE   abort()
#define UDFVM_CATCH_LEAVING
#endif

/* UDFVM_TABLE(name, type of a row, (type, parameter), ...) { body }: the body passes each row to
 * udfvm_emit_NAME(row), and returns after the last. It runs only as far as rows are asked for:
 * what is behind a row may never run. Memory of udfvm_allocate() lasts until the body returns; a
 * row is copied when it is passed. */
#define UDFVM_TABLE(NAME, ROW, ...)                                                             \
    UDFVM_CHECK_COUNT(NAME __VA_OPT__(, ) __VA_ARGS__)                                          \
    UDFVM_UNUSED static void udfvm_emit_##NAME(udfvm_##ROW row)                                 \
    {                                                                                           \
        if (!udfvm_state.emit(&row))                                                            \
            UDFVM_LEAVE;                                                                        \
    }                                                                                           \
    static void NAME(UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__));                                   \
    static void udfvm_run_##NAME(const struct udfvm_input *udfvm_columns UDFVM_UNUSED,          \
                                 int64_t udfvm_row UDFVM_UNUSED)                                \
    {                                                                                           \
        UDFVM_TRY                                                                               \
        {                                                                                       \
            NAME(UDFVM_EACH(UDFVM_GET, __VA_ARGS__));                                           \
        }                                                                                       \
        UDFVM_CATCH_LEAVING                                                                     \
        UDFVM_CATCH                                                                             \
    }                                                                                           \
    static const struct udfvm_table udfvm_table_##NAME = { udfvm_run_##NAME, UDFVM_UNWINDS };   \
    UDFVM_FUNCTION(NAME, NULL, NULL, NULL, &udfvm_table_##NAME, ROW __VA_OPT__(, ) __VA_ARGS__) \
    static void NAME(UDFVM_EACH(UDFVM_DECLARE, __VA_ARGS__))

#endif
