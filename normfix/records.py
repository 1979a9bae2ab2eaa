"""Dataclasses at a fraction of their import time.

`dataclasses.dataclass` imports `inspect` and compiles up to seven methods for every class: 0.4 ms each, which for the
60 records of the linter is more than the whole time of linting a file. This one compiles `__init__` when there are
many instances, and shares the other methods. It knows what normfix uses (`frozen`, `slots`, `eq`, and `field` with
`default`, `default_factory` and `repr`); `dataclasses.replace`, `asdict` and `fields` work on its classes.
Type checkers see the original.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes 2.5 ms to import; type checkers know this name

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:
    _MISSING = object()
    _FEW = 20

    class _Field:
        __slots__ = ("default", "factory", "repr")

        def __init__(self, default=_MISSING, default_factory=_MISSING, repr=True):
            self.default, self.factory, self.repr = default, default_factory, repr

    field = _Field

    def dataclass(cls=None, *, frozen=False, slots=False, eq=True):
        """The class with the methods of a dataclass."""
        if cls is None:
            return lambda decorated: dataclass(decorated, frozen=frozen, slots=slots, eq=eq)
        own = _own_fields(cls)
        fields = {**getattr(cls, "_record_fields", {}), **own}
        if slots:
            cls = _with_slots(cls, own)
        cls._record_fields = fields
        cls._record_frozen = frozen
        cls._record_made = 0
        cls.__dataclass_fields__ = _StandardFields()
        cls.__match_args__ = tuple(fields)
        cls.__init__ = _first_init
        if "__repr__" not in vars(cls):
            cls.__repr__ = _repr
        if eq:
            cls.__eq__ = _eq
            cls.__hash__ = _hash if frozen else None
        if frozen:
            cls.__setattr__ = cls.__delattr__ = _refuse
            cls.__reduce__ = _reduce
        return cls

    def replace(record, /, **changes):
        """A copy of the record with some fields changed."""
        values = {name: getattr(record, name) for name in record._record_fields}
        return type(record)(**{**values, **changes})

    def _own_fields(cls):
        """The fields that a class body declares; their defaults are taken off the class."""
        fields = {}
        for name, annotation in vars(cls).get("__annotations__", {}).items():
            if str(annotation).startswith("ClassVar"):
                continue
            default = vars(cls).get(name, _MISSING)
            if default is not _MISSING:
                delattr(cls, name)
            fields[name] = default if isinstance(default, _Field) else _Field(default)
        return fields

    def _with_slots(cls, names):
        """The class made anew, as slots can only be given when it is made."""
        body = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
        return type(cls)(cls.__name__, cls.__bases__, {**body, "__slots__": tuple(names)})

    def _first_init(self, *values, **named):
        """Stands in for `__init__` while there are few instances, as most classes never have many."""
        cls = next(base for base in type(self).__mro__ if vars(base).get("__init__") is _first_init)
        given = {**dict(zip(cls._record_fields, values, strict=False)), **named}
        odd = len(given) != len(values) + len(named) or not given.keys() <= cls._record_fields.keys()
        cls._record_made += 1
        if odd or cls._record_made > _FEW or hasattr(cls, "__post_init__"):
            cls.__init__ = _compile_init(cls)
            cls.__init__(self, *values, **named)
            return
        for name, one in cls._record_fields.items():
            value = given.get(name, one.default)
            if value is _MISSING:
                if one.factory is _MISSING:
                    cls.__init__ = _compile_init(cls)
                    cls.__init__(self, *values, **named)  # raises what Python raises for a missing argument
                value = one.factory()
            object.__setattr__(self, name, value)

    def _compile_init(cls):
        names = {"_MISSING": _MISSING, "_set": object.__setattr__}
        parameters, body = [], []
        for name, one in cls._record_fields.items():
            value, parameter = name, name
            if one.factory is not _MISSING:
                names[f"_make_{name}"] = one.factory
                parameter, value = f"{name}=_MISSING", f"_make_{name}() if {name} is _MISSING else {name}"
            elif one.default is not _MISSING:
                names[f"_default_{name}"] = one.default
                parameter = f"{name}=_default_{name}"
            parameters.append(parameter)
            slot = getattr(cls, name, None)
            if cls._record_frozen and hasattr(slot, "__set__"):  # which need not look for the name
                names[f"_set_{name}"] = slot.__set__
                body.append(f"_set_{name}(self, {value})")
            else:
                body.append(f"_set(self, {name!r}, {value})" if cls._record_frozen else f"self.{name} = {value}")
        if hasattr(cls, "__post_init__"):
            body.append("self.__post_init__()")
        exec(f"def __init__(self, {', '.join(parameters)}):\n " + "\n ".join(body or ["pass"]), names)
        names["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
        return names["__init__"]

    def _values(record):
        return tuple(getattr(record, name) for name in record._record_fields)

    def _repr(self):
        shown = (name for name, one in self._record_fields.items() if one.repr)
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def _eq(self, other):
        return _values(self) == _values(other) if type(self) is type(other) else NotImplemented

    def _hash(self):
        return hash(_values(self))

    def _reduce(self):
        return type(self), _values(self)

    def _refuse(self, name, *_):
        raise AttributeError(f"cannot change `{name}` of a frozen {type(self).__name__}")

    class _StandardFields:
        """What `dataclasses` asks a class for; made when it asks."""

        def __get__(self, record, cls):
            from dataclasses import field as standard
            from dataclasses import make_dataclass

            made = [(name, object, standard(default=None)) for name in cls._record_fields]
            cls.__dataclass_fields__ = make_dataclass("Fields", made).__dataclass_fields__
            return cls.__dataclass_fields__
