/* The part of wasmtime's C API that the runtime uses, as of version WASMTIME_MAJOR
 * (docs.wasmtime.dev/c-api): declarations of our own, because the library comes in a Python wheel
 * without headers, and is loaded at run time. Long because it stands in for those headers. */
#ifndef UDFVM_WASM_WASMTIME_H
#define UDFVM_WASM_WASMTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WASMTIME_MAJOR 50

typedef struct wasi_config wasi_config;
typedef struct wasm_config wasm_config;
typedef struct wasm_engine wasm_engine;
typedef struct wasm_exporttype wasm_exporttype;
typedef struct wasm_externtype wasm_externtype;
typedef struct wasm_frame wasm_frame;
typedef struct wasm_functype wasm_functype;
typedef struct wasm_importtype wasm_importtype;
typedef struct wasm_trap wasm_trap;
typedef struct wasm_valtype wasm_valtype;
typedef struct wasmtime_caller wasmtime_caller;
typedef struct wasmtime_context wasmtime_context;
typedef struct wasmtime_error wasmtime_error;
typedef struct wasmtime_instance_pre wasmtime_instance_pre;
typedef struct wasmtime_linker wasmtime_linker;
typedef struct wasmtime_module wasmtime_module;
typedef struct wasmtime_store wasmtime_store;

typedef struct wasm_bytes {
    size_t size;
    char *data;
} wasm_bytes;
typedef struct wasm_exporttypes {
    size_t size;
    wasm_exporttype **data;
} wasm_exporttypes;
typedef struct wasm_frames {
    size_t size;
    wasm_frame **data;
} wasm_frames;
typedef struct wasm_importtypes {
    size_t size;
    wasm_importtype **data;
} wasm_importtypes;
typedef struct wasm_valtypes {
    size_t size;
    wasm_valtype **data;
} wasm_valtypes;

enum wasm_kind { WASM_I32 = 0, WASM_I64 = 1, WASM_F32 = 2, WASM_F64 = 3, WASM_V128 = 4 };
enum { WASM_EXTERNREF = 128, WASM_FUNCREF = 129 }; /* of wasm_valtype_new() alone */
enum { WASMTIME_EXTERNREF = 6 };                   /* of wasmtime_val alone */
enum wasm_extern_kind {
    WASM_EXTERN_FUNC = 0,
    WASM_EXTERN_GLOBAL = 1,
    WASM_EXTERN_TABLE = 2,
    WASM_EXTERN_MEMORY = 3
};

typedef struct wasmtime_func {
    uint64_t store;
    void *private;
} wasmtime_func;
typedef struct wasmtime_instance {
    uint64_t store;
    size_t private;
} wasmtime_instance;
typedef struct wasmtime_global {
    uint64_t store;
    uint32_t private[3];
} wasmtime_global;
typedef struct wasmtime_memory {
    struct {
        uint64_t store;
        uint32_t private;
    } first;
    uint32_t private;
} wasmtime_memory;

enum wasmtime_extern_kind {
    WASMTIME_FUNC = 0,
    WASMTIME_GLOBAL = 1,
    WASMTIME_TABLE = 2,
    WASMTIME_MEMORY = 3
};

typedef struct wasmtime_extern {
    uint8_t kind;
    union {
        wasmtime_func func;
        wasmtime_global global;
        wasmtime_memory memory;
        uint64_t words[3];
    } of;
} wasmtime_extern;

typedef struct wasmtime_val {
    uint8_t kind; /* enum wasm_kind for numbers */
    union {
        int32_t i32;
        int64_t i64;
        float f32;
        double f64;
        uint64_t words[3];
    } of;
} wasmtime_val;

typedef union wasmtime_raw { /* a value in a call that is not checked */
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
    _Alignas(8) uint8_t v128[16];
} wasmtime_raw;

typedef wasm_trap *wasmtime_callback(void *data, wasmtime_caller *caller,
                                     const wasmtime_val *arguments, size_t argument_count,
                                     wasmtime_val *results, size_t result_count);

