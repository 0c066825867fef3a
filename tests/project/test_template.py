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


def resources(kind: str) -> dict[str, dict]:
    """The resources of a type, by name."""
    return {name: one for name, one in CONTENT["Resources"].items() if one["Type"] == kind}


FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in resources("AWS::Serverless::Function").items()
}


def test_cfn_lint_accepts_it():
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([cfn_lint, TEMPLATE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_it_sets_no_variable_that_buildhub_does_not_know():
    groups = [CONTENT["Globals"]["Function"], *FUNCTIONS.values()]
    names = {name for group in groups for name in group["Environment"]["Variables"]}
    assert names <= {variable.envvar for variable in SETTINGS.values()} | {"AUTH_SECRET"}


def test_the_secret_itself_is_nowhere_in_it():
    """Whoever may look at a function's configuration would see it."""
    assert "resolve:secretsmanager" not in TEMPLATE.read_text()
    for function in FUNCTIONS.values():
        (policy,) = function["Policies"]
        (statement,) = policy["Statement"]
        assert statement["Action"] == "secretsmanager:GetSecretValue"


def test_every_alarm_goes_to_the_topic():
    alarms = resources("AWS::CloudWatch::Alarm")
    assert len(alarms) == 5
    for alarm in alarms.values():
        assert alarm["Properties"]["AlarmActions"] == ["AlarmTopic"]


def test_each_function_has_an_alarm_for_its_errors_and_time_outs():
    watched = {
        dimension["Value"]
        for alarm in resources("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == "Errors"
        for dimension in alarm["Properties"]["Dimensions"]
    }
    assert watched == {*FUNCTIONS}


def test_36_hours_without_success_raise_an_alarm_also_if_nothing_runs_at_all():
    alarm = CONTENT["Resources"]["NoSuccess"]["Properties"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 36 * 3600
    assert alarm["TreatMissingData"] == "breaching"


def test_the_state_machine_ends_and_runs_once_at_a_time():
    definition = CONTENT["Resources"]["CatchUp"]["Properties"]["Definition"]
    states = definition["States"]
    assert definition["TimeoutSeconds"] <= 24 * 3600
    assert states["Load"]["TimeoutSeconds"] > FUNCTIONS["InventoryFunction"]["Timeout"]
    too_many, again = states["AnythingLeft"]["Choices"]
    assert (too_many["Next"], again["Next"]) == ("TooManyRounds", "Load")
    assert {"rounds" in str(condition) for condition in too_many["And"]} == {True, False}
    assert states["IsAnotherRunning"]["Choices"][0]["Next"] == "AnotherIsRunning"


def test_events_that_were_lost_survive_the_stack():
    assert CONTENT["Resources"]["LostEvents"]["DeletionPolicy"] == "Retain"


def test_without_a_topic_of_events_there_is_no_subscription():
    assert CONTENT["Parameters"]["EventsTopic"]["Default"] == ""
    for name in ("EventsPolicy", "EventsSubscription"):
        assert CONTENT["Resources"][name]["Condition"] == "HasEvents"


def test_today_s_archive_is_read_by_default():
    assert CONTENT["Parameters"]["Source"]["Default"] == "bucket"


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
