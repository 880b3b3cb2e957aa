/* Copies of SQLite in this process: see libraries.h. */
#include <pthread.h>

#include "libraries.h"

sqlite_library *libraries[LIBRARIES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int library_index(sqlite_library *library)
{
    int index = 0;
    pthread_mutex_lock(&lock);
    while (index < LIBRARIES && libraries[index] && libraries[index] != library)
        index++;
    if (index < LIBRARIES)
        libraries[index] = library;
    pthread_mutex_unlock(&lock);
    return index < LIBRARIES ? index : -1;
}
