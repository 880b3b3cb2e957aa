/* The reply to LIST: what functions some code has. */
#ifndef UDFVM_COMPILED_LISTING_H
#define UDFVM_COMPILED_LISTING_H

#include "shared/compiled/program.h"

/* Appends a function with its signature, or one whose signature the code does not say (NULL).
 * `note` is its kind. */
void listing_function(struct bytes *list, const char *name, size_t length,
                      const struct signature *signature, bool table, const char *note);
/* Appends a function that cannot be used, for the reason that is the current failure. */
void listing_unusable(struct bytes *list, const char *name, size_t length);
/* Appends an import. `note`: who provides it; "" for nobody. */
void listing_import(struct bytes *list, const struct bytes *name, const struct bytes *type,
                    const char *note);

#endif
