"""Arrow IPC replies of every kind of type."""

from fuzz_inputs import Input, use
from hostile_mutations import TYPES, Mutations

from udfvm.errors import ProtocolError

ROWS = (1, 2, 9)
MUTATIONS: dict[int, Mutations] = {}


def one_input(data: bytes) -> None:
    given = Input(data)
    index, rows = given.byte() % len(TYPES), ROWS[given.byte() % len(ROWS)]
    mutations = MUTATIONS.setdefault(index, Mutations(TYPES[index]))
    reply = given.changed(mutations.honest(rows))
    try:
        array = mutations.codec.read(reply, rows)
    except ProtocolError:
        return
    assert array.type == TYPES[index] and len(array) == rows
    use(array)