/* ---- Components ---- */

typedef struct wasmtime_component wasmtime_component;
typedef struct wasmtime_component_componenttype wasmtime_component_componenttype;
typedef struct wasmtime_component_extern wasmtime_component_extern;
typedef struct wasmtime_component_instance_type wasmtime_component_instance_type;
typedef struct wasmtime_component_functype wasmtime_component_functype;
typedef struct wasmtime_component_index wasmtime_component_index;
typedef struct wasmtime_component_linker wasmtime_component_linker;
typedef struct wasmtime_component_linker_instance wasmtime_component_linker_instance;
typedef struct wasmtime_component_instance {
    uint64_t store;
    uint32_t private;
} wasmtime_component_instance;
typedef struct wasmtime_component_func {
    struct {
        uint64_t store;
        uint32_t private;
    } first;
    uint32_t second;
    void *third;
} wasmtime_component_func;

enum wasmtime_component_type {
    COMPONENT_TYPE_BOOL,
    COMPONENT_TYPE_S8,
    COMPONENT_TYPE_S16,
    COMPONENT_TYPE_S32,
    COMPONENT_TYPE_S64,
    COMPONENT_TYPE_U8,
    COMPONENT_TYPE_U16,
    COMPONENT_TYPE_U32,
    COMPONENT_TYPE_U64,
    COMPONENT_TYPE_F32,
    COMPONENT_TYPE_F64,
    COMPONENT_TYPE_CHAR,
    COMPONENT_TYPE_STRING,
    COMPONENT_TYPE_LIST,
    COMPONENT_TYPE_RECORD,
    COMPONENT_TYPE_TUPLE,
    COMPONENT_TYPE_VARIANT,
    COMPONENT_TYPE_ENUM,
    COMPONENT_TYPE_OPTION,
    COMPONENT_TYPE_RESULT,
    COMPONENT_TYPE_FLAGS,
    COMPONENT_TYPE_OWN,
    COMPONENT_TYPE_BORROW,
};

typedef struct wasmtime_component_valtype {
    uint8_t kind; /* enum wasmtime_component_type */
    union {
        const void *list, *option, *result, *record, *tuple, *resource;
        void *any;
    } of;
} wasmtime_component_valtype;

enum wasmtime_component_item_kind { COMPONENT_ITEM_INSTANCE = 1, COMPONENT_ITEM_FUNC = 3 };
typedef struct wasmtime_component_item { /* what an export is */
    uint8_t kind;
    union {
        wasmtime_component_instance_type *instance;
        wasmtime_component_functype *function;
        wasmtime_component_valtype type;
    } of;
} wasmtime_component_item;

enum wasmtime_component_value { /* in another order than the types */
                                COMPONENT_BOOL,
                                COMPONENT_S8,
                                COMPONENT_U8,
                                COMPONENT_S16,
                                COMPONENT_U16,
                                COMPONENT_S32,
                                COMPONENT_U32,
                                COMPONENT_S64,
                                COMPONENT_U64,
                                COMPONENT_F32,
                                COMPONENT_F64,
                                COMPONENT_CHAR,
                                COMPONENT_STRING,
                                COMPONENT_LIST,
                                COMPONENT_RECORD,
                                COMPONENT_TUPLE,
                                COMPONENT_VARIANT,
                                COMPONENT_ENUM,
                                COMPONENT_OPTION,
                                COMPONENT_RESULT,
                                COMPONENT_FLAGS,
                                COMPONENT_RESOURCE,
};

