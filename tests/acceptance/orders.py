"""A feed of orders with a contract that can be mended, and a file that breaks it in every way."""

from __future__ import annotations

from tests.acceptance.conftest import Blobdrop

CONTRACT = """
import pandera.pandas as pa

class Orders(pa.DataFrameModel):
    order_id: str = pa.Field(unique=True)
    country: str = pa.Field(isin=[{countries}])
    quantity: int = pa.Field(ge=1)
"""
FEED = """
[[feeds]]
name = "orders"
paths = ["orders/**", "{customer}/orders/**"]
contract = "orders.py:Orders"
"""
HEADER = "order_id,country,quantity\n"
GOOD = "".join(f"{number},DE,5\n" for number in range(100, 110))
#: One of each: mended by another contract, waivable, both, no number, twice the same key, too few fields.
BAD = "us,US,2\nnone,FR,0\nboth,US,0\ntype,DE,x\ntwin,DE,1\ntwin,DE,2\nshort,FR\n"
MIXED = (HEADER + GOOD + BAD).encode()


def set_up(blobdrop: Blobdrop) -> None:
    """Have a feed of orders, from Germany and France."""
    blobdrop.settings["BLOBDROP_SOURCE__SETTLE_SECONDS"] = "0"
    blobdrop.configure(FEED)
    contract(blobdrop)


def contract(blobdrop: Blobdrop, countries: str = '"DE", "FR"') -> None:
    """Write the contract."""
    (blobdrop.folder / "orders.py").write_text(CONTRACT.format(countries=countries))


def mend_contract(blobdrop: Blobdrop) -> None:
    """Take orders from the United States too."""
    contract(blobdrop, '"DE", "FR", "US"')
