/* Failures as exceptions of the program that embeds SQLite: see struct udfvm_sqlite_failures.
 *
 * A pending exception takes precedence over the SQL error of the same failure. Until the program
 * has it, SQLite still ends the statement, and asks aggregates for their values in doing so:
 * nothing of the program's may run then.
 */
#include "internal.h"

static void make_pending(struct registry *registry, const struct udfvm_sqlite_failure *failure)
{
    const struct lease *lease = registry->embedder;
    struct udfvm_sqlite_exception exception = { NULL, NULL };
    int state = lease->interrupt.enter();
    if (!lease->failures.pending() && lease->failures.failed(failure, &exception)) {
        lease->failures.restore(exception.type, exception.value, NULL);
        registry->raised = true;
    }
    lease->interrupt.leave(state);
}

void raise_interrupt(const struct session *session, const struct udfvm_error *error)
{
    struct registry *registry = session->function->registry;
    const struct lease *lease = registry->embedder;
    if (session->watched == WATCH_INTERRUPT || !lease)
        return; /* it was SQLite that interrupted */
    if (lease->failures.failed) {
        make_pending(registry, &(struct udfvm_sqlite_failure){ .function = session->function->name,
                                                               .row = session->row,
                                                               .error = error });
    } else if (lease->interrupt.raise) {
        int state = lease->interrupt.enter();
        lease->interrupt.raise(lease->interrupt.exception);
        lease->interrupt.leave(state);
    }
}

void raise_failure(struct registry *registry, const struct udfvm_sqlite_failure *failure)
{
    if (registry->embedder && registry->embedder->failures.failed)
        make_pending(registry, failure);
}

bool exception_pending(const struct session *session)
{
    struct registry *registry = session->function->registry;
    const struct lease *lease = registry->embedder;
    if (!registry->raised || !lease || !lease->failures.failed)
        return false;
    int state = lease->interrupt.enter();
    registry->raised = lease->failures.pending() != NULL;
    lease->interrupt.leave(state);
    return registry->raised;
}
