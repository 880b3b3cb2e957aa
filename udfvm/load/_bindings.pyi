ABSENT: object
LENGTH: object

def changed(places: tuple[object, ...], /) -> bool: ...
