/* Offers of the embedder: see extension.h. */
#ifndef UDFVM_SQLITE_OFFER_H
#define UDFVM_SQLITE_OFFER_H

#include "connection/registry.h"

/* Returns this thread's offer; NULL if there is none. */
const struct udfvm_sqlite_offer *offer_current(void);
/* Gives a connection all that is offered, or nothing, except after an error of SQLite itself.
 * `index` is the number of its copy of SQLite. Returns SQLITE_OK, or another code with *error. */
int offer_take(struct function_registry *registry, int index,
               const struct udfvm_sqlite_offer *offered, char **error);
/* Sets the reason of a refusal, besides the error. */
void offer_refuse(const struct udfvm_sqlite_offer *offered, uint32_t reason, size_t index);
/* Sets the error of loading the extension. `name` may be NULL. Returns the code. */
int offer_fail(sqlite_library *library, char **error, int code, const char *why, const char *name);

#endif
