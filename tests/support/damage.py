"""Damage to a JSON document, as a file that was changed by hand has it."""


def damage(document, rng, wrong):
    """Remove a random key of a document, or put one of the wrong values in its place."""
    *path, last = rng.choice(list(_places(document)))
    for key in path:
        document = document[key]
    if rng.random() < 0.2 and isinstance(document, dict):
        del document[last]
    else:
        document[last] = rng.choice(wrong)


def _places(value, path=()):
    """Yield the path to every value inside a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _places(inner, (*path, key))
