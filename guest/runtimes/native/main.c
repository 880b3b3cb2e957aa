/* The program that runs in a native micro-VM: starts once, loads one shared object, answers the calls of one of its functions.
 *
 * The base image is this program at its first seal. DESCRIBE asks what signature a function has; LOAD loads it and seals again: that is the
 * UDF's layer. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>

#include "crash.h"
#include "failure.h"
#include "function.h"

static struct program program;

/* DESCRIBE: true where the reply is written. */
static bool describe(const struct load *load, uint64_t *length)
{
    struct signature found;
    if (!function_load(&program, load, &found))
        return false;
    if (found.count == SIZE_MAX) {
        failure_set("TypeError", "%s does not say what its parameters are: pass signature=, or define it with UDFVM_SCALAR of udfvm.h", load->name);
        return false;
    }
    *length = program_describe(&found);
    return true;
}

/* LOAD. Returns only where it failed. */
static void load_and_serve(const struct load *load)
{
    struct signature found;
    program.signature = load->signature;
    if (!program_set_format(&program, load) || !function_load(&program, load, &found))
        return;
    if (found.count != SIZE_MAX && !program_agrees(&load->signature, &found))
        return;
    program_serve(&program);
}

int main(void)
{
    struct load load;
    uint64_t length;
    mallopt(M_MXFAST, 0);                        /* fast bins scatter writes, and each page written is put back after the call */
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    setvbuf(stdout, NULL, _IONBF, 0);            /* whatever is printed belongs to its call */
    crash_install();
    program_seal();
    for (;;) {
        bool described = false;
        if (program_load(&load)) {
            if (program_call()->request == UDFVM_REQUEST_LOAD)
                load_and_serve(&load);
            else
                described = describe(&load, &length);
        }
        program_complete(described ? UDFVM_STATUS_OK : UDFVM_STATUS_ERROR, described ? length : failure_reply(-1));
    }
}