struct wasmtime_component_field;
typedef struct wasmtime_component_val wasmtime_component_val;
typedef struct wasmtime_component_vals {
    size_t size;
    wasmtime_component_val *data;
} wasmtime_component_vals;
typedef struct wasmtime_component_record {
    size_t size;
    struct wasmtime_component_field *data;
} wasmtime_component_record;
typedef struct wasmtime_component_flags {
    size_t size;
    wasm_bytes *data;
} wasmtime_component_flags;
struct wasmtime_component_val {
    uint8_t kind; /* enum wasmtime_component_value */
    union {
        bool boolean;
        int8_t s8;
        uint8_t u8;
        int16_t s16;
        uint16_t u16;
        int32_t s32;
        uint32_t u32, character;
        int64_t s64;
        uint64_t u64;
        float f32;
        double f64;
        wasm_bytes string;            /* of an enum, too */
        wasmtime_component_vals list; /* of a tuple, too */
        wasmtime_component_record record;
        struct {
            wasm_bytes name;
            wasmtime_component_val *value;
        } variant;
        wasmtime_component_val *option; /* NULL: none */
        struct {
            bool is_ok;
            wasmtime_component_val *value;
        } result;
        wasmtime_component_flags flags;
        void *resource;
    } of;
};
struct wasmtime_component_field {
    wasm_bytes name;
    wasmtime_component_val value;
};

typedef wasmtime_error *wasmtime_component_callback(void *data, wasmtime_context *context,
                                                    const wasmtime_component_functype *type,
                                                    wasmtime_component_val *arguments,
                                                    size_t argument_count,
                                                    wasmtime_component_val *results,
                                                    size_t result_count);

/* A memory that an embedder holds, and who creates such. */
typedef struct wasm_memorytype wasm_memorytype;
typedef struct wasmtime_linear_memory {
    void *environment;
    uint8_t *(*get)(void *environment, size_t *size, size_t *capacity);
    wasmtime_error *(*grow)(void *environment, size_t size);
    void (*end)(void *environment);
} wasmtime_linear_memory;
typedef struct wasmtime_memory_creator {
    void *environment;
    wasmtime_error *(*new_memory)(void *environment, const wasm_memorytype *type, size_t minimum,
                                  size_t maximum, size_t reserved, size_t guard,
                                  wasmtime_linear_memory *made);
    void (*end)(void *environment);
} wasmtime_memory_creator;

