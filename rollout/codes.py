"""Every code of our own: what it means, what causes it, what to do. Two tables; the texts stand nowhere else.

A code keeps its meaning for good. Whether it is an error or a warning is a property of the code, so the same fault
cannot be both. The codes are raised all over the program. A test searches the program and fails on a code without a
row here, and on a row that nothing raises.

    R1xx  a document is refused: plan file, device list, saved plan      R6xx  the campaign is another one
    R2xx  a warning about the fleet                                      R7xx  the journal
    R3xx  a warning about the plan                                       R9xx  the machine, or this program
    R4xx  where to run, and with which keys

The second table has the program's exit codes. EnOS's own codes are in `rollout.enos.codes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Severity(StrEnum):
    """How bad a complaint is: an error refuses the document, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class OwnCode:
    """One row. `source` names the page of EnOS that the rule rests on; empty where the rule is ours."""

    severity: Severity
    meaning: str
    cause: str
    remedy: str
    source: str = ""


def _error(meaning: str, cause: str, remedy: str, source: str = "") -> OwnCode:
    return OwnCode(Severity.ERROR, meaning, cause, remedy, source)


def _warning(meaning: str, cause: str, remedy: str, source: str = "") -> OwnCode:
    return OwnCode(Severity.WARNING, meaning, cause, remedy, source)


_CREATE: Final = "create_ota_job"
_SCHEDULE: Final = "create_ota_job (SchedulePolicy struct)"
_KEYS: Final = "limitations (device connection, 3.0.0)"

