/* Replies of one value, and reports of errors, as rows of SQL get them; and values of SQL as
 * arguments. */
#include "sql.h"

#include "udfvm_abi.h"

static sqlite3_stmt *statements[SQL_FUNCTIONS], *takers[SQL_TAKERS];

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    sqlite3 *connection = sql_open(true);
    for (unsigned i = 0; i < SQL_FUNCTIONS; i++) {
        char *text = sqlite3_mprintf("SELECT %s(1), %s(2)", sql_functions[i], sql_functions[i]);
        statements[i] = sql_prepare(connection, text);
        sqlite3_free(text);
    }
    for (unsigned i = 0; i < SQL_TAKERS; i++) {
        const bool last = i == SQL_TAKERS - 1;
        char *text = sqlite3_mprintf(last ? "SELECT %s(), %s(?1)" : "SELECT %s(?1), %s(?1)",
                                     sql_takers[i], sql_takers[i]);
        takers[i] = sql_prepare(connection, text);
        sqlite3_free(text);
    }
    return 0;
}

static void pass_value(sqlite3_stmt *statement, struct input input)
{
    guest = (struct guest){ .kind = GUEST_COMPLETES };
    sql_bind(statement, 1, input.at, input.left);
    sql_run(statement, 1);
    sqlite3_clear_bindings(statement);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    const uint8_t first = input_byte(&input), which = first % SQL_FUNCTIONS;
    if (first >= 256 - SQL_TAKERS) {
        pass_value(takers[255 - first], input);
        return 0;
    }
    const uint8_t status = input_byte(&input);
    guest = (struct guest){
        .kind = GUEST_COMPLETES, .status = status % 4, .replies = 2, .input = input
    };
    sql_run(statements[which], 1);
    return 0;
}
