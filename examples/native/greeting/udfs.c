/* The UDFs of greeting.go. */
#include <udfvm.h>

#include "_cgo_export.h"

char *udfvm_memory(size_t size)
{
    return udfvm_allocate(size);
}

UDFVM_SCALAR(greeting, text, (text, language), (text, name))
{
    udfvm_text made = { NULL, 0 };
    const int64_t length = greet((char *)language.data, (char *)name.data, language.length,
                                 name.length, (char **)&made.data);
    if (length < 0)
        udfvm_fail("no greeting in %.*s", (int)language.length, language.data);
    else
        made.length = (size_t)length;
    return made;
}

int serve(void)
{
    return udfvm_serve();
}
