/* Signatures in SQL text, and in notes of sealed functions. */
#include <string.h>

#include "sql/signature.h"

#include "guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sql_signature signature;
    const char *wrong = signature_parse((const char *)data, size, &signature);
    if (wrong) {
        if (strlen(wrong) == 0)
            defect("a fault without a text");
        return 0;
    }
    for (uint32_t i = 0; i < signature.count; i++)
        if (signature.parameters[i].name != signature.names[i] || !signature.names[i][0] ||
            !memchr(signature.names[i], 0, sizeof signature.names[i]) ||
            strcmp(type_text(signature.parameters[i].type, signature.json[i]), "?") == 0)
            defect("a parameter without a name or type");
    return 0;
}
