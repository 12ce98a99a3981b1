"""A contract of one's own: what a row of the feed `orders` must be, written in pandera as anywhere else."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series


class Orders(pa.DataFrameModel):
    """One order on a line. The order's id is unique, and what was paid is never more than what was asked."""

    order_id: Series[str] = pa.Field(str_matches=r"^A-\d{4}$", unique=True, description="such as A-0001")
    ordered_at: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "ns", "tz": "UTC"})
    country: Series[str] = pa.Field(isin=["DE", "FR", "US"])
    quantity: Series[int] = pa.Field(ge=1, le=1000)
    price: Series[float] = pa.Field(gt=0)
    paid: Series[float] = pa.Field(ge=0, nullable=True)

    @pa.dataframe_check
    def paid_at_most_the_price(cls, frame: pd.DataFrame) -> Series[bool]:  # noqa: N805 - pandera calls it on the class
        """Where something was paid, it was at most quantity times price."""
        return frame["paid"].isna() | (frame["paid"] <= frame["quantity"] * frame["price"])
