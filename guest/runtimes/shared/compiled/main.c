/* The program that runs in a micro-VM of compiled code. It starts once, loads one function, and
 * answers its calls. The runtime of each language defines runtime_prepare() and runtime_load().
 *
 * The base image is this program at its first seal. COMPILE does slow work ahead, once for all
 * functions of some code. DESCRIBE returns the signature of a function, LIST names all of them.
 * LOAD loads it and seals again: that is the UDF's layer.
 */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/column_stream.h"
#include "shared/compiled/crash.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/program.h"

static struct program program;

/* Answers LIST. What does not fit into the output window is only counted. */
static bool answer_list(const struct load *load, uint64_t capacity, uint64_t *length)
{
    struct bytes list = { 0 };
    const bool listed = runtime_list(load, &list);
    *length = list.length;
    if (listed && list.length > 0 && list.length <= capacity)
        memcpy((void *)UDFVM_OUTPUT_BASE, list.at, list.length);
    bytes_free(&list);
    return listed;
}

/* Answers DESCRIBE, LIST and COMPILE. Returns true if the reply is written. */
static bool answer(const struct load *load, uint64_t *length)
{
    struct signature found;
    const struct udfvm_call *call = exchange_call();
    if (call->request == UDFVM_REQUEST_COMPILE)
        return runtime_compile(load, (uint8_t *)UDFVM_OUTPUT_BASE, call->output_size, length);
    if (call->request == UDFVM_REQUEST_LIST)
        return answer_list(load, call->output_size, length);
    program.signature = load->signature;
    if (!runtime_load(&program, load, &found))
        return false;
    if (load->declared && !program_agrees(&load->signature, &found, program.table))
        return false;
    return program_describe(&program, &found, length);
}

/* Prepares a function that answers in columns. Returns false with a failure. */
static bool prepare_columns(const struct load *load)
{
    if (load->result_schema_length == 0)
        return failure_set("TypeError",
                           "%s is %s, and a database stores scalar functions only: register it "
                           "from Python, or seal it",
                           load->name, program.table ? "a table function" : "an aggregate");
    return column_streams_prepare(&program, load);
}

/* The image must not hold memory that only loading needed. */
static void heap_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

/* Answers LOAD. Returns only on failure. */
static void load_and_serve(const struct load *load)
{
    struct signature found;
    program.signature = load->signature;
    if (!program_set_format(&program, load) || !runtime_load(&program, load, &found))
        return;
    if (!program_agrees(&load->signature, &found, load_is_for_rows(load)))
        return;
    program.signature = found; /* the code's own signature is exact */
    if ((program.table || program.aggregate) && !prepare_columns(load))
        return;
    if (!program.heap_is_closed)
        heap_trim();
    program_serve(&program);
}

int main(int count, char **arguments)
{
    struct load load;
    uint64_t length;
#ifdef __GLIBC__
    mallopt(M_MXFAST, 0); /* fast bins of malloc scatter writes, and each written page is restored
                             after the call */
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
#endif
    setvbuf(stdout, NULL, _IONBF, 0); /* whatever is printed belongs to its call */
    crash_install();
    if (!runtime_prepare(count, arguments)) {
        fprintf(stderr, "%s\n", failure_message());
        return EXIT_FAILURE;
    }
    exchange_seal();
    for (;;) {
        bool answered = false;
        if (program_load(&load)) {
            if (exchange_call()->request == UDFVM_REQUEST_LOAD)
                load_and_serve(&load);
            else
                answered = answer(&load, &length);
        }
        if (!answered)
            failure_add_refusal();
        exchange_complete(answered ? (struct answer){ UDFVM_STATUS_OK, length }
                                   : (struct answer){ UDFVM_STATUS_ERROR, failure_reply(-1) });
    }
}
