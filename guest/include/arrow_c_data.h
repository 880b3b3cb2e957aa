/* The Arrow C data interface (arrow.apache.org/docs/format/CDataInterface.html), by which the
 * process that an array lies in hands it on, on the host as in guests. */
#ifndef UDFVM_ARROW_C_DATA_H
#define UDFVM_ARROW_C_DATA_H

#include <stdint.h>

/* ArrowArray, as the interface defines it. */
struct arrow_array {
    int64_t length;
    int64_t null_count; /* -1: not known */
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct arrow_array **children;
    struct arrow_array *dictionary;
    void (*release)(struct arrow_array *); /* NULL: released, or moved elsewhere */
    void *private_data;
};

static inline void arrow_array_release(struct arrow_array *array)
{
    if (array->release)
        array->release(array);
}

#endif
