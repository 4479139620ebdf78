"""The id of an order is that of its content."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from msgspec import structs

from schemas.orders import Order, seal
from schemas.signatures import PrivateKey
from tests.schemas.values import ORDERS

KEY = PrivateKey.generate()


@given(ORDERS)
def test_an_order_is_sealed_once_and_for_all(order: Order) -> None:
    """Sealing again, after signing or after a journey, gives the same id."""
    sealed = seal(order)
    travelled = msgspec.json.decode(msgspec.json.encode(KEY.sign(sealed)), type=Order)
    assert seal(sealed).id == seal(KEY.sign(sealed)).id == seal(travelled).id == sealed.id


@pytest.mark.parametrize("field", sorted(set(Order.__struct_fields__) - {"signature", "id"}))
@settings(max_examples=15)
@given(ORDERS, ORDERS)
def test_another_order_has_another_id(field: str, order: Order, other: Order) -> None:
    """Every field counts, so one id never has two contents."""
    changed = structs.replace(order, **{field: getattr(other, field)})
    same = getattr(order, field) == getattr(other, field)
    assert (seal(changed).id == seal(order).id) == same


@given(ORDERS)
def test_what_is_not_sealed_is_told_by_its_id(order: Order) -> None:
    """Whoever hears an order can tell that its id is not the content's."""
    assert (seal(order) == order) == (order.id == seal(order).id)
