/* Copies of SQLite in this process: see libraries.h. */
#include "entry/libraries.h"

sqlite_library *libraries[LIBRARIES];

/* Without a lock: a child that is forked meanwhile would find it held. */
int library_index(sqlite_library *library)
{
    for (int index = 0; index < LIBRARIES; index++) {
        sqlite_library *known = NULL;
        if (__atomic_compare_exchange_n(&libraries[index], &known, library, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE) ||
            known == library)
            return index;
    }
    return -1;
}
