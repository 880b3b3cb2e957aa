/* A copy of the VM's page tables, to compare them with. They are mapped nowhere, so no guest writes
 * them; but their slot cannot be read-only (layout.h), and whoever were at ring 0 could load
 * others, through which they are in reach. */
#include <stdlib.h>
#include <string.h>

#include "udfvm_abi.h"

#include "base/error.h"
#include "base/pages.h"
#include "machine/data.h"
#include "machine/machine.h"

#define MAX_TABLES (4u + 64u + 16u + 16u + 128u) /* see layout.h */

static uint64_t gibibytes(uint64_t bytes)
{
    return (bytes + (1ull << 30) - 1) >> 30;
}

static size_t add(uint32_t tables[MAX_TABLES], size_t count, uint64_t first, uint64_t pages)
{
    for (uint64_t i = 0; i < pages && count < MAX_TABLES; i++)
        tables[count++] = (uint32_t)(first + i * PAGE);
    return count;
}

/* Offsets in the system area of all tables that a walk can reach; their number. */
static size_t reachable(const struct machine *machine, uint32_t tables[MAX_TABLES])
{
    size_t count = add(tables, 0, SYSTEM_PML4, 4); /* PML4, PDPT, and both page tables */
    count = add(tables, count, SYSTEM_PD, gibibytes(SYSTEM_SIZE + machine->memory_bytes));
    count = add(tables, count, SYSTEM_PD_INPUT, gibibytes(machine->input_bytes));
    count = add(tables, count, SYSTEM_PD_OUTPUT,
                gibibytes(UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes));
    return add(tables, count, SYSTEM_PD_DATA, machine->data ? gibibytes(machine->data->bytes) : 0);
}

void udfvm_page_tables_keep(struct machine *machine)
{
    uint32_t tables[MAX_TABLES];
    const size_t count = reachable(machine, tables);
    uint8_t *kept = realloc(machine->page_tables, count * PAGE);
    if (!kept) { /* then they count as changed, and the VM is renewed where they would be compared
                  */
        udfvm_page_tables_forget(machine);
        return;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(kept + i * PAGE, machine->system + tables[i], PAGE);
    machine->page_tables = kept;
}

bool udfvm_page_tables_changed(const struct machine *machine)
{
    uint32_t tables[MAX_TABLES];
    const size_t count = reachable(machine, tables);
    for (size_t i = 0; machine->page_tables && i < count; i++)
        if (memcmp(machine->page_tables + i * PAGE, machine->system + tables[i], PAGE) != 0)
            return true;
    return !machine->page_tables || !udfvm_reserve_is_expected(machine);
}

void udfvm_page_tables_forget(struct machine *machine)
{
    free(machine->page_tables);
    machine->page_tables = NULL;
}
