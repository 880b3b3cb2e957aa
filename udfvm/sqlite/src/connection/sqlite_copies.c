/* Copies of SQLite in this process: see sqlite_copies.h. */
#include "connection/sqlite_copies.h"

sqlite_library *sqlite_copies[MAX_SQLITE_COPIES];

/* Without a lock, because a child that is forked meanwhile would find it held. */
int sqlite_copy_number(sqlite_library *library)
{
    for (int index = 0; index < MAX_SQLITE_COPIES; index++) {
        sqlite_library *known = NULL;
        if (__atomic_compare_exchange_n(&sqlite_copies[index], &known, library, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
            known == library)
            return index;
    }
    return -1;
}
