"""enos: sources: what people write is EnOS's grammar with less ceremony, and what EnOS has not is refused with its place."""

import pytest

from rollout.core.records import Condition, DeviceFilter, Sign
from rollout.emulator.platform.expression import parse
from rollout.emulator.platform.search import DEVICE_FIELDS
from rollout.enos.job_plan import ENOS
from rollout.enos.translate import device_expression
from rollout.errors import PlanError
from rollout.intake.device_search import FIELD_VALUES, SEARCH_FIELDS, read_search
from rollout.intake.plan_file import load_plan_file
from rollout.intake.units import Unreadable

READABLE = {
    "enos:productKey=inverter-x": "productKey='inverter-x'",
    "enos: productKey = 'inverter-x' ": "productKey='inverter-x'",
    "EnOS:productKey=inverter-x": "productKey='inverter-x'",
    'enos:productKey="Inverter X"': "productKey='Inverter X'",
    "enos:productKey=a|b": "productKey in ('a','b')",
    "enos:firmwareVersion in (1.8, '1.9')": "firmwareVersion in ('1.8','1.9')",
    "enos:productKey=a and firmwareVersion=1.8|1.9 and status=online": (
        "productKey='a' and firmwareVersion in ('1.8','1.9') and status='online'"
    ),
    "enos:productKey=a & deviceTags.site!=berlin": "productKey='a' and deviceTags.site!='berlin'",
    "enos:deviceTags.a-b/c_1=x": "deviceTags.a-b/c_1='x'",
    "enos:deviceAttributes.power=5|6": "deviceAttributes.power in ('5','6')",
    "enos:NOT EXISTS( deviceTags.spare ) AND exists(deviceAttributes.x)": (
        "not exists(deviceTags.spare) and exists(deviceAttributes.x)"
    ),
    "enos:deviceName like 'Santiago de'": "deviceName like 'Santiago de'",
    "enos:deviceName like and and productKey=and": "deviceName like 'and' and productKey='and'",
    "enos:deviceTags.site=圣地亚哥": "deviceTags.site='圣地亚哥'",
}


@pytest.mark.parametrize(("text", "expression"), READABLE.items())
def test_what_people_write_is_what_enos_is_asked(text, expression):
    """Each condition becomes one of EnOS's, in order; a platform that knows the fields takes the whole."""
    asked = device_expression(read_search(text))
    assert asked == expression
    parse(asked, DEVICE_FIELDS)


def test_conditions_are_values():
    """What is read is a filter of the core, which knows no platform."""
    assert read_search("enos:modelId!=m and firmwareVersion=1|2") == DeviceFilter(
        (Condition("modelId", Sign.UNEQUAL, ("m",)), Condition("firmwareVersion", Sign.EQUAL, ("1", "2")))
    )


UNREADABLE = {
    "enos:": ("expected a condition", "such as enos:productKey=inverter-x"),
    "enos:productKey": ("cannot read 'productKey' as a condition", "field=value"),
    "enos:productKey=": ("cannot read 'productKey=' as a condition", ""),
    "enos:productKey=a and": ("cannot read 'and' as a condition", ""),
    "enos:productKey=a or status=online": ("cannot read 'or status", "there is no or: name two sources"),
    "enos:productKey=a status=online": ("cannot read 'status=online'", ""),
    "enos:productKey=a, status=online": ("cannot read ', status=online'", "joined by and"),
    "enos:productKey==a": ("cannot read 'productKey==a'", "field=value"),
    "enos:productKey=it's": ("cannot read", ""),
    "enos:productKey='a\\' or 1=1": ("cannot read", ""),
    "enos:productKey=''": ("'' cannot be searched for", ""),
    "enos:productKey='a\u202eb'": ("cannot be searched for", ""),
    "enos:prodctKey=a": ("'prodctKey' is no field", "did you mean 'productKey'?"),
    "enos:tags.site=b": ("'tags.site' is no field", "did you mean 'deviceTags.site'?"),
    "enos:deviceTags=b": ("'deviceTags' is no field", "did you mean 'deviceTags.KEY'?"),
    "enos:deviceTags.=b": ("'deviceTags.' is no field", "did you mean 'deviceTags.KEY'?"),
    "enos:xyz=b": ("'xyz' is no field", "known are productKey"),
    "enos:status=up": ("'up' is not one of inactive, online, offline, disable", ""),
    "enos:productKey!=a": ("cannot be compared by !=", ""),
    "enos:exists(productKey)": ("cannot be compared by exists", ""),
    "enos:deviceName=a": ("cannot be compared by =: EnOS has like for it", ""),
    "enos:deviceTags.site=a|b": ("takes one value", "name one source a value"),
    "enos:modelId!=a|b": ("takes one value", "write one condition a value"),
    "enos:deviceKey=" + "|".join(f"d{number}" for number in range(101)): ("101 values, at most 100", ""),
}


@pytest.mark.parametrize(("text", "told"), UNREADABLE.items(), ids=[text[:40] for text in UNREADABLE])
def test_what_enos_cannot_be_asked_is_refused(text, told):
    """R170 with what is wrong, and what to write instead where that can be guessed."""
    with pytest.raises(Unreadable) as refused:
        read_search(text)
    assert refused.value.code == "R170"
    assert told[0] in refused.value.message
    assert told[1] in refused.value.hint


def test_the_fields_are_those_of_the_platform():
    """Every field and sign here is one that the emulator's device search takes, and no field of its is missing."""
    theirs = {name.replace("*", ""): signs for name, signs in DEVICE_FIELDS.items()}
    assert SEARCH_FIELDS.keys() == theirs.keys()
    for name, signs in SEARCH_FIELDS.items():
        assert {"exists" if sign is Sign.MISSING else str(sign) for sign in signs} == theirs[name] - {"in"}
    assert FIELD_VALUES.keys() <= SEARCH_FIELDS.keys()


def test_a_plan_names_the_place_of_a_search_that_cannot_be_read(tmp_path):
    """The fault of a source is told like any other of the file, beside them, in from and in exclude."""
    (tmp_path / "p.yaml").write_text(
        'version: 1\nid: p\norgId: o1\nfirmwareId: f1\ndevices:\n  from: [a.csv, "enos:x=1"]\n'
        "  exclude: [enos:status=up]\nwaves: [{name: all, size: rest}]\n"
    )
    with pytest.raises(PlanError) as refused:
        load_plan_file(tmp_path / "p.yaml", ENOS)
    faults = [(c.line, c.column, c.code) for c in refused.value.complaints if c.code == "R170"]
    assert faults == [(6, 17, "R170"), (7, 13, "R170")]


def test_a_plan_keeps_its_searches(tmp_path):
    """The sources keep their names and order; each search's filter stands beside them."""
    (tmp_path / "p.yaml").write_text(
        "version: 1\nid: p\norgId: o1\nfirmwareId: f1\ndevices:\n"
        "  from: [a.csv, enos:productKey=x]\n  exclude: [enos:firmwareVersion=2.0]\n"
        "waves: [{name: all, size: rest}]\n"
    )
    devices = load_plan_file(tmp_path / "p.yaml", ENOS).devices
    assert devices.files == ("a.csv", "enos:productKey=x")
    assert devices.searches == {
        "enos:productKey=x": read_search("enos:productKey=x"),
        "enos:firmwareVersion=2.0": read_search("enos:firmwareVersion=2.0"),
    }
