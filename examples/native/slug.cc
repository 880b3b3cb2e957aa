// Text in, text out, with C++'s library.
//
//     g++ -O3 -g -shared -fPIC -std=gnu++20 -I "$(python -c 'import udfvm; print(udfvm.get_include())')" slug.cc -o slug.so
#include <udfvm.h>

#include <algorithm>
#include <cctype>
#include <string>

UDFVM_SCALAR(slug, text, (text, title))
{
    std::string made;
    for (const unsigned char c : std::string(title.data, title.length))
        if (std::isalnum(c))
            made += static_cast<char>(std::tolower(c));
        else if (!made.empty() && made.back() != '-')
            made += '-';
    if (!made.empty() && made.back() == '-')
        made.pop_back();
    if (made.empty())
        udfvm_fail("nothing of the title is left");
    char *const kept = udfvm_allocate(made.size());
    std::copy(made.begin(), made.end(), kept);
    return udfvm_text{ kept, made.size() };
}
