"""Every operation on both codecs: what one side encodes the other decodes, with every field said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Struct, inspect

from bus.api import OPERATIONS
from bus.codec import Codec, answer, codec_of, decode_answer, decode_request, encode
from bus.errors import ApiError, Error

DEEPEST = 3


def sample(kind: inspect.Type, depth: int = 0) -> Any:
    """A plain value of `kind`, as JSON would have it; the same each time."""
    match kind:
        case inspect.StructType(array_like=True):
            return [sample(field.type, depth + 1) for field in kind.fields]
        case inspect.StructType():
            values = {
                field.encode_name: sample(field.type, depth + 1)
                for field in kind.fields
                if field.required or depth < DEEPEST
            }
            return values | ({"v": 1} if "v" in values else {})
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.UnionType():
            return sample(next(each for each in kind.types if not isinstance(each, inspect.NoneType)), depth)
        case inspect.DictType():
            return {"key": sample(kind.value_type, depth + 1)} if depth < DEEPEST else {}
        case inspect.ListType() | inspect.VarTupleType():
            return [sample(kind.item_type, depth + 1)] if depth < DEEPEST else []
        case inspect.TupleType():
            return [sample(each, depth + 1) for each in kind.item_types]
        case inspect.StrType():
            return "text \N{SNOWMAN}"
        case inspect.IntType():
            return 7
        case inspect.FloatType():
            return 1.5
        case inspect.BoolType():
            return True
        case inspect.BytesType():
            return "aGVsbG8="
        case inspect.AnyType():
            return {"any": [1, None]}
        case _:
            raise AssertionError(f"no sample of {kind}")


def made(kind: type[Struct]) -> Struct:
    return msgspec.convert(sample(inspect.type_info(kind)), kind)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("name", OPERATIONS)
def test_requests_and_answers_pass_both_codecs(name: str, codec: Codec) -> None:
    operation = OPERATIONS[name]
    asked = made(operation.request)
    data = encode(asked, codec)
    assert codec_of(data) is codec
    assert decode_request(name, data) == asked
    told = made(operation.answer)
    payload, headers = answer(told, codec)
    assert headers == {} and codec_of(payload) is codec
    assert decode_answer(payload, operation.answer) == told


@pytest.mark.parametrize("codec", Codec)
def test_a_refusal_passes_both_codecs_with_all_it_says(codec: Codec) -> None:
    refused = made(Error)
    assert isinstance(refused, Error) and refused.request_id
    payload, headers = answer(refused, codec)
    assert headers == {"Nats-Service-Error-Code": str(refused.status), "Nats-Service-Error": refused.code}
    with pytest.raises(ApiError) as caught:
        decode_answer(payload, Error)
    assert caught.value.error == refused
