/* Errors about SQL values that do not have the type of a parameter: see row.h. */
#include <stdio.h>

#include "statement/row.h"

#include "statement/report.h"

enum { MAX_SHOWN = 40 }; /* bytes of a wrong value, in an error */

static const char *sql_type_name(int type)
{
    switch (type) {
    case SQLITE_INTEGER:
        return "INTEGER";
    case SQLITE_FLOAT:
        return "REAL";
    case SQLITE_TEXT:
        return "TEXT";
    case SQLITE_BLOB:
        return "BLOB";
    default:
        return "NULL";
    }
}

static const char *expected_name(const struct sql_parameter *parameter)
{
    if (parameter->times.form != UDFVM_SQLITE_AS_DECLARED)
        return times_expected(&parameter->times);
    switch (parameter->type) {
    case UDFVM_TYPE_INT64:
        return "INTEGER";
    case UDFVM_TYPE_FLOAT64:
        return "REAL or INTEGER";
    case UDFVM_TYPE_TEXT:
        return "TEXT";
    case UDFVM_TYPE_BLOB:
        return "BLOB";
    default:
        return "INTEGER 0 or 1 (a bool)";
    }
}

/* A value in an error: its type, or the value itself if its type is right. */
struct shown_value {
    char text[6 * MAX_SHOWN + 8];
};

static struct shown_value show_value(sqlite_library *library, const struct sql_parameter *parameter,
                                     sqlite3_value *value)
{
    sqlite_library *sqlite3_api = library;
    const int found = sqlite3_value_type(value);
    const bool counts = parameter->times.form == UDFVM_SQLITE_TIME_COUNT;
    struct shown_value shown;
    const char *text = NULL;
    if (parameter->times.form != UDFVM_SQLITE_AS_DECLARED && !counts && found == SQLITE_TEXT)
        text = (const char *)sqlite3_value_text(value);
    if (text) {
        const size_t whole = (size_t)sqlite3_value_bytes(value);
        size_t length = whole > MAX_SHOWN ? MAX_SHOWN : whole;
        while (length < whole && length > MAX_SHOWN - 3 && (text[length] & 0xc0) == 0x80)
            length--; /* not in the middle of a character */
        char visible[6 * MAX_SHOWN + 1];
        udfvm_visible_text(text, length, "", visible, sizeof visible);
        snprintf(shown.text, sizeof shown.text, "'%s%s'", visible, length < whole ? "..." : "");
    } else if (counts && found == SQLITE_INTEGER)
        snprintf(shown.text, sizeof shown.text, "INTEGER %lld",
                 (long long)sqlite3_value_int64(value));
    else
        snprintf(shown.text, sizeof shown.text, "%s", sql_type_name(found));
    return shown;
}

/* How SQL has values that it may seem to have in another type: by the kind of parameter. */
struct remedy {
    bool of_text, of_numbers; /* what the wrong values are */
    const char *form, *option;
};

static struct remedy find_remedy(const struct sql_function *function,
                                 const struct sql_parameter *parameter, int found)
{
    static const struct remedy remedies[] = {
        [UDFVM_SQLITE_DATE] = { .of_text = true,
                                .form = "; dates are days since 1970 here",
                                .option = ": register(..., times='text') takes text" },
        [UDFVM_SQLITE_MOMENT] = { .of_text = true,
                                  .form = "; timestamps are counts of their unit since 1970 here",
                                  .option = ": register(..., times='text') takes text" },
        [UDFVM_SQLITE_DECIMAL] = { .of_numbers = true,
                                   .form = "; decimals are TEXT here: CAST(x AS TEXT)",
                                   .option = "" },
        [UDFVM_SQLITE_JSON] = { .of_numbers = true,
                                .form = "; JSON is TEXT here, such as that of json_array(x)",
                                .option = "" },
        [UDFVM_SQLITE_DURATION] = { .of_text = true,
                                    .form = "; durations are counts of their unit here, such as "
                                            "microseconds",
                                    .option = "" },
        [UDFVM_SQLITE_TIME] = { .of_numbers = true,
                                .form = "; times of day are TEXT here, such as '12:00:00'",
                                .option = ": register(..., times='integer') takes integers" },
    };
    struct remedy remedy = remedies[parameter->kind];
    const bool number = found == SQLITE_INTEGER || found == SQLITE_FLOAT;
    const bool applies = parameter->times.form == UDFVM_SQLITE_AS_DECLARED &&
                         ((remedy.of_text && found == SQLITE_TEXT) ||
                          (remedy.of_numbers && number));
    if (!applies)
        remedy.form = "";
    if (!applies || !function->embedder) /* only a program can register */
        remedy.option = "";
    return remedy;
}

char *describe_wrong_type(const struct session *session, uint32_t index, sqlite3_value *value)
{
    const struct sql_function *function = session->function;
    const struct sql_parameter *parameter = &function->parameters[index];
    sqlite_library *sqlite3_api = function->registry->library;
    const int found = sqlite3_value_type(value);
    if (parameter->type == UDFVM_TYPE_FLOAT64 && found == SQLITE_INTEGER)
        return describe_argument(session, index,
                                 "is INTEGER %lld, which cannot be represented exactly as %s",
                                 (long long)sqlite3_value_int64(value),
                                 parameter->single ? "a float of 32 bits" : "REAL");
    if (parameter->type == UDFVM_TYPE_BOOL && found == SQLITE_INTEGER)
        return describe_argument(session, index, "takes %s; got INTEGER %lld",
                                 expected_name(parameter), (long long)sqlite3_value_int64(value));
    const struct remedy remedy = find_remedy(function, parameter, found);
    return describe_argument(session, index, "takes %s; got %s%s%s", expected_name(parameter),
                             show_value(sqlite3_api, parameter, value).text, remedy.form,
                             remedy.option);
}
