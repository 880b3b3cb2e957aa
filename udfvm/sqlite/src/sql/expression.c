/* Expressions in SQL: each text is a function, which is loaded as those in the database are. */
#include <string.h>

#include "sql/expression.h"

#include "sql/load.h"
#include "sql/signature.h"
#include "sql/stored.h"
#include "statement/report.h"

enum { MAX_SHOWN = 120 }; /* bytes of an expression in its name */

void expression_signature(int count, struct sql_signature *signature)
{
    *signature = (struct sql_signature){ .count = (uint32_t)count, .result_type = TYPE_ANY };
    for (int i = 0; i < count; i++) {
        signature->names[i][0] = (char)('a' + i);
        signature->parameters[i] = (struct udfvm_sqlite_parameter){ .name = signature->names[i],
                                                                    .type = TYPE_ANY };
    }
}

/* Returns how many bytes of a text have room, without a part of a character. */
static size_t cut(const char *text, size_t length, size_t room)
{
    if (length <= room)
        return length;
    while (room > 0 && ((unsigned char)text[room] & 0xc0) == 0x80)
        room--;
    return room;
}

struct sql_function *expression_find(struct function_registry *registry,
                                     struct statement *statement, const char *text, size_t length,
                                     int count, char **wrong)
{
    char name[6 * MAX_SHOWN + 1], signature[8], *message = NULL;
    udfvm_visible_text(text, cut(text, length, MAX_SHOWN), "", name, sizeof name);
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_snprintf(sizeof signature, signature, "%d", count); /* for comparison alone */
    const struct stored_definition definition = {
        .name = name,
        .name_length = cut(name, strlen(name), MAX_NAME),
        .language = "python",
        .signature = signature,
        .options = "",
        .source = text,
        .source_length = length,
        .source_is_text = true,
        .expression = true,
        .values = count,
    };
    registry->load_end_ns = statement->end_ns;
    struct sql_function *function = stored_load(registry, &definition, &message);
    statement->end_ns = registry->load_end_ns;
    *wrong = function ? NULL
                      : describe_definition(
                            registry, NULL, name, definition.name_length, message,
                            (struct udfvm_sqlite_failure){ .cause = UDFVM_SQLITE_SIGNATURE });
    return function;
}
