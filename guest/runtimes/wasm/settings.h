/* What the host sets for a module: arguments, environment, files. Layout: udfvm/functions/wasm.py.
 */
#ifndef UDFVM_WASM_SETTINGS_H
#define UDFVM_WASM_SETTINGS_H

#include "shared/compiled/program.h"

#define SETTINGS_FOLDER "/tmp/preopened" /* where the files are */

struct settings {
    size_t argument_count, variable_count;
    const char **arguments, **names,
        **values;         /* NUL-terminated; arguments with room for MAX_PARAMETERS more */
    const uint8_t *batch; /* an Arrow IPC file with one row of arguments; in the request */
    size_t batch_length;
    bool files;    /* there are some, in the folder */
    bool compiled; /* the code is what runtime_compile() made of it */
};

/* Copies them out of the request, and writes the files. false with a failure. */
bool settings_take(struct settings *settings, const struct load *load);
void settings_free(struct settings *settings);

#endif
