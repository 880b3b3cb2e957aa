ABSENT: object
LENGTH: object
IMPORT_NAME: int

def changed(bindings: tuple[object, ...], /) -> bool: ...
