/* Pages of zeros. */
#include "base/pages.h"

#include <stddef.h>

bool udfvm_page_is_zero(const void *page)
{
    const uint64_t *words = page;
    uint64_t any = 0;
    for (size_t i = 0; i < PAGE / 8 && !any; i += 8)
        any = words[i] | words[i + 1] | words[i + 2] | words[i + 3] | words[i + 4] | words[i + 5] |
              words[i + 6] | words[i + 7];
    return any == 0;
}
