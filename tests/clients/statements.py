"""The statement endpoint as Databricks' own SDK sees it."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError, NotFound, PermissionDenied, ResourceDoesNotExist
from databricks.sdk.service.sql import StatementParameterListItem, StatementResponse, StatementState


class Checks:
    """One method a check; the name says what it holds."""

    def __init__(self, host: str, token: str, warehouse: str) -> None:
        self.host = host
        self.warehouse = warehouse
        self.client = WorkspaceClient(host=host, token=token, auth_type="pat")

    def run(self, sql: str, client: WorkspaceClient | None = None, **further: object) -> StatementResponse:
        api = (client or self.client).statement_execution
        return api.execute_statement(statement=sql, warehouse_id=self.warehouse, wait_timeout="50s", **further)

    def refused(self, error: type[DatabricksError], call: Callable[[], object]) -> DatabricksError:
        try:
            call()
        except error as refusal:
            return refusal
        raise AssertionError(f"{error.__name__} was expected")

    def values_come_as_texts_with_their_types(self) -> None:
        answer = self.run("SELECT 1 AS one, CAST(NULL AS STRING) AS nothing, true AS yes, CAST('1.10' AS DECIMAL(10,2)) AS money")
        assert answer.status.state == StatementState.SUCCEEDED, answer
        assert answer.result.data_array == [["1", None, "true", "1.10"]], answer.result
        assert [column.type_name.value for column in answer.manifest.schema.columns] == ["INT", "STRING", "BOOLEAN", "DECIMAL"]

    def named_parameters_are_cast(self) -> None:
        number = StatementParameterListItem(name="n", value="41", type="INT")
        nothing = StatementParameterListItem(name="x")
        answer = self.run("SELECT :n + 1 AS n, :x AS x", parameters=[number, nothing])
        assert answer.result.data_array == [["42", None]], answer

    def a_time_comes_with_its_offset(self) -> None:
        answer = self.run("SELECT TIMESTAMP '2021-01-01T10:00:00Z' AS t")
        assert answer.result.data_array == [["2021-01-01T10:00:00.000Z"]], answer.result

    def a_syntax_error_is_failed_and_quotes_the_statement(self) -> None:
        status = self.run("INSER INTO t VALUES (1)").status
        assert status.state == StatementState.FAILED and status.error.error_code.value == "BAD_REQUEST", status
        assert "[PARSE_SYNTAX_ERROR]" in status.error.message and "== SQL ==\nINSER INTO" in status.error.message, status

    def ansi_is_on(self) -> None:
        for sql in ("SELECT CAST('x' AS INT)", "SELECT 1 / 0", "SELECT CAST(300 AS TINYINT)"):
            assert self.run(sql).status.state == StatementState.FAILED, sql

    def rows_written_are_counted(self) -> None:
        for sql in ("CREATE SCHEMA IF NOT EXISTS main.clients", "CREATE TABLE main.clients.t (id INT, name STRING)"):
            assert self.run(sql).status.state == StatementState.SUCCEEDED, sql
        answer = self.run("INSERT INTO main.clients.t VALUES (1, 'a'), (2, 'b')")
        assert answer.result.data_array == [["2", "2"]], answer.result
        merge = "MERGE INTO main.clients.t AS t USING (SELECT 2 AS id, 'c' AS name UNION ALL SELECT 3, 'd') AS s ON t.id = s.id"
        answer = self.run(f"{merge} WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")
        names = [column.name for column in answer.manifest.schema.columns]
        assert dict(zip(names, answer.result.data_array[0], strict=True))["num_affected_rows"] == "2", answer

    def a_statement_is_polled_and_cancelled(self) -> None:
        api = self.client.statement_execution
        started = api.execute_statement(statement="SELECT 1", warehouse_id=self.warehouse, wait_timeout="0s")
        assert started.status.state == StatementState.PENDING, started
        while (state := api.get_statement(started.statement_id).status.state) in (StatementState.PENDING, StatementState.RUNNING):
            pass
        assert state == StatementState.SUCCEEDED
        api.cancel_execution(started.statement_id)

    def refusals_have_their_classes(self) -> None:
        api = self.client.statement_execution
        self.refused(NotFound, lambda: api.get_statement("01f01a47-34fd-1ff6-9d89-ea62a80b80e2"))
        self.refused(ResourceDoesNotExist, lambda: api.execute_statement(statement="SELECT 1", warehouse_id="none"))
        stranger = WorkspaceClient(host=self.host, token="wrong", auth_type="pat")
        self.refused(PermissionDenied, lambda: self.run("SELECT 1", stranger))

    def oauth_gives_a_token(self) -> None:
        client = WorkspaceClient(host=self.host, client_id="client", client_secret="secret", auth_type="oauth-m2m")
        assert self.run("SELECT 2", client).result.data_array == [["2"]]


def check(host: str, token: str, warehouse: str) -> int:
    """Runs every check; returns how many failed."""
    checks = Checks(host, token, warehouse)
    names = [name for name, value in vars(Checks).items() if callable(value) and name not in ("__init__", "run", "refused")]
    failed = 0
    for name in names:
        try:
            getattr(checks, name)()
        except Exception:  # noqa: BLE001 - whatever a check raises is its failure
            failed += 1
            print(f"databricks-sdk: {name} failed\n{traceback.format_exc()}")
    print(f"databricks-sdk: {len(names) - failed} passed, {failed} failed")
    return failed
