/* The table of an aggregate's groups holds what a plain array holds, whatever the numbers. */
#include "shared/compiled/groups.h"

#include "check.h"

#include <stdlib.h>

#define NUMBERS 600
#define STEPS   200000

static uint64_t chosen[NUMBERS]; /* numbers; many share the low bits */
static void *expected[NUMBERS];

static uint64_t random_number(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void compare(const struct groups *groups)
{
    size_t count = 0;
    for (size_t i = 0; i < NUMBERS; i++) {
        CHECK(groups_find(groups, chosen[i]) == expected[i]);
        count += expected[i] != NULL;
    }
    CHECK(groups->count == count);
}

/* Adds and removes; now and then most groups, so that runs of all lengths come and go. */
static void step(struct groups *groups, bool grows)
{
    const size_t i = random_number() % NUMBERS;
    if (expected[i] && (!grows || random_number() % 4 == 0)) {
        groups_remove(groups, chosen[i]);
        expected[i] = NULL;
    } else if (!expected[i] && (grows || random_number() % 4 == 0)) {
        expected[i] = &chosen[random_number() % NUMBERS];
        groups_add(groups, chosen[i], expected[i]);
    }
}

int main(void)
{
    struct groups groups = { 0 };
    for (size_t i = 0; i < NUMBERS; i++)
        chosen[i] = i % 3 == 0 ? i : i % 3 == 1 ? i << 20 : UINT64_MAX - 16 * i;
    compare(&groups);
    for (int i = 0; i < STEPS; i++) {
        step(&groups, i / 1000 % 2 == 0);
        if (i % 100 == 0)
            compare(&groups);
    }
    compare(&groups);
    free(groups.entries);
    return DONE();
}
