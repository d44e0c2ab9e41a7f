"""The treatment table, row by row, and the lists beside it."""

import pytest

from rollout.enos.codes import (
    CODES,
    CREATE_REFUSALS,
    DEVICE_REPLIES,
    FAILURE,
    GATEWAY,
    PROXY,
    SDK_STATUS,
    STEPS,
    TOKEN_STATUS,
    TREATMENT,
    Action,
    Code,
    DeviceReply,
    Operation,
    SdkStatus,
    Signal,
    Step,
    TokenStatus,
    advise,
    failure_of,
    signal_of_code,
    signal_of_http,
    signal_of_token,
)
from rollout.errors import Failure

TABLES = [CODES, GATEWAY, PROXY, TOKEN_STATUS, SDK_STATUS, STEPS, DEVICE_REPLIES]

# Columns: read, create, start, stop, cancel and retry, delete, upload.
# Where a cell is not documented, an unknown code's treatment stands: stop, on create reconcile.
ROWS = {
    Signal.SUCCESS: "ok ok ok ok ok ok ok",
    Signal.JOB_NOT_FOUND: "again recon again again again done stop",
    Signal.FIRMWARE_NOT_FOUND: "again stop stop stop stop done stop",
    Signal.OTA_INTERNAL_ERROR: "again recon again again fix again again",
    Signal.FIRMWARE_TAKEN: "stop recon stop stop stop stop stop",
    Signal.FIRMWARE_UPLOAD_UNDER_WAY: "stop recon stop stop stop stop again",
    Signal.FIRMWARE_IN_USE: "stop recon stop stop stop hold stop",
    Signal.FIRMWARE_NOT_VERIFIED: "stop hold stop stop stop stop stop",
    Signal.VERIFY_WITH_TOTAL_SCOPE: "stop stop stop stop stop stop stop",
    Signal.TOO_MANY_VERIFY_DEVICES: "stop fix stop stop stop stop stop",
    Signal.JOB_HAS_STARTED: "stop recon done stop stop stop stop",
    Signal.JOB_HAS_STOPPED: "stop recon stop done stop stop stop",
    Signal.JOB_NOT_RUNNING: "stop recon stop stop fix stop stop",
    Signal.JOB_RUNNING: "stop recon stop stop stop fix stop",
    Signal.TASK_NOT_CANCELLABLE: "stop recon stop stop fix stop stop",
    Signal.TASK_NOT_FAILED: "stop recon stop stop fix stop stop",
    Signal.INVALID_ARGUMENT: "stop stop stop stop stop stop stop",
    Signal.DENIED: "stop stop stop stop stop stop stop",
    Signal.OBJECT_NOT_FOUND: "again stop again again again done stop",
    Signal.INTERNAL_ERROR: "again recon again again fix again again",
    Signal.DEVICE_OR_PRODUCT_NOT_FOUND: "stop stop stop stop fix stop stop",
    Signal.DEVICE_ADMINISTRATION: "stop recon stop stop stop stop stop",
    Signal.OTHER_CODE: "stop recon stop stop stop stop stop",
    Signal.BODY_REFUSED: "stop stop stop stop stop stop stop",
    Signal.TOKEN_REFUSED: "auth auth auth auth auth auth auth",
    Signal.TOKEN_REFUSED_TWICE: "stop stop stop stop stop stop stop",
    Signal.ADDRESS_REFUSED: "stop stop stop stop stop stop stop",
    Signal.TOO_LARGE: "fix stop stop stop fix stop stop",
    Signal.THROTTLED: "again again again again again again again",
    Signal.SERVER_FAILED: "again recon again again fix again again",
    Signal.ODD_STATUS: "stop recon stop stop stop stop stop",
    Signal.NOT_CONNECTED: "again again again again again again again",
    Signal.NO_ANSWER: "again recon again again fix again again",
    Signal.UNREADABLE: "again recon again again fix again again",
    Signal.TOKEN_REPEATED: "again again again again again again again",
    Signal.TOKEN_MISCONFIGURED: "stop stop stop stop stop stop stop",
    Signal.TOKEN_SERVICE_FAILED: "again again again again again again again",
    Signal.TOKEN_EXPIRED: "auth auth auth auth auth auth auth",
    Signal.SDK_TOKEN_REFUSED: "auth recon auth auth auth auth auth",
}