/* F(result, name, arguments): every function of the library that is used. */
#define WASMTIME_FUNCTIONS(F)                                                                     \
    F(wasm_config *, wasm_config_new, (void))                                                     \
    F(void, wasmtime_config_gc_support_set, (wasm_config *, bool))                                \
    F(void, wasmtime_config_host_memory_creator_set, (wasm_config *, wasmtime_memory_creator *))  \
    F(void, wasmtime_config_max_wasm_stack_set, (wasm_config *, size_t))                          \
    F(void, wasmtime_config_memory_guard_size_set, (wasm_config *, uint64_t))                     \
    F(void, wasmtime_config_memory_init_cow_set, (wasm_config *, bool))                           \
    F(void, wasmtime_config_memory_reservation_for_growth_set, (wasm_config *, uint64_t))         \
    F(void, wasmtime_config_memory_reservation_set, (wasm_config *, uint64_t))                    \
    F(void, wasmtime_config_native_unwind_info_set, (wasm_config *, bool))                        \
    F(void, wasmtime_config_parallel_compilation_set, (wasm_config *, bool))                      \
    F(void, wasmtime_config_signals_based_traps_set, (wasm_config *, bool))                       \
    F(wasm_engine *, wasm_engine_new_with_config, (wasm_config *))                                \
    F(void, wasm_byte_vec_new, (wasm_bytes *, size_t, const char *))                              \
    F(void, wasm_byte_vec_delete, (wasm_bytes *))                                                 \
    F(wasmtime_error *, wasmtime_wat2wasm, (const char *, size_t, wasm_bytes *))                  \
    F(wasmtime_error *, wasmtime_module_new,                                                      \
      (wasm_engine *, const uint8_t *, size_t, wasmtime_module **))                               \
    F(void, wasmtime_module_delete, (wasmtime_module *))                                          \
    F(void, wasmtime_module_exports, (const wasmtime_module *, wasm_exporttypes *))               \
    F(void, wasmtime_module_imports, (const wasmtime_module *, wasm_importtypes *))               \
    F(const wasm_bytes *, wasm_importtype_module, (const wasm_importtype *))                      \
    F(const wasm_bytes *, wasm_importtype_name, (const wasm_importtype *))                        \
    F(const wasm_externtype *, wasm_importtype_type, (const wasm_importtype *))                   \
    F(void, wasm_importtype_vec_delete, (wasm_importtypes *))                                     \
    F(const wasm_bytes *, wasm_exporttype_name, (const wasm_exporttype *))                        \
    F(const wasm_externtype *, wasm_exporttype_type, (const wasm_exporttype *))                   \
    F(void, wasm_exporttype_vec_delete, (wasm_exporttypes *))                                     \
    F(uint8_t, wasm_externtype_kind, (const wasm_externtype *))                                   \
    F(const wasm_functype *, wasm_externtype_as_functype_const, (const wasm_externtype *))        \
    F(const wasm_memorytype *, wasm_externtype_as_memorytype_const, (const wasm_externtype *))    \
    F(wasm_functype *, wasm_functype_new, (wasm_valtypes *, wasm_valtypes *))                     \
    F(void, wasm_functype_delete, (wasm_functype *))                                              \
    F(const wasm_valtypes *, wasm_functype_params, (const wasm_functype *))                       \
    F(const wasm_valtypes *, wasm_functype_results, (const wasm_functype *))                      \
    F(wasm_valtype *, wasm_valtype_new, (uint8_t))                                                \
    F(void, wasm_valtype_delete, (wasm_valtype *))                                                \
    F(void, wasm_valtype_vec_new, (wasm_valtypes *, size_t, wasm_valtype *const *))               \
    F(bool, wasmtime_wasm_valtype_equal, (const wasm_valtype *, const wasm_valtype *))            \
    F(wasm_valtype *, wasmtime_wasm_valtype_v128, (void))                                         \
    F(wasmtime_store *, wasmtime_store_new, (wasm_engine *, void *, void (*)(void *)))            \
    F(void, wasmtime_store_delete, (wasmtime_store *))                                            \
    F(wasmtime_context *, wasmtime_store_context, (wasmtime_store *))                             \
    F(wasmtime_linker *, wasmtime_linker_new, (wasm_engine *))                                    \
    F(void, wasmtime_linker_delete, (wasmtime_linker *))                                          \
    F(void, wasmtime_linker_allow_shadowing, (wasmtime_linker *, bool))                           \
    F(bool, wasmtime_linker_get,                                                                  \
      (const wasmtime_linker *, wasmtime_context *, const char *, size_t, const char *, size_t,   \
       wasmtime_extern *))                                                                        \
    F(wasmtime_error *, wasmtime_linker_define,                                                   \
      (wasmtime_linker *, wasmtime_context *, const char *, size_t, const char *, size_t,         \
       const wasmtime_extern *))                                                                  \
    F(wasmtime_error *, wasmtime_linker_define_func,                                              \
      (wasmtime_linker *, const char *, size_t, const char *, size_t, const wasm_functype *,      \
       wasmtime_callback *, void *, void (*)(void *)))                                            \
    F(wasmtime_error *, wasmtime_linker_define_wasi, (wasmtime_linker *))                         \
    F(wasmtime_error *, wasmtime_linker_module,                                                   \
      (wasmtime_linker *, wasmtime_context *, const char *, size_t, const wasmtime_module *))     \
    F(wasmtime_error *, wasmtime_linker_instantiate,                                              \
      (const wasmtime_linker *, wasmtime_context *, const wasmtime_module *, wasmtime_instance *, \
       wasm_trap **))                                                                             \
    F(wasmtime_error *, wasmtime_linker_instantiate_pre,                                          \
      (const wasmtime_linker *, const wasmtime_module *, wasmtime_instance_pre **))               \
    F(wasmtime_error *, wasmtime_instance_pre_instantiate,                                        \
      (const wasmtime_instance_pre *, wasmtime_context *, wasmtime_instance *, wasm_trap **))     \
    F(void, wasmtime_instance_pre_delete, (wasmtime_instance_pre *))                              \
    F(wasmtime_error *, wasmtime_instance_new,                                                    \
      (wasmtime_context *, const wasmtime_module *, const wasmtime_extern *, size_t,              \
       wasmtime_instance *, wasm_trap **))                                                        \
    F(bool, wasmtime_instance_export_get,                                                         \
      (wasmtime_context *, const wasmtime_instance *, const char *, size_t, wasmtime_extern *))   \
    F(wasmtime_error *, wasmtime_func_call,                                                       \
      (wasmtime_context *, const wasmtime_func *, const wasmtime_val *, size_t, wasmtime_val *,   \
       size_t, wasm_trap **))                                                                     \
    F(wasmtime_error *, wasmtime_func_call_unchecked,                                             \
      (wasmtime_context *, const wasmtime_func *, wasmtime_raw *, size_t, wasm_trap **))          \
    F(void, wasmtime_global_get, (wasmtime_context *, const wasmtime_global *, wasmtime_val *))   \
    F(wasmtime_error *, wasmtime_memory_new,                                                      \
      (wasmtime_context *, const wasm_memorytype *, wasmtime_memory *))                           \
    F(uint8_t *, wasmtime_memory_data, (const wasmtime_context *, const wasmtime_memory *))       \
    F(size_t, wasmtime_memory_data_size, (const wasmtime_context *, const wasmtime_memory *))     \
    F(wasmtime_error *, wasmtime_memory_grow,                                                     \
      (wasmtime_context *, const wasmtime_memory *, uint64_t, uint64_t *))                        \
    F(bool, wasmtime_caller_export_get,                                                           \
      (wasmtime_caller *, const char *, size_t, wasmtime_extern *))                               \
    F(wasmtime_context *, wasmtime_caller_context, (wasmtime_caller *))                           \
    F(wasi_config *, wasi_config_new, (void))                                                     \
    F(void, wasi_config_delete, (wasi_config *))                                                  \
    F(bool, wasi_config_set_argv, (wasi_config *, size_t, const char **))                         \
    F(bool, wasi_config_set_env, (wasi_config *, size_t, const char **, const char **))           \
    F(bool, wasi_config_preopen_dir, (wasi_config *, const char *, const char *, bool))           \
    F(void, wasi_config_inherit_stdout, (wasi_config *))                                          \
    F(void, wasi_config_set_stdin_bytes, (wasi_config *, wasm_bytes *))                           \
    F(void, wasi_config_set_stdout_custom,                                                        \
      (wasi_config *, ptrdiff_t (*)(void *, const unsigned char *, size_t), void *,               \
       void (*)(void *)))                                                                         \
    F(void, wasi_config_set_stderr_custom,                                                        \
      (wasi_config *, ptrdiff_t (*)(void *, const unsigned char *, size_t), void *,               \
       void (*)(void *)))                                                                         \
    F(wasmtime_error *, wasmtime_context_set_wasi, (wasmtime_context *, wasi_config *))           \
    F(wasmtime_error *, wasmtime_component_new,                                                   \
      (const wasm_engine *, const uint8_t *, size_t, wasmtime_component **))                      \
    F(void, wasmtime_component_delete, (wasmtime_component *))                                    \
    F(wasmtime_error *, wasmtime_module_serialize, (wasmtime_module *, wasm_bytes *))             \
    F(wasmtime_error *, wasmtime_module_deserialize,                                              \
      (wasm_engine *, const uint8_t *, size_t, wasmtime_module **))                               \
    F(wasmtime_error *, wasmtime_component_serialize, (const wasmtime_component *, wasm_bytes *)) \
    F(wasmtime_error *, wasmtime_component_deserialize,                                           \
      (const wasm_engine *, const uint8_t *, size_t, wasmtime_component **))                      \
    F(wasmtime_component_linker *, wasmtime_component_linker_new, (const wasm_engine *))          \
    F(void, wasmtime_component_linker_delete, (wasmtime_component_linker *))                      \
    F(wasmtime_component_componenttype *, wasmtime_component_type, (const wasmtime_component *))  \
    F(void, wasmtime_component_type_delete, (wasmtime_component_componenttype *))                 \
    F(size_t, wasmtime_component_type_import_count,                                               \
      (const wasmtime_component_componenttype *, const wasm_engine *))                            \
    F(bool, wasmtime_component_type_import_nth,                                                   \
      (const wasmtime_component_componenttype *, const wasm_engine *, size_t, const char **,      \
       size_t *, wasmtime_component_extern **))                                                   \
    F(size_t, wasmtime_component_type_export_count,                                               \
      (const wasmtime_component_componenttype *, const wasm_engine *))                            \
    F(bool, wasmtime_component_type_export_nth,                                                   \
      (const wasmtime_component_componenttype *, const wasm_engine *, size_t, const char **,      \
       size_t *, wasmtime_component_extern **))                                                   \
    F(size_t, wasmtime_component_instance_type_export_count,                                      \
      (const wasmtime_component_instance_type *, const wasm_engine *))                            \
    F(bool, wasmtime_component_instance_type_export_nth,                                          \
      (const wasmtime_component_instance_type *, const wasm_engine *, size_t, const char **,      \
       size_t *, wasmtime_component_extern **))                                                   \
    F(void, wasmtime_component_extern_type,                                                       \
      (const wasmtime_component_extern *, wasmtime_component_item *))                             \
    F(void, wasmtime_component_extern_delete, (wasmtime_component_extern *))                      \
    F(void, wasmtime_component_item_delete, (wasmtime_component_item *))                          \
    F(wasmtime_error *, wasmtime_component_linker_add_wasip2, (wasmtime_component_linker *))      \
    F(wasmtime_error *, wasmtime_component_linker_add_wasi_http, (wasmtime_component_linker *))   \
    F(void, wasmtime_context_set_wasi_http, (wasmtime_context *))                                 \
    F(void, wasmtime_component_linker_allow_shadowing, (wasmtime_component_linker *, bool))       \
    F(wasmtime_component_linker_instance *, wasmtime_component_linker_root,                       \
      (wasmtime_component_linker *))                                                              \
    F(wasmtime_error *, wasmtime_component_linker_instance_add_instance,                          \
      (wasmtime_component_linker_instance *, const char *, size_t,                                \
       wasmtime_component_linker_instance **))                                                    \
    F(wasmtime_error *, wasmtime_component_linker_instance_add_func,                              \
      (wasmtime_component_linker_instance *, const char *, size_t, wasmtime_component_callback *, \
       void *, void (*)(void *)))                                                                 \
    F(void, wasmtime_component_linker_instance_delete, (wasmtime_component_linker_instance *))    \
    F(void, wasmtime_component_valtuple_new_uninit, (wasmtime_component_vals *, size_t))          \
    F(wasmtime_error *, wasmtime_component_linker_instantiate,                                    \
      (const wasmtime_component_linker *, wasmtime_context *, const wasmtime_component *,         \
       wasmtime_component_instance *))                                                            \
    F(wasmtime_component_index *, wasmtime_component_instance_get_export_index,                   \
      (const wasmtime_component_instance *, wasmtime_context *, const wasmtime_component_index *, \
       const char *, size_t))                                                                     \
    F(void, wasmtime_component_export_index_delete, (wasmtime_component_index *))                 \
    F(bool, wasmtime_component_instance_get_func,                                                 \
      (const wasmtime_component_instance *, wasmtime_context *, const wasmtime_component_index *, \
       wasmtime_component_func *))                                                                \
    F(wasmtime_component_functype *, wasmtime_component_func_type,                                \
      (const wasmtime_component_func *, wasmtime_context *))                                      \
    F(void, wasmtime_component_func_type_delete, (wasmtime_component_functype *))                 \
    F(bool, wasmtime_component_func_type_async, (const wasmtime_component_functype *))            \
    F(size_t, wasmtime_component_func_type_param_count, (const wasmtime_component_functype *))    \
    F(bool, wasmtime_component_func_type_param_nth,                                               \
      (const wasmtime_component_functype *, size_t, const char **, size_t *,                      \
       wasmtime_component_valtype *))                                                             \
    F(bool, wasmtime_component_func_type_result,                                                  \
      (const wasmtime_component_functype *, wasmtime_component_valtype *))                        \
    F(void, wasmtime_component_list_type_element, (const void *, wasmtime_component_valtype *))   \
    F(void, wasmtime_component_option_type_ty, (const void *, wasmtime_component_valtype *))      \
    F(bool, wasmtime_component_result_type_ok, (const void *, wasmtime_component_valtype *))      \
    F(size_t, wasmtime_component_record_type_field_count, (const void *))                         \
    F(bool, wasmtime_component_record_type_field_nth,                                             \
      (const void *, size_t, const char **, size_t *, wasmtime_component_valtype *))              \
    F(size_t, wasmtime_component_tuple_type_types_count, (const void *))                          \
    F(bool, wasmtime_component_tuple_type_types_nth,                                              \
      (const void *, size_t, wasmtime_component_valtype *))                                       \
    F(void, wasmtime_component_valtype_delete, (wasmtime_component_valtype *))                    \
    F(bool, wasmtime_component_valtype_equal,                                                     \
      (const wasmtime_component_valtype *, const wasmtime_component_valtype *))                   \
    F(bool, wasmtime_component_resource_type_equal, (const void *, const void *))                 \
    F(wasmtime_error *, wasmtime_component_resource_any_drop, (wasmtime_context *, void *))       \
    F(void, wasmtime_component_vallist_new_uninit, (wasmtime_component_vals *, size_t))           \
    F(void, wasmtime_component_valrecord_new_uninit, (wasmtime_component_record *, size_t))       \
    F(void, wasmtime_component_valflags_new_uninit, (wasmtime_component_flags *, size_t))         \
    F(wasmtime_component_val *, wasmtime_component_val_new, (wasmtime_component_val *))           \
    F(void, wasmtime_component_val_delete, (wasmtime_component_val *))                            \
    F(wasmtime_error *, wasmtime_component_func_call,                                             \
      (const wasmtime_component_func *, wasmtime_context *, const wasmtime_component_val *,       \
       size_t, wasmtime_component_val *, size_t))                                                 \
    F(wasmtime_error *, wasmtime_error_new, (const char *))                                       \
    F(void, wasmtime_error_delete, (wasmtime_error *))                                            \
    F(bool, wasmtime_error_exit_status, (const wasmtime_error *, int *))                          \
    F(void, wasmtime_error_message, (const wasmtime_error *, wasm_bytes *))                       \
    F(void, wasmtime_error_wasm_trace, (const wasmtime_error *, wasm_frames *))                   \
    F(wasm_trap *, wasmtime_trap_new, (const char *, size_t))                                     \
    F(void, wasm_trap_delete, (wasm_trap *))                                                      \
    F(void, wasm_trap_message, (const wasm_trap *, wasm_bytes *))                                 \
    F(void, wasm_trap_trace, (const wasm_trap *, wasm_frames *))                                  \
    F(void, wasm_frame_vec_delete, (wasm_frames *))                                               \
    F(uint32_t, wasm_frame_func_index, (const wasm_frame *))                                      \
    F(size_t, wasm_frame_module_offset, (const wasm_frame *))                                     \
    F(const wasm_bytes *, wasmtime_frame_func_name, (const wasm_frame *))                         \
    F(const wasm_bytes *, wasmtime_frame_module_name, (const wasm_frame *))

/* The library's functions, once it is loaded. */
struct wasmtime {
#define WASMTIME_POINTER(RESULT, NAME, ARGUMENTS) RESULT(*NAME) ARGUMENTS;
    WASMTIME_FUNCTIONS(WASMTIME_POINTER)
#undef WASMTIME_POINTER
};
extern struct wasmtime wasmtime;

/* Loads the library. false with a failure. */
bool wasmtime_open(const char *path);

#endif
