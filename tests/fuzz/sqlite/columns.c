/* Column batches: replies to vm_map, table functions and aggregates, windows among these. */
#include "sql.h"

#include "udfvm_abi.h"

#define WAYS        (SQL_FUNCTIONS + 5u)
#define MAX_REPLIES 4u
#define MAX_ROWS    64u

static sqlite3_stmt *statements[WAYS];

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    static const char *const others[] = {
        "SELECT * FROM t(1)",
        "SELECT a(value) FROM json_each('[1,2,3]')",
        "SELECT a(value) OVER (ORDER BY value ROWS 1 PRECEDING) FROM json_each('[1,2,3,4]')",
        ("SELECT * FROM vm_map('f_int', 'SELECT column1, 1 FROM (VALUES (1), (2.5), (''a''), "
         "(x''00''), (NULL))')"),
        "SELECT * FROM vm_map('p_text', 'SELECT 1, value FROM json_each(''[\"x\",\"yy\"]'')')",
    };
    sqlite3 *connection = sql_open(true);
    for (unsigned i = 0; i < SQL_FUNCTIONS; i++) {
        char *text = sqlite3_mprintf("SELECT * FROM vm_map('%s', 'SELECT key, value FROM "
                                     "json_each(''[1,2,3]'')')",
                                     sql_functions[i]);
        statements[i] = sql_prepare(connection, text);
        sqlite3_free(text);
    }
    for (unsigned i = 0; i < WAYS - SQL_FUNCTIONS; i++)
        statements[SQL_FUNCTIONS + i] = sql_prepare(connection, others[i]);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    const uint8_t which = input_byte(&input) % WAYS, how = input_byte(&input);
    guest = (struct guest){ .kind = GUEST_COMPLETES,
                            .status = how >> 6,
                            .replies = 1 + how % MAX_REPLIES,
                            .input = input };
    sql_run(statements[which], MAX_ROWS);
    return 0;
}
