/* A program that asks for more than there is gets ENOMEM, and all of it again once it has given it
 * back. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define MIB (1ul << 20)

static int take_all(size_t unit)
{
    static void *taken[4096];
    int count = 0;
    while (count < 4096 && (taken[count] = mmap(NULL, unit, PROT_READ | PROT_WRITE,
                                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED)
        memset(taken[count++], 1, unit);
    CHECK(errno == ENOMEM);
    for (int i = 0; i < count; i++)
        CHECK(munmap(taken[i], unit) == 0);
    return count;
}

static int malloc_all(size_t unit)
{
    void *list = NULL, *next;
    int count = 0;
    while ((next = malloc(unit))) {
        *(void **)next = list;
        list = next;
        count++;
    }
    for (; list; list = next) {
        next = *(void **)list;
        free(list);
    }
    return count;
}

int main(void)
{
    const int first = take_all(MIB);
    CHECK(first > 4);
    CHECK(take_all(MIB) == first);
    const int blocks = malloc_all(100000), small = malloc_all(1000);
    CHECK(blocks > 40 && small > 4000);
    CHECK(abs(malloc_all(100000) - blocks) < 10);
    CHECK(abs(malloc_all(1000) - small) < 1000);
    return DONE();
}
