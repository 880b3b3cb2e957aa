/* Output of functions if no program sets a sink. It goes to the standard error of the process, made
 * fit to be shown: the standard output of a shell is for its results. */
#include <stdio.h>
#include <stdlib.h>

#include "connection/registry.h"

#define MAX_CHARACTER 6u /* bytes of the visible form, for one byte */

static int to_standard_error(void *context, const struct udfvm_log *log, int failed, char *failure)
{
    (void)context, (void)failed, (void)failure;
    const size_t length = log->length - log->given, capacity = MAX_CHARACTER * length + 1;
    char *visible = length ? malloc(capacity) : NULL;
    if (!visible)
        return 0;
    const char *text = log->text + log->given;
    fwrite(visible, 1, udfvm_visible_text(text, length, "\n\t", visible, capacity), stderr);
    free(visible);
    return 0;
}

const struct udfvm_log_sink log_standard_error = { .take = to_standard_error };
