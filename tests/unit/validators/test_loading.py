"""References in a configuration, and everything that can be wrong with what they name."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pandas as pd
import pandera.pandas as pandera
import pytest

from validators import check_frame
from validators.contract import Contract, load_contract
from validators.errors import ContractError

PANDERA = "import pandera.pandas as pa\n"
MODEL = """
    from __future__ import annotations

    import pandera.pandas as pa

    class Orders(pa.DataFrameModel):
        amount: float = pa.Field(ge=0)
        customer_id: str
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def refusal(reference: object, **options: object) -> str:
    with pytest.raises(ContractError) as caught:
        load_contract(reference, **options)  # type: ignore[arg-type]
    return str(caught.value)


def names(contract: Contract) -> list[str]:
    return [column.name for column in contract.columns]


def test_a_model_in_a_file_is_loaded_relative_to_the_base(tmp_path: Path) -> None:
    write(tmp_path, "contracts/orders.py", MODEL)
    contract = load_contract("contracts/orders.py:Orders", base=tmp_path)
    assert contract.name == "Orders"
    assert names(contract) == ["amount", "customer_id"]


def test_an_absolute_path_needs_no_base(tmp_path: Path) -> None:
    assert names(load_contract(f"{write(tmp_path, 'orders.py', MODEL)}:Orders")) == ["amount", "customer_id"]


def test_two_files_of_the_same_name_do_not_meet_even_in_their_neighbours(tmp_path: Path) -> None:
    for folder, column in (("a", "left"), ("b", "right")):
        write(tmp_path, f"{folder}/neighbours.py", f"NAME = '{column}'")
        write(
            tmp_path,
            f"{folder}/orders.py",
            """
            import pandera.pandas as pa
            import neighbours

            schema = pa.DataFrameSchema({neighbours.NAME: pa.Column(int)})
            """,
        )
    before = list(sys.path)
    found = [names(load_contract(f"{folder}/orders.py:schema", base=tmp_path)) for folder in "ab"]
    assert found == [["left"], ["right"]]
    assert sys.path == before
    assert "neighbours" not in sys.modules


def test_a_module_is_found_in_the_base_too(tmp_path: Path) -> None:
    write(tmp_path, "shop_contracts/orders.py", MODEL)
    write(tmp_path, "shop_contracts/__init__.py", "")
    before = list(sys.path)
    assert names(load_contract("shop_contracts.orders:Orders", base=tmp_path)) == ["amount", "customer_id"]
    assert sys.path == before


def test_a_yaml_file_of_pandera_is_loaded(tmp_path: Path) -> None:
    schema = pandera.DataFrameSchema(
        {"n": pandera.Column(int, pandera.Check.ge(0), nullable=False), "s": pandera.Column(str, required=False)}
    )
    schema.to_yaml(tmp_path / "orders.yaml")
    contract = load_contract("orders.yaml", base=tmp_path)
    assert contract.name == "orders"
    assert [(column.name, column.required) for column in contract.columns] == [("n", True), ("s", False)]
    assert [rule.expected for rule in contract.rules] == ["at least 0"]


def test_a_function_gets_the_options_of_the_feed(tmp_path: Path) -> None:
    write(
        tmp_path,
        "made.py",
        """
        import pandera.pandas as pa

        def orders(columns, strict=False):
            return pa.DataFrameSchema({name: pa.Column(str) for name in columns}, strict=strict)
        """,
    )
    contract = load_contract("made.py:orders", base=tmp_path, options={"columns": ["a", "b"], "strict": True})
    assert (names(contract), contract.strict) == (["a", "b"], True)
    assert "no option 'colums'; did you mean 'columns'?" in refusal(
        "made.py:orders", base=tmp_path, options={"colums": []}
    )
    assert "needs the option 'columns'" in refusal("made.py:orders", base=tmp_path)


def test_what_is_at_hand_needs_no_reference() -> None:
    schema = pandera.DataFrameSchema({"n": pandera.Column(int)})
    contract = Contract.of(schema)
    assert names(load_contract(schema)) == ["n"]
    assert load_contract(contract).columns == contract.columns
    assert names(load_contract(lambda: schema)) == ["n"]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("nothing", "it is not `module:name`"),
        ("orders.py", "add the name of the schema in it: `orders.py:Name`"),
        (":Orders", "it is not `module:name`"),
        ("missing.py:Orders", "there is no file"),
        ("missing.yaml", "there is no file"),
        ("no_such_module:Orders", "there is no module 'no_such_module', neither installed nor in"),
        ("email.no_such_part:Orders", "there is no module 'email.no_such_part'"),
        ("orders.py:Order", "orders.py has no 'Order'; did you mean 'Orders'?"),
        ("orders.py:Zzz", "orders.py has no 'Zzz'; check the name after the colon"),
        ("pathlib:Path", "it is the class Path, and not a pandera DataFrameModel"),
        ("sys:maxsize", "it is a value of type int, and not a pandera DataFrameModel"),
    ],
)
def test_a_wrong_reference_is_named_with_its_cause(tmp_path: Path, reference: str, words: str) -> None:
    write(tmp_path, "orders.py", MODEL)
    said = refusal(reference, base=tmp_path)
    assert said.startswith(f"contract '{reference}': ")
    assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny = 1 / 0", "ZeroDivisionError: division by zero ({path}, line 2)"),
        ("def broken(:", "SyntaxError: invalid syntax ({path}, line 1)"),
        (
            "import no_such_module_of_mine",
            "ModuleNotFoundError: No module named 'no_such_module_of_mine' ({path}, line 1)",
        ),
        ("import sys\nsys.exit(3)", "SystemExit: 3 ({path}, line 2)"),
        ("def Orders():\n    raise RuntimeError('no database')", "RuntimeError: no database ({path}, line 2)"),
        (
            f"{PANDERA}class Orders(pa.DataFrameModel):\n    a: int\n    @pa.check('b')\n    def r(cls, s): return s",
            "Check r is assigned to a non-existing field 'b'",
        ),
        (f"{PANDERA}class Orders(pa.DataFrameModel):\n    a: 'NoSuchType'", "NoSuchType"),
    ],
)
def test_an_exception_in_a_users_file_is_told_with_file_and_line(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, "orders.py", text)
    said = refusal("orders.py:Orders", base=tmp_path)
    assert said.startswith("contract 'orders.py:Orders': ")
    assert words.format(path=path) in said
    assert said.endswith("Mend it and try again")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a schema of pandera: it names no columns"),
        ("[1, 2]", "is not a schema of pandera: it names no columns"),
        ("schema_type: dataframe\ncolumns: {a: {dtype: no_such_type}}", "no_such_type"),
        ("a: [", "is not YAML: "),
        ("\x00", "is not YAML: "),
    ],
)
def test_a_yaml_file_that_is_no_schema_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "orders.yml").write_text(text)
    said = refusal("orders.yml", base=tmp_path)
    assert said.startswith("contract 'orders.yml': ")
    assert words in said


