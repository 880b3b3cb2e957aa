/* See code_map.h. An instruction that a path from the function's entry reaches is code, whatever
 * surrounds it. The only assumptions are this and that calls return. Paths through indirect jumps
 * are not followed. */
#include "rewrite/code_map.h"
#include "rewrite/instruction.h"

static void mark(struct code_map *map, size_t offset)
{
    map->starts[offset / 64] |= 1ull << offset % 64;
}

static bool wait(struct code_map *map, size_t offset)
{
    if (offset >= map->length || code_map_is_start(map, offset))
        return true; /* leaves the function, or is known */
    if (map->waiting == MAX_WAITING)
        return false;
    map->targets[map->waiting++] = (uint32_t)offset;
    return true;
}

/* From one target to where the path ends or joins another. */
static bool follow(struct code_map *map, size_t offset)
{
    struct instruction instruction;
    while (offset < map->length && !code_map_is_start(map, offset)) {
        if (!instruction_decode(map->code + offset, map->length - offset, &instruction))
            return false;
        mark(map, offset);
        offset += instruction.length;
        /* A target before the function wraps around and is no offset in it. */
        if ((instruction.flow == FLOW_BRANCH || instruction.flow == FLOW_JUMP) &&
            !wait(map, offset + (size_t)(int64_t)instruction.displacement))
            return false;
        if (instruction.flow == FLOW_INDIRECT)
            map->has_indirect_jump = true;
        if (instruction.flow != FLOW_NEXT && instruction.flow != FLOW_BRANCH)
            return true;
    }
    return true;
}

bool code_map_build(struct code_map *map, const uint8_t *code, size_t length)
{
    if (length == 0 || length > MAX_FUNCTION)
        return false;
    map->code = code;
    map->length = length;
    map->has_indirect_jump = false;
    for (size_t word = 0; word <= (length - 1) / 64; word++)
        map->starts[word] = 0;
    map->waiting = 1;
    map->targets[0] = 0;
    while (map->waiting > 0)
        if (!follow(map, map->targets[--map->waiting]))
            return false;
    return true;
}
