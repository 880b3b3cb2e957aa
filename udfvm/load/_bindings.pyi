ABSENT: object
LENGTH: object

def changed(bindings: tuple[object, ...], /) -> bool: ...
