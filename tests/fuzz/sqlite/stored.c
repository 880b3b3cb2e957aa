/* What SQL passes to vm_create, vm_drop, vm_policy, vm_udf and the tables, and what a stranger's
 * database has in the table of stored functions. The fields of an input lie between bytes of 255.
 */
#include <stdlib.h>
#include <string.h>

#include "udfvm_abi.h"

#include "sql.h"

#define MAX_STEPS      20000 /* of SQLite: a query may have no end */
#define OWN_STATEMENTS 3u    /* of a connection without an offer, whose policy SQL sets */

static const char *const queries[] = {
    "SELECT vm_policy(?1)",
    "SELECT vm_policy(?1, ?2)",
    "SELECT vm_create(?1, ?2, ?3, ?4)",
    "SELECT vm_create(?1, ?2, ?3, ?4, ?5)",
    "SELECT vm_create(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    "INSERT OR REPLACE INTO udfvm_functions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    "SELECT vm_drop(?1)",
    "SELECT vm_udf(?1, ?2, ?3)",
    "SELECT * FROM vm_map(?1, ?2)",
    "SELECT * FROM vm_functions",
    "SELECT vm_expr(?1, ?2, ?3), vm_expr(?1, ?3), vm_expr(?2, ?1)",
};
#define QUERIES (sizeof queries / sizeof *queries)

static sqlite3 *own, *offered;
static sqlite3_stmt *statements[QUERIES], *of_stored, *begin, *rollback, *release;

static int stop(void *unused)
{
    (void)unused;
    return 1;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    setenv("UDFVM_CACHE", "/nonexistent/udfvm", 1);
    own = sql_open(false);
    offered = sql_open(true);
    if (sqlite3_exec(offered,
                     "SELECT vm_create('s', 'python', 'def s(x): return x', '(int) -> int')", NULL,
                     NULL, NULL) != SQLITE_OK)
        defect(sqlite3_errmsg(offered));
    for (size_t i = 0; i < QUERIES; i++)
        statements[i] = sql_prepare(i < OWN_STATEMENTS ? own : offered, queries[i]);
    of_stored = sql_prepare(offered, "SELECT vm_udf(name, 1), vm_udf(name, 'x') FROM "
                                     "udfvm_functions LIMIT 2");
    begin = sql_prepare(offered, "BEGIN");
    rollback = sql_prepare(offered, "ROLLBACK");
    release = sql_prepare(offered, "SELECT vm_release()");
    return 0;
}

static void bind_fields(sqlite3_stmt *statement, const uint8_t *at, size_t left)
{
    const int count = sqlite3_bind_parameter_count(statement);
    for (int index = 1; index <= count; index++) {
        const uint8_t *end = left ? memchr(at, 255, left) : NULL;
        const size_t length = end ? (size_t)(end - at) : left, taken = end ? length + 1 : length;
        sql_bind(statement, index, at, length);
        at += taken;
        left -= taken;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct udfvm_value one = { .type = UDFVM_TYPE_INT64, .integer = 1 };
    struct input input = { data, size };
    sqlite3_stmt *statement = statements[input_byte(&input) % QUERIES];
    sqlite3 *connection = sqlite3_db_handle(statement);
    guest = (struct guest){ .kind = GUEST_COMPLETES,
                            .replies = 8,
                            .input = { (const uint8_t *)&one, sizeof one } };
    if (connection == offered)
        sql_run(begin, 1);
    bind_fields(statement, input.at, input.left);
    sqlite3_progress_handler(connection, MAX_STEPS, stop, NULL);
    sql_run(statement, 16);
    sqlite3_progress_handler(connection, 0, NULL, NULL);
    sqlite3_clear_bindings(statement);
    if (connection == offered) {
        sql_run(of_stored, 2);
        sql_run(rollback, 1);
        sql_run(release, 1);
    }
    return 0;
}
