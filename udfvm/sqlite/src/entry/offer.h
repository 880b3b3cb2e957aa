/* Offers of the embedder: see extension.h. */
#ifndef UDFVM_SQLITE_OFFER_H
#define UDFVM_SQLITE_OFFER_H

#include "connection/registry.h"

/* This thread's offer; NULL: there is none. */
const struct udfvm_sqlite_offer *offer_current(void);
/* Gives a connection what is offered, all of it or nothing, but for an error of SQLite's own.
 * `index` is that of its library. SQLITE_OK, or another code with *error. */
int offer_take(struct function_registry *registry, int index,
               const struct udfvm_sqlite_offer *offered, char **error);
/* Says why the offer is refused, beside the error. */
void offer_refuse(const struct udfvm_sqlite_offer *offered, uint32_t reason, size_t index);
/* The error of loading the extension; `name` may be NULL. Returns the code. */
int offer_fail(sqlite_library *library, char **error, int code, const char *why, const char *name);

#endif
