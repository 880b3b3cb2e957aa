/* The host's settings for a module: arguments, environment and files. Layout:
 * udfvm/functions/wasm.py. */
#ifndef UDFVM_WASM_SETTINGS_H
#define UDFVM_WASM_SETTINGS_H

#include "shared/compiled/program.h"
#include "wasm/link_settings.h"

#define SETTINGS_FOLDER "/tmp/preopened" /* the folder of the files */
#define SCRATCH_FOLDER  "/tmp/scratch"   /* what the module may write as /tmp */
#define DATA_FOLDER     "/data"          /* files that the function was given, if any */

struct settings {
    size_t argument_count, variable_count;
    const char **arguments, **names,
        **values;         /* NUL-terminated; arguments have capacity for MAX_PARAMETERS more */
    const uint8_t *batch; /* an Arrow IPC file with one row of arguments; it lies in the request */
    size_t batch_length;
    struct link_settings link;
    bool files;    /* there are files in the folder */
    bool writable; /* the module may write the files, and make others beside them */
    bool yields;   /* the function is declared a table function */
    bool compiled; /* the code is a result of runtime_compile() */
};

/* Copies the settings from the request, and writes the files. Returns false with a failure. */
bool settings_take(struct settings *settings, const struct load *load);
void settings_free(struct settings *settings);

#endif
