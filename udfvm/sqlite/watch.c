/* During a long call: whether the statement is to be interrupted, by sqlite3_interrupt, by a progress handler, or by its own timeout. */
#include <time.h>

#include "internal.h"

/* SQLite asks its progress handler, and looks for an interrupt, while it runs a statement, and it is not running one while a function waits for
 * its VM. So the watch runs a little one, of some thousand virtual instructions. It is kept for the length of a call, because a statement
 * counts its instructions from run to run, and handlers may want to be called seldom. */
#define PULSE "/* udfvm watches for interrupts */ WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) SELECT count(*) FROM n"

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool pulse_interrupted(struct session *session)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    sqlite3 *connection = session->function->registry->connection;
    if (!session->pulse && sqlite3_prepare_v2(connection, PULSE, -1, &session->pulse, NULL) != SQLITE_OK)
        return connection_interrupted(sqlite3_api, connection);  /* an authorizer may refuse it */
    while (sqlite3_step(session->pulse) == SQLITE_ROW)
        ;
    return sqlite3_reset(session->pulse) == SQLITE_INTERRUPT;
}

int watch(void *context)
{
    struct session *session = context;
    if (monotonic_ns() >= session->end_ns)
        session->watched = WATCH_STATEMENT_TIMEOUT;
    else if (pulse_interrupted(session))
        session->watched = WATCH_INTERRUPT;
    return session->watched != WATCH_NOTHING;
}

void watch_end(struct session *session)
{
    if (!session->pulse)
        return;
    sqlite_library *sqlite3_api = session->function->registry->library;
    sqlite3_finalize(session->pulse);
    session->pulse = NULL;
}
