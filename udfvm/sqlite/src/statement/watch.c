/* Interrupting long calls: by sqlite3_interrupt, by a progress handler, or by the statement's
 * timeout. */
#include <stdatomic.h>
#include <time.h>

#include "statement/session.h"

#define FORK_WAIT_NS  300000000u /* the longest wait of a fork for pulses of other threads */
#define FORK_SLEEP_NS 100000

/* SQLite calls its progress handler, and checks for an interrupt, only while it runs a statement.
 * It runs none while a function waits for its VM. So the watch runs a short one, the pulse, of some
 * thousand virtual instructions. It is kept for the length of a call, because a statement counts
 * its instructions from run to run, and handlers may want to be called seldom. */
#define PULSE                                                                                     \
    "/* udfvm watches for interrupts */ WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 " \
    "FROM n LIMIT 500) SELECT count(*) FROM n"

/* A pulse takes locks of SQLite that the whole process shares, such as that of its allocator. A
 * child that is forked meanwhile would find them held for ever, although its parent's threads seem
 * only to wait for their functions. So a fork waits for pulses that have begun, for a limited time
 * (a progress handler may wait for the forking thread itself), and none begins meanwhile. */
static atomic_int pulses, forks;
static _Thread_local int own_pulses; /* a progress handler may fork */

static bool begin_pulse(void)
{
    atomic_fetch_add(&pulses, 1);
    own_pulses++;
    return atomic_load(&forks) == 0;
}

static void end_pulse(void)
{
    own_pulses--;
    atomic_fetch_sub(&pulses, 1);
}

void watch_before_fork(void)
{
    const struct timespec sleep = { .tv_nsec = FORK_SLEEP_NS };
    const uint64_t until = udfvm_monotonic_ns() + FORK_WAIT_NS;
    atomic_fetch_add(&forks, 1);
    while (atomic_load(&pulses) > own_pulses && udfvm_monotonic_ns() < until)
        nanosleep(&sleep, NULL);
}

void watch_in_parent(void)
{
    atomic_fetch_sub(&forks, 1);
}

void watch_in_child(void)
{
    atomic_store(&pulses, own_pulses);
    atomic_store(&forks, 0);
}

static bool run_pulse(struct session *session)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    sqlite3 *connection = session->function->registry->connection;
    if (!session->pulse &&
        sqlite3_prepare_v2(connection, PULSE, -1, &session->pulse, NULL) != SQLITE_OK)
        return connection_interrupted(sqlite3_api, connection); /* an authorizer may refuse it */
    while (sqlite3_step(session->pulse) == SQLITE_ROW)
        ;
    return sqlite3_reset(session->pulse) == SQLITE_INTERRUPT;
}

static bool pulse_interrupted(struct session *session)
{
    const bool interrupted = begin_pulse() && run_pulse(session);
    end_pulse();
    return interrupted;
}

int watch(void *context)
{
    struct session *session = context;
    if (udfvm_monotonic_ns() >= session->end_ns)
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
