"""The queries in `mistudio_pipelines/graphql/`: each fits Dagster's schema, and docs/graphql.md shows each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from dagster_graphql.schema import create_schema
from graphql import GraphQLSchema, OperationDefinitionNode, parse, validate
from graphql.execution.values import get_variable_values

import mistudio_pipelines

FILES = sorted((Path(mistudio_pipelines.__file__).parent / "graphql").glob("*.graphql"))
DOCUMENT = Path(__file__).parents[1] / "docs" / "graphql.md"


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return create_schema().graphql_schema


def _sections() -> dict[str, str]:
    """The text under each heading, by the names of files in the heading."""
    sections: dict[str, str] = {}
    for part in re.split(r"^### ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        for name in re.findall(r"`(\w+\.graphql)`", heading):
            sections[name] = text
    return sections


def test_the_document_shows_every_file_and_no_other() -> None:
    assert set(_sections()) == {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_query_and_the_variables_of_its_example_fit_the_schema(path: Path, schema: GraphQLSchema) -> None:
    document = parse(path.read_text())
    assert validate(schema, document) == []
    operation = next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    example = re.search(r"```json\n(.*?)```", _sections()[path.name], re.DOTALL)
    assert example is not None
    variables = json.loads(example.group(1))
    coerced = get_variable_values(schema, operation.variable_definitions, variables)
    assert isinstance(coerced, dict), coerced
    assert set(variables) == {one.variable.name.value for one in operation.variable_definitions}
