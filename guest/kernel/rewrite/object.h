/* A mapped ELF object, as far as rewriting needs it: its bytes by address, and its functions. An
 * object with anything unexpected is unknown and left alone. */
#ifndef UDFVM_OBJECT_H
#define UDFVM_OBJECT_H

#include "kernel.h"

#include <linux/elf.h>

#define MAX_OBJECT_SEGMENTS 32u

struct region_name;

struct elf_object {
    const struct region_name *name; /* of the file */
    Elf64_Phdr segments[MAX_OBJECT_SEGMENTS];
    size_t segment_count;
    uint64_t table_address; /* of .eh_frame_hdr, in the object */
    const uint8_t *table;   /* its sorted entries */
    size_t table_count;
};

/* [start, end) in the object's own addresses. */
struct function_range {
    uint64_t start, end;
    uint64_t next;
}; /* next: where the function after it begins; 0: none is known */

/* The object of a file that is mapped, from the parts of it that still hold what the file holds. */
bool object_open(struct elf_object *object, const struct region_name *name);
/* The function whose code holds an address of the object. */
bool object_function(const struct elf_object *object, uint64_t address,
                     struct function_range *function);

#endif
