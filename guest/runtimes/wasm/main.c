/* The runtime for Wasm modules: libwasmtime, which parses, checks and compiles them. Its path is the program's argument. */
#include "failure.h"
#include "module.h"
#include "numbers.h"

bool runtime_prepare(int count, char **arguments)
{
    if (count != 2) {
        failure_set("ValueError", "the argument is the path of libwasmtime");
        return false;
    }
    if (!wasmtime_open(arguments[1]))
        return false;
    engine_prepare();
    return true;
}

bool runtime_load(struct program *program, const struct load *load, struct signature *found)
{
    struct module module;
    if (!module_open(&module, load))
        return false;
    if (numbers_prepare(program, load, &module, found))
        return true;
    module_close(&module);
    return false;
}