@pytest.mark.parametrize("signal", list(Signal), ids=str)
def test_each_row_of_the_table(signal):
    """Every signal is treated as written, in every operation."""
    assert " ".join(advise(signal, operation).action for operation in Operation) == ROWS[signal]


def test_every_list_is_complete():
    """No code, status or signal is without its meaning and its row."""
    assert set(TREATMENT) == set(Signal)
    assert set(FAILURE) == set(Signal) - {Signal.SUCCESS}
    assert set(CODES) == set(Code)
    assert set(TOKEN_STATUS) == set(TokenStatus)
    assert set(SDK_STATUS) == set(SdkStatus)
    assert set(STEPS) == set(Step)
    assert set(DEVICE_REPLIES) == set(DeviceReply)
    assert not GATEWAY.keys() & PROXY.keys()


@pytest.mark.parametrize("table", TABLES, ids=["code", "gateway", "proxy", "token", "sdk", "step", "reply"])
def test_every_meaning_is_told_whole(table):
    """Each code says what it means, how one comes by it, what to do, and on which page it stands."""
    for meaning in table.values():
        assert meaning.meaning
        assert meaning.page
        assert meaning.cause.endswith(".")
        assert meaning.remedy.endswith(".")


@pytest.mark.parametrize("signal", list(FAILURE), ids=str)
def test_what_the_engine_is_told_fits_how_to_go_on(signal):
    """A failure is final exactly where a repeat is pointless, or where it is about the keys."""
    for operation in set(Operation) - {Operation.CREATE}:
        action, failure = advise(signal, operation).action, failure_of(signal, operation)
        assert (failure is Failure.ALREADY_SO) == (action is Action.DONE)
        assert failure.is_final == (action in {Action.STOP, Action.AUTH})


@pytest.mark.parametrize("code", list(Code)[1:], ids=int)
def test_only_the_positive_list_refuses_a_create(code):
    """A code outside the list never says that no job was made."""
    definite = advise(signal_of_code(code, Operation.CREATE), Operation.CREATE).action is not Action.RECON
    assert definite == (code in CREATE_REFUSALS)


@pytest.mark.parametrize("code", [-1, 1, 24605, 24619, 24699, 99401, 10**9])
def test_an_unknown_code_is_never_a_definite_answer_to_create(code):
    """The gaps in EnOS's numbering may mean anything."""
    assert advise(signal_of_code(code, Operation.CREATE), Operation.CREATE).action is Action.RECON
    assert advise(signal_of_code(code, Operation.READ), Operation.READ).action is Action.STOP


def test_not_found_names_what_the_operation_named():
    """24404 is the firmware on create and in calls about firmware, the job elsewhere."""
    assert signal_of_code(24404, Operation.CREATE) is Signal.FIRMWARE_NOT_FOUND
    assert signal_of_code(24404, Operation.STOP) is Signal.JOB_NOT_FOUND
    assert signal_of_code(24404, Operation.READ, of_firmware=True) is Signal.FIRMWARE_NOT_FOUND


@pytest.mark.parametrize(
    ("status", "signal"),
    [
        (200, Signal.UNREADABLE),
        (204, Signal.UNREADABLE),
        (101, Signal.ODD_STATUS),
        (302, Signal.ODD_STATUS),
        (404, Signal.ODD_STATUS),
        (408, Signal.SERVER_FAILED),
        (429, Signal.THROTTLED),
        (500, Signal.SERVER_FAILED),
        (504, Signal.SERVER_FAILED),
        (999, Signal.ODD_STATUS),
    ],
)
def test_a_status_without_envelope_has_its_row(status, signal):
    """Whatever a proxy answers, there is a row for it."""
    assert signal_of_http(status) is signal


@pytest.mark.parametrize(
    ("status", "course"),
    [
        (0, Action.OK),
        (1001, Action.AGAIN),
        (1002, Action.STOP),
        (1003, Action.STOP),
        (1004, Action.STOP),
        (1005, Action.AGAIN),
        (1202, Action.STOP),
        (1203, Action.AUTH),
        (1204, Action.AUTH),
        (1999, Action.AGAIN),
    ],
)
def test_each_status_of_the_token_service(status, course):
    """Wrong credentials stop, a stale token is replaced, the rest passes."""
    assert advise(signal_of_token(status), Operation.READ).action is course
