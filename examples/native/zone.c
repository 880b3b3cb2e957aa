/* A program: what its main() prepares, every call finds. Linked statically it brings its whole C
 * library along.
 *
 *     gcc -O3 -g -static -I "$(python -c 'import udfvm; print(udfvm.get_include())')" zone.c -o
 * zone
 */
#include <udfvm.h>

#include <stdlib.h>

struct zone {
    double border; /* degrees of longitude: the zone begins there */
    int hours;
};

static struct zone *zones;
static size_t count;

/* The nautical time zones: 15 degrees each, the first around the meridian of 180 degrees. */
static int prepare(void)
{
    count = 25;
    zones = malloc(count * sizeof *zones);
    if (!zones)
        return -1;
    for (size_t i = 0; i < count; i++)
        zones[i] = (struct zone){ i ? 15.0 * (double)i - 187.5 : -180, (int)i - 12 };
    return 0;
}

static int by_border(const void *key, const void *member)
{
    const double longitude = *(const double *)key;
    const struct zone *zone = member;
    if (longitude < zone->border)
        return -1;
    return zone + 1 < zones + count && longitude >= zone[1].border;
}

/* Hours from UTC at a longitude, at sea. */
UDFVM_SCALAR(zone, optional_i32, (f64, longitude))
{
    if (longitude < -180 || longitude > 180)
        udfvm_fail("%g is not a longitude", longitude);
    const struct zone *found = bsearch(&longitude, zones, count, sizeof *zones, by_border);
    return found ? udfvm_some_i32(found->hours) : udfvm_null_i32();
}

int main(void)
{
    return prepare() == 0 ? udfvm_serve() : EXIT_FAILURE;
}
