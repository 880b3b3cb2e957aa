/* Clock and randomness are those of the program: nothing begins anew, in deterministic calls
 * either. */
#include "python/generators.h"

#include "shared/exchange.h"

int generators_begin_call(void)
{
    return 0;
}

int row_begin(void)
{
    return 0;
}

bool call_is_deterministic(void)
{
    return exchange_call()->flags & UDFVM_CALL_DETERMINISTIC;
}
