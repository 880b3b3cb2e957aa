/* Which bytes of a function begin an instruction, found by following its control flow from its
 * first instruction. */
#ifndef UDFVM_CODE_MAP_H
#define UDFVM_CODE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_FUNCTION 65536u /* bytes; longer ones are not looked at */
#define MAX_WAITING  2048u  /* branch targets still to follow */

struct code_map {
    const uint8_t *code;
    size_t length;
    bool has_indirect_jump; /* some instructions may be reached only from there */
    size_t waiting;
    uint32_t targets[MAX_WAITING];
    uint64_t starts[MAX_FUNCTION / 64];
};

/* Returns false if the flow leads to bytes that are not an instruction, or is too long to follow.
 * Then nothing is known. */
bool code_map_build(struct code_map *map, const uint8_t *code, size_t length);

/* An instruction that the flow reaches begins at the offset. */
static inline bool code_map_is_start(const struct code_map *map, size_t offset)
{
    return offset < map->length && map->starts[offset / 64] >> offset % 64 & 1;
}

#endif
