"""What a word of the language is: a frozen pydantic model in a file of its own.

The file's folder is the word's kind and its file name is its name: ``transforms/svd.py`` defines the transform
``svd``. Fields are the word's arguments. A word without torch rules has only fields; the kinds in
:mod:`surgery_dsl.vocabulary.kinds` say which rules each kind must define. Code that needs torch imports it inside
the runtime rule, so that checking a plan never does.
"""

from abc import ABC
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from pydantic import (
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Data

FunctionEffect = Literal["none", "exact", "bounded", "changing"]
InterfaceEffect = Literal["values", "buffers", "widths", "topology", "inputs", "outputs", "storage"]


@dataclass(frozen=True, slots=True)
class Card:
    """What a word promises, for people and for the conformance suite.

    Attributes:
        summary: One line, imperative, under 80 characters.
        source: Paper and section, or where the definition stands.
        example: A valid use, as it stands in its slot (``svd(rank = 24)``).
        near_miss: A use that must be refused.
        near_miss_code: The code it must give.
        function: Strongest claim on the function that some use of the word reaches.
        interface: What of the interface it may change.
        needs: What it needs: ``data``, ``gradients``, ``seed``, ``labels``.
        fixture: Name of the conformance network that the example applies to.
    """

    summary: str
    source: str
    example: str
    near_miss: str
    near_miss_code: str
    function: FunctionEffect = "none"
    interface: frozenset[InterfaceEffect] = frozenset()
    needs: frozenset[str] = frozenset()
    fixture: str = "mlp"


class Word(Data, ABC):
    """A word with its arguments. Abstract; every word is final.

    Attributes:
        kind: Folder of the file (class attribute, set from the path).
        name: Name of the file (class attribute, set from the path).
        card: The word's card.
        positional: Names of the fields that may be given by position, in order. A last entry that starts with
            ``*`` takes all further positional arguments as a tuple, one that starts with ``**`` all further named
            arguments as a dictionary of numbers, texts, truth values and lists.
        span: Where the plan uses the word.
    """

    model_config = ConfigDict(populate_by_name=True)

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""
    card: ClassVar[Card]
    positional: ClassVar[tuple[str, ...]] = ()

    span: Span | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        parts = cls.__module__.split(".")
        if len(parts) >= 2 and not parts[-1].startswith("_"):
            cls.kind, cls.name = parts[-2], parts[-1]

    def written(self) -> str:
        """Return the word as a plan would write it, with the arguments that are not their defaults."""
        arguments: list[str] = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, dict):
                arguments += [f"{key} = {item}" for key, item in value.items()]
            elif name != "span" and value != field.default:
                text = f"{value.name}(…)" if isinstance(value, Word) else str(value).removesuffix(".0")
                arguments.append(text if name in self.positional else f"{field.alias or name} = {text}")
        return f"{self.name}({', '.join(arguments)})" if arguments else self.name

    @model_serializer(mode="wrap")
    def _with_name(self, handler: Any) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {"word": f"{self.kind}/{self.name}"} | fields

    @model_validator(mode="wrap")
    @classmethod
    def _without_name(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        if isinstance(value, dict) and "word" in value:
            value = {key: item for key, item in value.items() if key != "word"}
        return handler(value)


@dataclass(frozen=True, slots=True)
class Slot:
    """Marks a field that takes a word: ``Annotated[Criterion, Slot("criteria")]``.

    ``kinds`` are the folders where lowering looks the word up; the marker also lets pydantic read the word back
    from JSON, where it stands as an object with the key ``word``.
    """

    kinds: tuple[str, ...]

    def __init__(self, *kinds: str) -> None:
        object.__setattr__(self, "kinds", kinds)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        optional = type(None) in get_args(source)

        def read(value: Any) -> Any:
            return None if value is None and optional else self._read(value)

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value.model_dump() if isinstance(value, Word) else value
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"word": {"type": "string", "pattern": f"^({'|'.join(self.kinds)})/[a-z0-9_]+$"}},
            "required": ["word"],
        }

    def _read(self, value: Any) -> Word:
        if isinstance(value, Word):
            if value.kind not in self.kinds:
                raise ValueError(f"{value.name} is not one of {', '.join(self.kinds)}")
            return value
        if isinstance(value, dict) and isinstance(value.get("word"), str):
            from surgery_dsl.vocabulary import catalogue

            kind, _, name = value["word"].partition("/")
            if kind in self.kinds:
                word: Word = catalogue.find(kind, name).model_validate(value)
                return word
        raise ValueError(f"expected a word of {', '.join(self.kinds)}")


class NumberOr(Slot):
    """Marks a field that takes a number or a word: ``Annotated[float | Schedule, NumberOr("schedules")]``."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "number"}, super().__get_pydantic_json_schema__(schema, handler)]}

    def _read(self, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        return super()._read(value)


class NameOr(Slot):
    """Marks a field that takes the name of a block or a word: ``Annotated[str | Region, NameOr("data", "regions")]``.

    ``blocks`` are the block kinds that may be named.
    """

    blocks: tuple[str, ...]

    def __init__(self, blocks: str | tuple[str, ...], *kinds: str) -> None:
        super().__init__(*kinds)
        object.__setattr__(self, "blocks", (blocks,) if isinstance(blocks, str) else blocks)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, super().__get_pydantic_json_schema__(schema, handler)]}

    def _read(self, value: Any) -> Any:
        return value if isinstance(value, str) else super()._read(value)


@dataclass(frozen=True, slots=True)
class Names:
    """Marks a string field that names a block of the plan: ``Annotated[str, Names("data")]``.

    ``blocks`` are the block kinds that may be named. Lowering checks that the block exists (and stands earlier,
    for steps).
    """

    blocks: tuple[str, ...]

    def __init__(self, *blocks: str) -> None:
        object.__setattr__(self, "blocks", blocks)
