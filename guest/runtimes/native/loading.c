/* Loads shared objects, which the C library links into this process, and programs: see
 * executable.h. */
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "native/executable.h"
#include "shared/compiled/failure.h"
#include "native/function.h"
#include "native/host_calls.h"
#include "shared/compiled/listing.h"
#include "shared/compiled/symbols.h"

/* The names in crash reports. */
#define OBJECT_PATH  "/tmp/udf.so"
#define PROGRAM_PATH "/tmp/udf"

#define DESCRIBED "udfvm_function_" /* the description of a function has this before its name */

#define NO_FUNCTION \
    "neither UDFVM_SCALAR nor UDFVM_VECTOR, UDFVM_AGGREGATE or UDFVM_TABLE defines it"

#define SETTLING_TURNS 100 /* turns for every thread that can run */

static bool write_file(const char *path, const struct load *load)
{
    const int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    size_t written = 0;
    while (descriptor >= 0 && written < load->code_length) {
        const ssize_t count = write(descriptor, load->code + written, load->code_length - written);
        if (count <= 0)
            break;
        written += (size_t)count;
    }
    if (descriptor >= 0)
        close(descriptor);
    if (descriptor >= 0 && written == load->code_length)
        return true;
    return failure_set("MemoryError",
                       "the object, %zu bytes, does not fit the micro-VM's memory: raise memory=",
                       load->code_length);
}

/* Creating a file asks the host about its name, which a call without access to the host's files
 * cannot do. So both files are created before the seal. */
static bool make_file(const char *path)
{
    const int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    if (descriptor >= 0)
        close(descriptor);
    else
        failure_set("OSError", "a file cannot be created in /tmp");
    return descriptor >= 0;
}

/* Loads the libraries that objects are most often linked with. A call without access to the host's
 * files can load an object only if all of its libraries are loaded. */
bool runtime_prepare(int count, char **arguments)
{
    static const char *const libraries[] = { "libm.so.6", "libgcc_s.so.1" };
    (void)count, (void)arguments;
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL); /* if it does not exist, no object needs it */
    return make_file(OBJECT_PATH) && make_file(PROGRAM_PATH);
}

/* ---- Sanitizers: their runtimes reserve terabytes, or take over memory and threads ---- */

static const char *const sanitizer_symbols[] = { "__asan_init", "__hwasan_init",
                                                 "__msan_init", "__dfsan_retval_tls",
                                                 "__tsan_init", "__lsan_init" };
static const char *const sanitizers[] = { "address",  "hwaddress", "memory",
                                          "dataflow", "thread",    "leak" };

static bool refuse_sanitizer(const char *sanitizer)
{
    return failure_set("ImportError",
                       "the file is built with -fsanitize=%s, whose runtime needs more addresses "
                       "than a micro-VM has: build it without, or with -fsanitize=undefined",
                       sanitizer);
}

static bool has_no_sanitizer(const char *path)
{
    const size_t count = sizeof sanitizers / sizeof *sanitizers;
    const size_t found = symbol_first_of(path, sanitizer_symbols, count);
    return found == count || refuse_sanitizer(sanitizers[found]);
}

/* ---- Loading ---- */

/* A function without a description: the host must declare its signature. */
static bool load_c_function(struct program *program, const struct load *load, void *address,
                            struct signature *found)
{
    *found = load->signature;
    if (load->declared)
        return c_function_prepare(program, address);
    return failure_set(
        "TypeError",
        "%s does not say what its parameters are: pass signature=, or define it with "
        "UDFVM_SCALAR of udfvm.h",
        load->name);
}

static void *open_object(void)
{
    void *object = dlopen(OBJECT_PATH, RTLD_NOW | RTLD_LOCAL);
    const char *error = object ? NULL : dlerror();
    if (error && strstr(error, "/liblsan.so")) /* an object has no symbol that would tell */
        refuse_sanitizer("leak");
    else if (error)
        failure_set("ImportError", "%s", error);
    return object;
}

static bool load_object(struct program *program, const struct load *load, struct signature *found)
{
    char symbol[sizeof load->name + 32];
    void *object = open_object();
    if (!object)
        return false;
    snprintf(symbol, sizeof symbol, DESCRIBED "%s", load->name);
    const struct udfvm_function *function = dlsym(object, symbol);
    if (function)
        return function_prepare(program, function, found);
    void *address = dlsym(object, load->name);
    if (address)
        return load_c_function(program, load, address, found);
    return failure_set("AttributeError",
                       "the object exports no function %s: " NO_FUNCTION
                       ", and there is no plain C function of that name",
                       load->name);
}

