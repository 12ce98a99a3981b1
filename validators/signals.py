"""The contract of signals: a row is a day that is loaded, with those before it.

After Statsig's public documentation of uploads to a container (`integrations/data-imports/azure_upload`): a dataset
with the single column `finished_date`.
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from validators.contract import Contract

#: The column, and how warehouses write it that know no small letters.
COLUMN = "finished_date"
ALIASES = {COLUMN.upper(): COLUMN}


def finished_dates() -> Contract:
    """Return the contract of signals: a date in every row; other columns are left aside."""
    schema = pandera.DataFrameSchema(
        {COLUMN: pandera.Column(pd.ArrowDtype(pa.date32()))},
        name="finished_dates",
        description="A day that is loaded, with those before it.",
    )
    return Contract.of(schema, aliases=ALIASES)
