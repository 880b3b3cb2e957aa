/* Failures as exceptions of the program that embeds SQLite: see struct udfvm_sqlite_failures.
 *
 * A pending exception takes precedence over the SQL error of the same failure. Until the program has it, SQLite still ends the statement,
 * and asks aggregates for their values in doing so: nothing of the program's may run then.
 */
#include "internal.h"

static void make_pending(const struct session *session, const char *text, const struct udfvm_reply *reply, const struct udfvm_error *error)
{
    const struct lease *lease = session->function->lease;
    const struct udfvm_sqlite_failure failure = { .function = session->function->name, .text = text, .row = session->row,
                                                  .report = reply ? reply->data : NULL, .report_length = reply ? reply->length : 0,
                                                  .error = error };
    struct udfvm_sqlite_exception exception = { NULL, NULL };
    int state = lease->interrupt.enter();
    if (!lease->failures.pending() && lease->failures.failed(&failure, &exception)) {
        lease->failures.restore(exception.type, exception.value, NULL);
        session->function->registry->raised = true;
    }
    lease->interrupt.leave(state);
}

void raise_interrupt(const struct session *session, const struct udfvm_error *error)
{
    const struct lease *lease = session->function->lease;
    if (session->watched == WATCH_INTERRUPT || !lease)
        return;                                          /* it was SQLite that interrupted */
    if (lease->failures.failed) {
        make_pending(session, NULL, NULL, error);
    } else if (lease->interrupt.raise) {
        int state = lease->interrupt.enter();
        lease->interrupt.raise(lease->interrupt.exception);
        lease->interrupt.leave(state);
    }
}

void raise_failure(const struct session *session, const char *text, const struct udfvm_reply *reply, const struct udfvm_error *error)
{
    const struct lease *lease = session->function->lease;
    if (text && lease && lease->failures.failed)
        make_pending(session, text, reply, error);
}

bool exception_pending(const struct session *session)
{
    struct registry *registry = session->function->registry;
    const struct lease *lease = session->function->lease;
    if (!registry->raised || !lease || !lease->failures.failed)
        return false;
    int state = lease->interrupt.enter();
    registry->raised = lease->failures.pending() != NULL;
    lease->interrupt.leave(state);
    return registry->raised;
}