/* Looks first at the functions that the program offers, then at its symbols. */
static bool load_program(struct program *program, const struct load *load, struct elf_image *image,
                         struct signature *found)
{
    char names[1024];
    uint64_t value;
    program->heap_is_closed = true;
    if (!executable_start(image, PROGRAM_PATH))
        return false;
    const struct udfvm_export *export = executable_export(load->name);
    if (export && export->function)
        return function_prepare(program, export->function, found);
    if (export)
        return load_c_function(program, load, (void *)export->address, found);
    if (symbol_find(PROGRAM_PATH, load->name, &value))
        return load_c_function(program, load, (void *)(value + image->bias), found);
    executable_names(names, sizeof names);
    return failure_set("AttributeError",
                       "the program has no function %s: " NO_FUNCTION
                       ", and its symbols have no plain C function of that name; its udfvm_serve() "
                       "offered %s",
                       load->name, *names ? names : "none");
}

/* Lets threads that loading started, such as those of Go's runtime, run until they wait. Otherwise
 * they would do so in every call. */
static void settle(void)
{
    for (int i = 0; i < SETTLING_TURNS; i++)
        sched_yield();
}

bool runtime_compile(const struct load *load, uint8_t *output, uint64_t capacity, uint64_t *length)
{
    (void)load, (void)output, (void)capacity, (void)length;
    return failure_set("TypeError", "native code is compiled already");
}

/* Sets the environment: texts NAME=value, each with a NUL. */
static void take_environment(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        char *variable = strndup((const char *)at, (size_t)(end - at));
        if (!variable || putenv(variable) != 0) /* it is part of the environment from now on */
            abort();
        at += strlen(variable) + 1;
    }
}

/* Takes the settings, if there are any: the length of the environment, 32 bits, the environment,
 * and the host functions that have lists and structs. Returns false with a failure. */
static bool take_settings(const struct load *load)
{
    uint32_t length;
    const uint8_t *at = load->settings + sizeof length;
    if (load->settings_length == 0)
        return true;
    if (load->settings_length < sizeof length)
        return failure_set("ValueError", "the settings of the function are malformed");
    memcpy(&length, load->settings, sizeof length);
    const size_t rest = load->settings_length - sizeof length;
    if (length > rest)
        return failure_set("ValueError", "the settings of the function are malformed");
    take_environment(at, at + length);
    return host_calls_describe(at + length, rest - length) ||
           failure_set("ValueError", "the host functions are described wrong");
}

bool runtime_load(struct program *program, const struct load *load, struct signature *found)
{
    struct elf_image image;
    if (!take_settings(load) || !write_file(PROGRAM_PATH, load) ||
        !has_no_sanitizer(PROGRAM_PATH) || !elf_image_open(&image, PROGRAM_PATH, "the file"))
        return false;
    bool loaded;
    if (image.executable)
        loaded = load_program(program, load, &image, found);
    else
        loaded = rename(PROGRAM_PATH, OBJECT_PATH) == 0 && load_object(program, load, found);
    elf_image_close(&image);
    settle();
    return loaded;
}

/* ---- Listing ---- */

struct object_listing {
    void *object;
    struct bytes *list;
};

static void list_description(struct bytes *list, const char *name,
                             const struct udfvm_function *function)
{
    struct signature signature = { 0 };
    if (function_signature(function, &signature))
        listing_function(list, name, strlen(name), &signature, function->table != NULL,
                         function->vector   ? "vector function"
                         : function->groups ? "aggregate"
                         : function->table  ? "table function"
                                            : "function");
    else
        listing_unusable(list, name, strlen(name));
}

static void list_symbol(void *context, const char *symbol, bool function)
{
    const struct object_listing *listing = context;
    char described[256];
    const size_t prefix = strlen(DESCRIBED);
    if (!function && strncmp(symbol, DESCRIBED, prefix) == 0) {
        const struct udfvm_function *description = dlsym(listing->object, symbol);
        if (description)
            list_description(listing->list, symbol + prefix, description);
    }
    snprintf(described, sizeof described, DESCRIBED "%s", symbol);
    if (function && symbol[0] != '_' && !dlsym(listing->object, described))
        listing_function(listing->list, symbol, strlen(symbol), NULL, false, "plain function");
}

static void list_program(struct bytes *list)
{
    const struct udfvm_export *export;
    for (size_t i = 0; (export = executable_nth(i)) != NULL; i++) {
        if (export->function)
            list_description(list, export->name, export->function);
        else
            listing_function(list, export->name, strlen(export->name), NULL, false,
                             "plain function");
    }
}

bool runtime_list(const struct load *load, struct bytes *list)
{
    struct elf_image image;
    struct object_listing listing = { NULL, list };
    if (!write_file(PROGRAM_PATH, load) || !has_no_sanitizer(PROGRAM_PATH) ||
        !elf_image_open(&image, PROGRAM_PATH, "the file"))
        return false;
    bool listed;
    if (image.executable) {
        if ((listed = executable_start(&image, PROGRAM_PATH)))
            list_program(list);
    } else if ((listed = rename(PROGRAM_PATH, OBJECT_PATH) == 0 &&
                         (listing.object = open_object()) != NULL)) {
        symbols_exported(OBJECT_PATH, list_symbol, &listing);
    }
    elf_image_close(&image);
    return listed;
}
