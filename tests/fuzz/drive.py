"""Runs a fuzzer in Python under atheris: drive.py NAME and options of libFuzzer."""

import sys

import atheris
from fuzz_programs import Target, load


def main() -> None:
    with atheris.instrument_imports(include=["udfvm"]):
        target = load(Target("python", sys.argv.pop(1)))
    atheris.Setup(sys.argv, target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
