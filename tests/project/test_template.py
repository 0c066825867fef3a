"""The CloudFormation template: AWS would accept it, and it names what is in the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from buildhub.settings import SETTINGS

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / ".lambda" / "template.yml"


class _Loader(yaml.SafeLoader):
    """Knows CloudFormation's short forms (``!Ref Name``): their argument is kept."""


def _argument(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _argument)
CONTENT = yaml.load(TEMPLATE.read_text(), Loader=_Loader)
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in CONTENT["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}


def test_cfn_lint_accepts_it():
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([cfn_lint, TEMPLATE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_it_sets_no_variable_that_buildhub_does_not_know():
    groups = [CONTENT["Globals"]["Function"], *FUNCTIONS.values()]
    names = {name for group in groups for name in group["Environment"]["Variables"]}
    assert names <= {variable.envvar for variable in SETTINGS.values()}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_handlers_exist(function):
    module, _, name = FUNCTIONS[function]["Handler"].rpartition(".")
    assert name == "lambda_handler"
    assert (ROOT / (module.replace(".", "/") + ".py")).exists()


def test_a_message_is_not_handed_out_again_while_it_may_still_be_worked_on():
    timeout = FUNCTIONS["EventFunction"]["Timeout"]
    assert CONTENT["Resources"]["Events"]["Properties"]["VisibilityTimeout"] >= 6 * timeout


def test_the_runtime_is_the_python_that_the_zip_is_made_for():
    makefile = (ROOT / "Makefile").read_text()
    assert f"LAMBDA_PYTHON ?= {CONTENT['Globals']['Function']['Runtime'][6:]}\n" in makefile
