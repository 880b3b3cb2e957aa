// Plain functions in Go, with its runtime and library.
//
//	go build -buildmode=c-shared -o words.so words.go
//
// udfvm.from_elf("words.so", "words", signature="(text) -> i64")
package main

// #include <stddef.h>
import "C"

import (
	"strings"
	"unicode"
	"unsafe"
)

// Words and numbers in a text.
//
//export words
func words(text *C.char, length C.size_t) int64 {
	split := func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsNumber(c) }
	return int64(len(strings.FieldsFunc(string(unsafe.Slice((*byte)(unsafe.Pointer(text)), length)), split)))
}

// The integers up to a limit that are prime, counted by goroutines that share the work.
//
//export primes
func primes(limit int64) int64 {
	const workers = 4
	found := make(chan int64)
	for worker := int64(0); worker < workers; worker++ {
		go func(start int64) {
			var count int64
			for n := start; n <= limit; n += workers {
				if isPrime(n) {
					count++
				}
			}
			found <- count
		}(2 + worker)
	}
	var total int64
	for worker := 0; worker < workers; worker++ {
		total += <-found
	}
	return total
}

func isPrime(n int64) bool {
	for d := int64(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}

func main() {}
