/* A program without Python in which each allocation of SQLite fails in its turn, as in SQLite's own
 * tests: once, or (with "on") from then on.
 *
 * allocations EXTENSION [on]. Loads the extension, and runs statements. Whatever fails, the error
 * is SQLITE_NOMEM or has a text, or nothing was wrong and the rows are right; no memory of SQLite
 * and no descriptor is lost, the database is whole, and the same statements succeed afterwards.
 * Prints how many allocations failed in each part.
 */
#include <dirent.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) "

static sqlite3_mem_methods usual;
static long left = -1; /* allocations that succeed before one fails; -1: none fails */
static bool failed, goes_on;

static bool fails(void)
{
    if (failed)
        return goes_on && left >= 0;
    if (left < 0 || left-- > 0)
        return false;
    left = 0;
    failed = true;
    return true;
}

static void *allocate(int size)
{
    return fails() ? NULL : usual.xMalloc(size);
}

static void *reallocate(void *old, int size)
{
    return fails() ? NULL : usual.xRealloc(old, size);
}

static void die(const char *what, long step, const char *why)
{
    printf("%s, allocation %ld: %s\n", what, step, why ? why : "?");
    exit(1);
}

/* ---- What is done ---- */

static const struct statement {
    const char *sql, *expected; /* the last column of the last row */
} statements[] = {
    { "SELECT vm_udf('allocated', 20)", "21" },
    { "INSERT INTO kept " ROWS "SELECT vm_udf('allocated', i) FROM n", NULL },
    { "SELECT sum(value) FROM vm_map('allocated', '" ROWS "SELECT i, i FROM n')", "495" },
    { "SELECT vm_udf('texts', 'abc')", "cba" },
    { "SELECT count(*) FROM vm_functions WHERE name = 'allocated'", "1" },
    { "SELECT vm_policy('row_timeout', 5)", NULL },
    { "SELECT vm_create('stored', 'python', 'def stored(x): return x + 1', '(int) -> int', "
      "'replace')",
      NULL },
    { "SELECT vm_udf('stored', 20)", "21" },
};
#define STATEMENTS (sizeof statements / sizeof *statements)

/* True if all of it succeeded. */
static bool run(sqlite3 *connection, const struct statement *one, long step)
{
    sqlite3_stmt *statement = NULL;
    char last[64] = "";
    int code = sqlite3_prepare_v2(connection, one->sql, -1, &statement, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(statement,
                                                        sqlite3_column_count(statement) - 1);
        if (text)
            snprintf(last, sizeof last, "%s", text);
        code = text || !failed ? SQLITE_OK : SQLITE_NOMEM;
    }
    const bool done = code == SQLITE_DONE;
    if (!done && (!failed || strlen(sqlite3_errmsg(connection)) < 5))
        die(one->sql, step, sqlite3_errmsg(connection));
    if (done && one->expected && strcmp(last, one->expected) != 0)
        die(one->sql, step, last);
    sqlite3_finalize(statement);
    return done;
}

static sqlite3 *opened(const char *extension, long step)
{
    sqlite3 *connection = NULL;
    char *error = NULL;
    if (sqlite3_open(":memory:", &connection) == SQLITE_OK &&
        sqlite3_db_config(connection, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL) ==
            SQLITE_OK) {
        if (sqlite3_load_extension(connection, extension, NULL, &error) == SQLITE_OK &&
            sqlite3_exec(connection, "CREATE TABLE kept(a)", NULL, NULL, NULL) == SQLITE_OK)
            return connection;
    }
    if (!failed)
        die("loading", step, error ? error : sqlite3_errmsg(connection));
    sqlite3_free(error);
    if (sqlite3_close(connection) != SQLITE_OK)
        die("loading", step, "a connection that failed cannot be closed");
    return NULL;
}

/* ---- Every allocation ---- */

static int count_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void arm(long step)
{
    failed = false;
    left = step;
}

static long fail_while_loading(const char *extension)
{
    sqlite3_close(opened(extension, -1)); /* what is made once is there */
    const sqlite3_int64 memory = sqlite3_memory_used();
    const int descriptors = count_descriptors();
    long step = 0;
    for (bool more = true; more; step++) {
        arm(step);
        sqlite3 *connection = opened(extension, step);
        more = failed;
        left = -1;
        failed = false;
        if (connection)
            run(connection, &statements[0], step);
        sqlite3_close(connection);
        if (sqlite3_memory_used() != memory)
            die("loading", step, "memory is lost");
        if (count_descriptors() != descriptors)
            die("loading", step, "descriptors are lost");
    }
    return step;
}

static long fail_in_statement(sqlite3 *connection, const struct statement *one)
{
    long step = 0;
    for (bool more = true; more; step++) {
        arm(step);
        run(connection, one, step);
        more = failed;
        left = -1;
        failed = false;
        if (!run(connection, one, step))
            die(one->sql, step, "fails afterwards");
    }
    return step;
}

/* Numbers of rows are multiples of 30: a statement that failed inserted none. */
static void check_database(sqlite3 *connection)
{
    const struct statement whole = { "PRAGMA integrity_check", "ok" },
                           all = { "SELECT count(*) % 30 = 0 AND count(*) > 30 FROM kept", "1" };
    run(connection, &whole, -1);
    run(connection, &all, -1);
}

int main(int count, char **arguments)
{
    if (count < 2)
        return 2;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual);
    sqlite3_mem_methods wrapped = usual;
    wrapped.xMalloc = allocate;
    wrapped.xRealloc = reallocate;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &wrapped);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* every allocation is one of these */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 1);
    sqlite3_initialize();
    goes_on = count > 2;
    printf("loading: %ld\n", fail_while_loading(arguments[1]));
    const sqlite3_int64 memory = sqlite3_memory_used();
    sqlite3 *connection = opened(arguments[1], -1);
    for (size_t i = 0; i < STATEMENTS; i++)
        run(connection, &statements[i], -1);
    for (size_t i = 0; i < STATEMENTS; i++)
        printf("%s: %ld\n", statements[i].sql, fail_in_statement(connection, &statements[i]));
    check_database(connection);
    if (sqlite3_close(connection) != SQLITE_OK || sqlite3_memory_used() != memory)
        die("closing", 0, "memory is lost");
    return 0;
}
