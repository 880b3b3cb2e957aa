// A program in Go: what main prepares, every call finds. udfs.c, a part of the package, makes UDFs of its functions.
//
//	CGO_CFLAGS="-O2 -g -I $(python -c 'import udfvm; print(udfvm.get_include())')" go build -o greeting .
//
// udfvm.from_elf("greeting", "greeting")
package main

// #include <stddef.h>
// int serve(void);
// char *udfvm_memory(size_t size);
import "C"

import (
	"os"
	"text/template"
	"unsafe"
)

var templates = map[string]*template.Template{}

// The text is written to memory of the runtime; its length is returned, or -1 for a language that is not known.
//
//export greet
func greet(language, name *C.char, languageLength, nameLength C.size_t, made **C.char) int64 {
	chosen, known := templates[C.GoStringN(language, C.int(languageLength))]
	if !known {
		return -1
	}
	text := writer{}
	if chosen.Execute(&text, C.GoStringN(name, C.int(nameLength))) != nil {
		return -1
	}
	*made = C.udfvm_memory(C.size_t(len(text.bytes)))
	copy(unsafe.Slice((*byte)(unsafe.Pointer(*made)), len(text.bytes)), text.bytes)
	return int64(len(text.bytes))
}

type writer struct{ bytes []byte }

func (to *writer) Write(bytes []byte) (int, error) {
	to.bytes = append(to.bytes, bytes...)
	return len(bytes), nil
}

func main() {
	for language, text := range map[string]string{"en": "Hello, {{.}}!", "de": "Guten Tag, {{.}}!"} {
		templates[language] = template.Must(template.New(language).Parse(text))
	}
	os.Exit(int(C.serve()))
}