def test_a_schema_for_polars_is_refused_with_what_to_import(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    write(
        tmp_path,
        "orders.py",
        """
        import pandera.polars as pa

        class Orders(pa.DataFrameModel):
            a: int

        schema = pa.DataFrameSchema({"a": pa.Column(int)})
        """,
    )
    for name in ("Orders", "schema"):
        said = refusal(f"orders.py:{name}", base=tmp_path)
        assert "it is a schema for polars. Write it with `import pandera.pandas as pa`" in said


def test_options_are_refused_where_nothing_takes_them(tmp_path: Path) -> None:
    write(tmp_path, "orders.py", MODEL)
    said = refusal("orders.py:Orders", base=tmp_path, options={"id_types": []})
    assert "it takes no options, but the feed sets id_types" in said


def test_a_function_that_returns_something_else_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "orders.py", "def orders(): return 42")
    assert "it is a value of type int, and not a pandera DataFrameModel" in refusal("orders.py:orders", base=tmp_path)


@pytest.mark.parametrize(
    ("named", "is_a"),
    [("pa.Column(int)", "Column"), ("pa.SeriesSchema(int)", "SeriesSchema"), ("pa.Check.gt(1)", "Check")],
)
def test_other_things_of_pandera_are_no_contract_though_they_can_be_called(
    tmp_path: Path, named: str, is_a: str
) -> None:
    write(tmp_path, "orders.py", f"{PANDERA}orders = {named}")
    assert f"it is a value of type {is_a}, and not a pandera" in refusal("orders.py:orders", base=tmp_path)


def test_a_yaml_file_for_another_library_is_refused(tmp_path: Path) -> None:
    text = str(pandera.DataFrameSchema({"a": pandera.Column(int)}).to_yaml())
    write(tmp_path, "orders.yaml", text.replace("api: pandas", "api: polars"))
    assert "orders.yaml is a schema for polars. Write it with `import pandera.pandas as pa`" in refusal(
        "orders.yaml", base=tmp_path
    )


def test_a_file_that_registers_checks_with_pandera_is_loaded_by_many_feeds(tmp_path: Path) -> None:
    registered = """
        import pandera.extensions as extensions
        @extensions.register_check_method(statistics=["of"])
        def multiple(series, *, of): return series % of == 0
    """
    write(tmp_path, "neighbours.py", registered)
    model = f"""
        {PANDERA}
        import neighbours
        class Orders(pa.DataFrameModel):
            amount: int = pa.Field(multiple=3)
    """
    for name in ("one.py", "two.py", "one.py"):
        write(tmp_path, name, model)
        contract = load_contract(f"{name}:Orders", base=tmp_path)
        checked = check_frame(pd.DataFrame({"amount": [1, 3, 6]}), contract)
        assert checked.good["amount"].tolist() == [3, 6]
    assert not hasattr(pandera.Check, "multiple")


def test_checks_that_an_installed_package_has_registered_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    write(
        tmp_path,
        "site-packages/company_checks_for_tests.py",
        """
        import pandera.extensions as extensions
        @extensions.register_check_method()
        def tiny_for_tests(series): return series < 3
        """,
    )
    write(
        tmp_path,
        "orders.py",
        f"""
        {PANDERA}
        import company_checks_for_tests
        class Orders(pa.DataFrameModel):
            amount: int = pa.Field(tiny_for_tests=())
        """,
    )
    for _ in range(2):
        assert [rule.name for rule in load_contract("orders.py:Orders", base=tmp_path).rules] == ["tiny_for_tests"]


def test_the_built_in_contracts_are_loaded_by_name() -> None:
    metrics = load_contract("validators.metrics:precomputed_metrics", options={"id_types": ["company_id"]})
    assert metrics.name == "precomputed_metrics"
    assert load_contract("validators.events:raw_events").name == "raw_events"
    assert "no option 'idtypes'; did you mean 'id_types'?" in refusal(
        "validators.metrics:precomputed_metrics", options={"idtypes": ["company_id"]}
    )
    assert "option id_types is 'user_id'; give a list" in refusal(
        "validators.metrics:precomputed_metrics", options={"id_types": "user_id"}
    )
