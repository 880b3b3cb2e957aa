"""Generates ``udfvm/protocol.py``, the numbers of the protocol in Python, from the ABI header.

``python -m build_native.protocol`` writes the file. A test compares it with the header.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "guest" / "include" / "udfvm_abi.h"
MODULE = ROOT / "udfvm" / "protocol.py"

_MACRO = re.compile(r"#define UDFVM_(\w+) +(?:UDFVM_U64)?\(?(0x[0-9a-fA-F]+|-?\d+)u?\)?(?: |$)")
_HEAD = '''"""The numbers of the protocol of host and guest: requests, statuses, types, storages.

Generated from ``guest/include/udfvm_abi.h``, which says what each one means, by
``python -m build_native.protocol``. Do not edit.
"""

from __future__ import annotations

from udfvm.static_typing import Final

'''


def module(header: str) -> str:
    """Returns the text of the module, from the text of the header.

    >>> print(module("#define UDFVM_STATUS_OK    0\\\\n").splitlines()[-1])
    STATUS_OK: Final = 0
    """
    numbers = filter(None, map(_MACRO.match, header.splitlines()))
    return _HEAD + "".join(f"{number[1]}: Final = {number[2]}\n" for number in numbers)


if __name__ == "__main__":
    MODULE.write_text(module(HEADER.read_text()))
