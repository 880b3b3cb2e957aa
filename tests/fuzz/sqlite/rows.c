/* Replies of one value, and reports of errors, as rows of SQL get them. */
#include "sql.h"

#include "udfvm_abi.h"

static sqlite3_stmt *statements[SQL_FUNCTIONS];

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    sqlite3 *connection = sql_open(true);
    for (unsigned i = 0; i < SQL_FUNCTIONS; i++) {
        char *text = sqlite3_mprintf("SELECT %s(1), %s(2)", sql_functions[i], sql_functions[i]);
        statements[i] = sql_prepare(connection, text);
        sqlite3_free(text);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    const uint8_t which = input_byte(&input) % SQL_FUNCTIONS, status = input_byte(&input);
    guest = (struct guest){
        .kind = GUEST_COMPLETES, .status = status % 4, .replies = 2, .input = input
    };
    sql_run(statements[which], 1);
    return 0;
}
