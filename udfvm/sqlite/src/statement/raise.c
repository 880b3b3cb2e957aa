/* Failures as exceptions of the program that embeds SQLite: see struct udfvm_sqlite_failures.
 *
 * A pending exception takes precedence over the SQL error of the same failure. Before the program
 * gets it, SQLite still ends the statement, and asks aggregates for their values: no code of the
 * program may run then.
 */
#include "statement/report.h"

static void make_pending(struct function_registry *registry,
                         const struct udfvm_sqlite_failure *failure)
{
    const struct embedder *embedder = registry->embedder;
    struct udfvm_sqlite_exception exception = { NULL, NULL };
    int state = embedder->interrupt.enter();
    if (!embedder->failures.pending() && embedder->failures.failed(failure, &exception)) {
        embedder->failures.restore(exception.type, exception.value, NULL);
        registry->raised = true;
    }
    embedder->interrupt.leave(state);
}

void raise_interrupt(const struct session *session, const struct udfvm_error *error)
{
    struct function_registry *registry = session->function->registry;
    const struct embedder *embedder = registry->embedder;
    if (session->watched == WATCH_INTERRUPT || !embedder)
        return; /* SQLite itself interrupted it */
    if (embedder->failures.failed) {
        make_pending(registry, &(struct udfvm_sqlite_failure){ .function = session->function->name,
                                                               .row = session->row,
                                                               .error = error });
    } else if (embedder->interrupt.raise) {
        int state = embedder->interrupt.enter();
        embedder->interrupt.raise(embedder->interrupt.exception);
        embedder->interrupt.leave(state);
    }
}

void raise_failure(struct function_registry *registry, const struct udfvm_sqlite_failure *failure)
{
    if (registry->embedder && registry->embedder->failures.failed)
        make_pending(registry, failure);
}

bool exception_pending(const struct session *session)
{
    struct function_registry *registry = session->function->registry;
    const struct embedder *embedder = registry->embedder;
    if (!registry->raised || !embedder || !embedder->failures.failed)
        return false;
    int state = embedder->interrupt.enter();
    registry->raised = embedder->failures.pending() != NULL;
    embedder->interrupt.leave(state);
    return registry->raised;
}