CATALOGUE: Final[Mapping[str, OwnCode]] = MappingProxyType(
    {
        # the file itself
        "R100": _error(
            "the file cannot be read",
            "There is no such file, it is a directory or a pipe, or this user may not read it.",
            "Check the path and the permissions.",
        ),
        "R111": _error(
            "the file is too large",
            "A plan or fleet file is at most 1 MiB, a device list 4 GiB once unpacked, a .json list 64 MiB.",
            "Move long key lists out of the plan into a file under `devices:`; write a long JSON list as .ndjson.",
        ),
        "R112": _error(
            "the file is empty",
            "It holds nothing, or nothing but notes.",
            "`rollout init` writes a plan to start from.",
        ),
        "R113": _error(
            "the file is not UTF-8",
            "An editor or an export saved it in another encoding, such as UTF-16 or Latin-1.",
            "Save it as UTF-8.",
        ),
        "R114": _error(
            "a control character stands in the file",
            "Pasted text or a broken export carried it in; no editor shows it.",
            "Delete the character at the place given.",
        ),
        "R115": _error(
            "the file is not well-formed YAML",
            "A bracket or quote is left open, or lines are indented unevenly or by tabs.",
            "Correct the place given; the fault may begin a line earlier.",
        ),
        "R116": _error(
            "more than one YAML document",
            "A line `---` begins a second document.",
            "Put each plan into a file of its own.",
        ),
        "R117": _error(
            "a key is given twice",
            "Most readers of YAML silently keep the last one, so the file would mean two things.",
            "Keep one of the two.",
        ),
        "R118": _error(
            "an anchor or alias",
            "`&name` and `*name` copy values unseen, and a few of them can expand without end.",
            "Write the value out.",
        ),
        "R119": _error(
            "a YAML tag",
            "`!!int`, `!x` and the like change how a value is read; here every value is text.",
            "Leave the tag out.",
        ),
        "R120": _error(
            "a merge key",
            "`<<:` mixes another mapping in and overrides keys unseen.",
            "Write the keys out.",
        ),
        "R121": _error(
            "nested too deep",
            "No plan needs more than 20 levels; deeper ones exhaust a reader.",
            "Flatten the file.",
        ),
        # single values
        "R101": _error(
            "not one of the words allowed here",
            "A word is misspelt, or belongs to another key.",
            "Use one of the words that the message lists.",
        ),
        "R102": _error(
            "outside the range allowed here",
            "EnOS's published range, or a bound of ours, leaves the value out.",
            "Choose a value within the range of the message; plans/README.md has them all.",
            _CREATE,
        ),
        "R103": _error(
            "a key that does not exist here",
            "It is misspelt, or stands in the wrong block.",
            "Follow the hint; `rollout schema plan` lists the keys for an editor.",
        ),
        "R104": _error(
            "not a share",
            "A bare number may mean 5 % or 500 %, and a brake misread is worse than one refused.",
            "Write 99% or 0.99.",
        ),
        "R105": _error(
            "not the kind of value wanted here",
            "A list stands where one value is due, or text where a number is.",
            "Write the kind that the message names.",
        ),
        "R106": _error(
            "a key that is needed is missing",
            "The block means nothing without it.",
            "Add the key.",
        ),
        "R107": _error(
            "an id or name with characters that are not allowed",
            "Ids become part of job names, file names and search expressions, where quotes and blanks would do harm.",
            "Use the characters that the message names.",
        ),
        "R108": _error(
            "not a duration",
            "A bare number has no unit.",
            "Write 2h, 30m, 1h30m or 500ms; inside `job:` EnOS's plain seconds hold.",
        ),
        "R109": _error(
            "not a rate",
            "A rate needs its unit, and a number within what a gateway bears.",
            "Write 2/s, 30/min or 100/h.",
        ),
        "R122": _error(
            "a secret in a plan file",
            "Plans are shared, stored and hashed; a key in one is a key published.",
            "Remove it, and replace the key if the file went anywhere. Keys come from the environment or a profile.",
        ),
        "R123": _error(
            "not a point in time",
            "A date without time or zone means other moments elsewhere.",
            "Write epoch milliseconds, or RFC 3339 with a zone: 2026-11-23T09:00:00+01:00.",
            _SCHEDULE,
        ),
        "R125": _error(
            "not a weight",
            "A fleet file gives values by weight; a weight is a number of at least 0, and not all are 0.",
            "Write 3, 0.5 or 80%; only the weights' ratios count.",
        ),
        "R126": _error(
            "not a time of the day",
            "A fleet file gives hours as HH:MM or HH:MM:SS, UTC.",
            "Write 06:00 or 18:30:15.",
        ),
        "R127": _error(
            "not a pattern of device keys",
            "Keys that are made up need one place for their number, EnOS's characters, and 4 to 64 of them.",
            'Write "sim-{n:07}".',
            _KEYS,
        ),
        "R128": _error(
            "a value that the flag does not take",
            "A file of flags gives a flag what the command line would refuse as well.",
            "Write the value as after the flag; the message says how, `--help` lists the flags.",
        ),
        # values that do not go together
        "R124": _error(
            "extra would replace a field that has a key of its own",
            "`job.extra` is for undocumented fields; a documented one in it would escape every check.",
            "Use the key itself.",
        ),
        "R130": _error(
            "not exactly one selector of devices",
            "A wave takes its devices from one of size, keys and upgradeScope; a scope from one selector.",
            "Keep one, and leave the other out.",
            _CREATE,
        ),
        "R131": _error(
            "a scope that EnOS does not allow for this type of job",
            "A verification needs named devices or a partial scope (EnOS answers 24611), and no device groups.",
            "Name the devices, or make the wave an upgrade.",
            _CREATE,
        ),
        "R132": _error(
            "too many asset trees",
            "EnOS takes at most 5 in one job.",
            "Spread them over several waves.",
            "create_ota_job (AssetTreeScope struct)",
        ),
        "R135": _error(
            "two waves with the same name",
            "Names tell waves apart everywhere, whatever the case of their letters.",
            "Rename one.",
        ),
        "R136": _error(
            "nothing can be left for this wave",
            "A wave before it takes the rest.",
            "Put the wave of size rest last, and have only one.",
        ),
        "R137": _error(
            "the shares of the waves are more than the fleet",
            "Shares are of the whole fleet, not of what the waves before left.",
            "Lower a share, or make the last one rest.",
        ),
        "R138": _error(
            "a minimum sample that the wave can never reach",
            "The wave has fewer devices than minSample, so the rule could never speak.",
            "Lower minSample, or enlarge the wave.",
        ),
        "R139": _error(
            "a wave without devices, or with more than there are",
            "The fleet is smaller than the waves before and this one ask for.",
            "Lower a size, or check what `where` and `exclude` leave of the device list.",
        ),
        "R140": _error(
            "one job may have more devices in progress than the budget allows",
            "A job runs up to maximumConcurrency devices at once, so this one alone could break devicesInProgress.",
            "Lower job.maximumConcurrency, or raise limits.devicesInProgress.",
            _CREATE,
        ),
        "R141": _error(
            "a deadline that passes before the gate can be satisfied",
            "It is no longer than the soak, so the gate would always fail.",
            "Lengthen the deadline, or shorten the soak.",
        ),
        "R142": _error(
            "a retry policy without its numbers",
            "enableRetry needs retryInterval and retryCount.",
            "Add both, or switch enableRetry off.",
            "create_ota_job (RetryPolicy struct)",
        ),
        "R143": _error(
            "a schedule that ends before it starts",
            "The two timestamps are exchanged, or one has the wrong zone.",
            "Correct startTimestamp and endTimestamp.",
            _SCHEDULE,
        ),
        "R144": _error(
            "a wave lists a device key twice, or two waves list the same one",
            "Waves are disjoint: no device is in two jobs.",
            "Keep the key in one place.",
        ),
        "R145": _error(
            "a wave names a device that is not in the fleet",
            "The key is misspelt, or the device list or its filter leaves the device out.",
            "Correct the key, or add the device to the list.",
        ),
        "R146": _error(
            "a wave names a device that is excluded",
            "The exclude list and the wave contradict each other.",
            "Take the device out of one of them.",
        ),
        "R149": _error(
            "devices that are in no wave",
            "The waves together are smaller than the fleet, and a device silently left out is a device lost.",
            "Add a wave of size rest, or exclude the devices.",
        ),
        # device files
        "R148": _error(
            "a device file outside the plan's directory",
            "A plan may name only files beside or below it, so that one from elsewhere reads nothing of yours.",
            "Move the file, or give it on the command line: --devices FILE.",
        ),
        "R150": _error(
            "a device file that cannot be read",
            "There is no such file, this user may not read it, or it is of a kind that is not read.",
            "Check the path; save a spreadsheet as CSV, UTF-8.",
        ),
        "R151": _error(
            "no devices",
            "The list is empty, or `where` and `exclude` leave none of it.",
            "Check the list and the filter.",
        ),
        "R152": _error(
            "a column that the device file does not have",
            "The header names it otherwise or twice, or the form of the list has no columns.",
            "Set `devices.key`, `where` or `spreadBy` to a column that is there.",
        ),
        "R153": _error(
            "fields separated by something else",
            "A .csv is read with commas, a .tsv with tabs.",
            "Save it with commas, or name a file with tabs .tsv.",
        ),
        "R154": _error(
            "a quote that is never closed",
            "All up to the next quote becomes one field, and the devices in between vanish.",
            "Close the quote in the line given.",
        ),
        "R155": _error(
            "malformed CSV",
            "Text follows a closing quote, most often.",
            'Write a quote inside quotes as "".',
        ),
        "R156": _error(
            "a row with too few or too many fields",
            "A separator stands in a value without quotes, or a line was cut.",
            "Quote the value, or complete the row.",
        ),
        "R157": _error(
            "not a device key",
            "Device keys have 4 to 64 of A-Z a-z 0-9 - _ . and no placeholder such as null stands for one.",
            "Correct the row, or leave it out; a key that EnOS itself lists so cannot be put into a job.",
            _KEYS,
        ),
        "R158": _error(
            "a device key damaged by a spreadsheet",
            "The key was taken for a number: 1.2E+07, or a trailing .0. What it was cannot be told any more.",
            "Export again with the column as text.",
        ),
        "R159": _error(
            "blanks around a value",
            "Two systems that disagree about blanks disagree about the device.",
            "Remove the blanks where the list comes from.",
        ),
        "R160": _error(
            "an invisible character in a value",
            "A zero-width, soft or bidirectional character makes two keys look alike.",
            "Delete the character at the place given.",
        ),
        "R161": _error(
            "a NUL character",
            "The file is binary, UTF-16, or was damaged on its way.",
            "Save it as plain UTF-8 text.",
        ),
        "R162": _error(
            "a JSON value where a string is wanted",
            "A number loses its leading zeros, and long ones lose digits.",
            'Write "0012345", in quotes.',
        ),
        "R163": _error(
            "malformed JSON",
            "A comma, quote or bracket is missing; in .ndjson each line is a value of its own.",
            "Correct the place given.",
        ),
        "R164": _error(
            "a device that stands in two strata",
            "It is listed twice with different values of the column that a wave is spread by.",
            "Keep the right row.",
        ),
        "R165": _error(
            "a compressed file that is damaged or expands too far",
            "The transfer was cut short, or a small file hides a very large one (more than 100 times its size).",
            "Fetch the file again, or unpack it yourself and look at it.",
        ),
        "R166": _error(
            "a line that is too long",
            "More than 65,536 characters: most often a file without line ends.",
            "Write one device a line.",
        ),
        "R167": _error(
            "a file that changed while it was read",
            "Somebody is still writing it, so what was read is neither the old list nor the new one.",
            "Run it again when the file is complete.",
        ),
        "R168": _error(
            "a letter that only looks like a plain one",
            "A Cyrillic or full-width letter stands in the key; EnOS knows no such key.",
            "Type the key again in plain ASCII.",
            _KEYS,
        ),
        # devices from EnOS's own search
        "R170": _error(
            "a device search that cannot be asked",
            "EnOS's search has no such field, or cannot compare it so; or the condition is misspelt.",
            "Write enos:productKey=x and firmwareVersion=1.8|1.9; plans/README.md has all fields and signs.",
            "search_device (3.0.0, V2.4)",
        ),
        "R171": _error(
            "a device search and nobody to ask",
            "The plan takes its devices from EnOS, no listing is kept from before, and no platform is named; the "
            "emulator inside a process has no devices but the plan's own.",
            "Plan once with --profile NAME or --url, which keeps the listing; or give a file: --devices FILE.",
        ),
        "R172": _error(
            "a damaged listing of devices",
            "The file that keeps what EnOS listed is missing, cut short or was edited.",
            "Ask EnOS again: --refresh. A campaign that has begun goes on from its saved plan.json.",
        ),
        "R173": _error(
            "devices of several products",
            "A create call names devices by their keys, within one product; the same key may exist in another.",
            "Add productKey=... to the search, or a filter: where: {productKey: [...]}.",
            "create_ota_job (UpgradeScope struct, productKey)",
        ),
        # saved plans
        "R180": _error(
            "not a saved plan",
            "The file is something else, or no file.",
            "Give the plan.json that `rollout plan` saved, or the plan file itself.",
        ),
        "R181": _error(
            "a saved plan of a newer program",
            "A later version of rollout saved it in a form that this one does not know.",
            "Use the program that saved it.",
        ),
        "R182": _error(
            "a damaged saved plan",
            "plan.json or plan.devices was edited, cut short, or copied without the other.",
            "Restore both from a backup, or plan anew; a plan that a campaign was begun with must come back as it was.",
        ),
        "R183": _error(
            "a plan that cannot be saved",
            "The disk is full, or the state directory cannot be written.",
            "Make room, or choose another place: --state-dir DIR.",
        ),
        "R199": _error(
            "more faults than are shown",
            "At most 20 are told in full.",
            "Mend those, and run it again.",
        ),
        # warnings: other readers
        "R110": _warning(
            "a value that other YAML readers change",
            "Without quotes 1.10 is a number to them, and no is false; rollout keeps the text.",
            "Put it in quotes, so that every program reads the same.",
        ),
        # warnings: the fleet
        "R201": _warning(
            "strata too small to be in a sample",
            "A share of a small site is less than one device, so some sites have none in this wave.",
            "Nothing, if the other sites speak for them; otherwise enlarge the wave.",
        ),
        "R202": _warning(
            "devices listed more than once",
            "Two exports overlap, or the list was joined from several.",
            "Nothing: each device counts once. Look whether the list is the one you meant.",
        ),
        "R203": _warning(
            "excluded devices that are not in the fleet",
            "The exclude list is older than the device list, or for another fleet.",
            "Check for misspelt keys: a device meant to be spared may be in the campaign.",
        ),
        "R204": _warning(
            "a filter value that no device has",
            "It is misspelt, or the devices have it no more.",
            "Correct `devices.where`.",
        ),
        "R205": _warning(
            "an exclude file without devices",
            "The file is empty.",
            "Check that it is the right one.",
        ),
        # warnings: the plan
        "R301": _warning(
            "more devices in a verification than EnOS's console allows",
            "The console allows 5; since 2.4 each firmware may set its own number.",
            "See that the firmware's maxAllowedForVerification is large enough, or EnOS answers 24612.",
            "verifying_firmware",
        ),
        "R302": _warning(
            "a deadline that slow devices cannot meet",
            "It is shorter than upgradeTimeout with EnOS's retries and the soak.",
            "Lengthen the deadline, or accept that slow devices fail the gate.",
        ),
        "R303": _warning(
            "a locale EnOS does not know",
            "EnOS writes locales with an underscore: en_US.",
            "Use en_US, zh_CN, ja_JP or es_ES.",
            "overview (StringI18n)",
        ),
        "R304": _warning(
            "undocumented fields passed through",
            "`job.extra` is sent as it stands, and EnOS may ignore or refuse it.",
            "Nothing, if you know the field; otherwise remove it.",
        ),
        "R305": _warning(
            "a wave that nothing stops",
            "It has no gate, so whatever becomes of it, the campaign goes on.",
            "Give it a gate, stopAt at least.",
        ),
        "R306": _warning(
            "a device budget that cannot be used fully",
            "A job is started whole or not at all; large jobs leave up to one job's share of the budget unused.",
            "Lower job.maximumConcurrency as the hint says, or live with less.",
        ),
        "R307": _warning(
            "devices that only EnOS's own scope can reach",
            "No wave takes them from the list; a wave with upgradeScope may or may not include them.",
            "Check that the scope covers them, or add a wave of size rest.",
        ),
        "R308": _warning(
            "a schedule that is over",
            "endTimestamp is in the past, so EnOS would push to no device.",
            "Move the window.",
            _SCHEDULE,
        ),
        "R309": _warning(
            "a schedule shorter than EnOS's console allows",
            "The console asks for 30 minutes at least; whether the API does is not published.",
            "Lengthen the window if EnOS refuses it.",
            "batch_upgrading_firmware (2.1.0)",
        ),
        "R310": _warning(
            "a job whose devices may grow by themselves",
            "upgradePolicy incremental lets EnOS add devices later, which no wave, gate or budget counts.",
            "Use snapshot in a campaign of waves.",
            "batch_upgrading_firmware (2.1.0)",
        ),
        "R311": _warning(
            "a retry policy that is switched off",
            "retryInterval and retryCount mean nothing while enableRetry is not true.",
            "Set enableRetry: true, or leave the numbers out.",
            "create_ota_job (RetryPolicy struct)",
        ),
        "R312": _warning(
            "a gate that waits for no result",
            "It only asks for a stop rule, so the next wave opens as soon as this one's jobs are created.",
            "Add success, resolved or soak.",
        ),
        # where to run, and with which keys
        "R401": _error(
            "a key of the profile is missing",
            "The environment variable or file that the profile names is not there, or empty. Exit code 4.",
            "Export ENOS_ACCESS_KEY and ENOS_SECRET_KEY, or name files of mode 0600 in rollout.toml.",
        ),
        "R402": _error(
            "a key with characters that cannot be in one",
            "A blank or line feed came along with copy and paste.",
            "Store the key again, without anything around it.",
        ),
        "R403": _error(
            "a secret file that must not be used",
            "Others can read it, it is a link, or no file of a few lines.",
            "chmod 600 FILE, or name a regular file.",
        ),
        "R404": _error(
            "nothing says where to run",
            "No profile is chosen, none is the default, and no URL is given.",
            "--emulator rehearses; --profile NAME, --url or ENOS_URL name a gateway.",
        ),
        "R405": _error(
            "a plan for another organisation than the profile's",
            "The plan's orgId and the profile's org_id differ.",
            "Choose the other profile, or correct the plan.",
        ),
        # the campaign
        "R601": _error(
            "the campaign was begun with another plan",
            "The plan, its device list or its seed changed since the first run; half a campaign under each would be neither.",
            "Go on with the saved plan.json, or give the changed plan another id.",
        ),
        # the journal
        "R701": _error(
            "another runner holds the campaign",
            "One process a campaign: two would create every job twice. Exit code 7.",
            "`rollout status` tells who it is, `rollout pause` and `rollout abort` steer it.",
        ),
        "R702": _error(
            "not a journal",
            "The file is something else, or empty.",
            "Check that the state directory is the campaign's; restore it from a backup.",
        ),
        "R703": _error(
            "a journal of a newer program",
            "A later version of rollout wrote it.",
            "Upgrade rollout, then run it again.",
        ),
        "R704": _error(
            "a journal whose tables were changed",
            "Something other than rollout altered the file; a trigger in it could rewrite history.",
            "Restore it from a backup.",
        ),
        "R705": _error(
            "a damaged journal",
            "The disk failed, or the file was copied while it was written.",
            "Restore the whole directory from a backup; what was created since is then looked for by name.",
        ),
        "R706": _error(
            "a journal that cannot be used here",
            "It is missing, read-only, a link, or on a file system without what SQLite needs.",
            "Make the directory yours to read and write, on a local disk.",
        ),
        "R707": _error(
            "a journal on a network file system",
            "Locks there cannot be trusted, and two runners could hold one campaign.",
            "Keep the state directory on a local disk: --state-dir DIR.",
        ),
        "R708": _error(
            "a journal is there already",
            "Remains of another journal lie where a new one is to be made.",
            "`rollout run` continues a campaign that has begun; otherwise move the files away.",
        ),
        "R709": _error(
            "an event could not be stored",
            "The disk is full or failing, or the journal was closed. Nothing is sent that is not stored first.",
            "Free space or mend the disk, then run the campaign again: it goes on from what is stored.",
        ),
        "R710": _error(
            "too little room on the disk",
            "Journal and event log grow with every job; a campaign that finds its disk full stops, and waits for a person.",
            "Make room, or keep the state on another disk: --state-dir DIR.",
        ),
        # the machine, or this program
        "R900": _error(
            "a fault of rollout itself",
            "Something happened that the program does not provide for.",
            "Report it with the traceback from errors.log in the state directory; no secret is in it.",
        ),
        "R901": _error(
            "a file of the system that cannot be used",
            "The message is the system's own: no space, no permission, no such file.",
            "Mend that, then run it again.",
        ),
        "R902": _error(
            "a process of the simulation died",
            "The system ended it, most likely for want of memory; a million devices take about a gigabyte.",
            "Simulate with fewer processes: --jobs 1.",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class ExitCode:
    """One exit code; `restart` says whether a supervisor may start the same line again, None where nothing is left."""

    meaning: str
    cause: str
    remedy: str
    restart: bool | None = False


EXITS: Final[Mapping[int, ExitCode]] = MappingProxyType(
    {
        0: ExitCode("done as asked", "Finished, and every gate passed.", "Nothing.", restart=None),
        1: ExitCode(
            "unexpected error, or the platform could not be reached",
            "The message says which; a campaign that has jobs outlasts an outage.",
            "Run the same line again: it goes on from what is stored.",
            restart=True,
        ),
        2: ExitCode(
            "wrong usage, or an invalid plan, fleet or setting",
            "Every fault is told with its place.",
            "Correct it; `rollout explain CODE` tells more of one.",
        ),
        3: ExitCode(
            "a gate or a rule stopped the campaign, or a person aborted it",
            "`rollout status` tells which, with the numbers it was judged by.",
            "Find the cause first; then the lines printed at the end resume it, or pass the gate all the same.",
        ),
        4: ExitCode(
            "credentials missing or refused",
            "Keys are not set, the platform refuses them, or they lack a permission.",
            "Check the profile's keys and the application's permissions; `rollout doctor` says which it is.",
        ),
        5: ExitCode(
            "finished, but devices failed or are open, and --strict was given",
            "The gates tolerated them.",
            "`rollout status` counts them; retry them in the console, or in a campaign of their own.",
            restart=None,
        ),
        6: ExitCode(
            "left while waiting for a person or a soak",
            "--exit-on-wait was given.",
            "Approve if that is asked, or decide what `rollout status` tells; then run the same line again.",
        ),
        7: ExitCode(
            "another runner holds the campaign",
            "One process a campaign: two would create every job twice.",
            "`rollout status` tells who it is.",
        ),
        8: ExitCode(
            "a create may have taken effect and could not be settled",
            "It got no definite answer, and what was found afterwards is no proof either way.",
            "`rollout jobs` shows the parked batch: look for its job in the console, then resume.",
        ),
        10: ExitCode(
            "there is work to do",
            "`rollout plan --detailed-exitcode` was asked.",
            "Run the plan.",
            restart=None,
        ),
        130: ExitCode(
            "interrupted, state saved",
            "SIGINT, such as Ctrl-C.",
            "Run the same line again: it goes on where it was.",
            restart=True,
        ),
        143: ExitCode(
            "terminated, state saved",
            "SIGTERM, such as a service being stopped.",
            "Run the same line again: it goes on where it was.",
            restart=True,
        ),
    }
)
"""How the program ends; part of its promise. Others that a shell shows (137) are the system's."""
