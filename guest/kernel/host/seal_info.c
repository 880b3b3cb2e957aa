#include "host/seal_info.h"

struct udfvm_seal_info seal_info;

void count_unknown(uint64_t number)
{
    uint32_t index = 0;
    while (index < seal_info.unknown_count && seal_info.unknown[index].number != (uint32_t)number)
        index++;
    if (index == UDFVM_MAX_UNKNOWN_SYSCALLS)
        return;
    if (index == seal_info.unknown_count)
        seal_info.unknown[seal_info.unknown_count++].number = (uint32_t)number;
    seal_info.unknown[index].count++;
}
