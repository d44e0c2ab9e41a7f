"""The admin page: the state of `admin.platform_state` as HTML with one style sheet, no scripts, nothing from elsewhere.

All texts that come from callers or a fleet are escaped. The widths of bars are SVG attributes, so that the content
security policy can forbid all inline styles and scripts.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rollout.emulator.http.faults import OPERATIONS, WHAT_FAULTS_DO
from rollout.emulator.http.gateway import GatewayRules
from rollout.emulator.http.settings import EXPLAINED, choices, knob_values
from rollout.emulator.platform.knobs import Knobs

STYLE_PATH = "/_admin/style.css"

POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""The page's Content-Security-Policy: its own style sheet and forms, nothing else."""

CALLS_SHOWN = 50
"""Calls on the page; the JSON state has all. Ours."""

JOBS_ON_PAGE = 25
"""Jobs on the page, unless `?jobs=` asks for another number. Ours."""

REFRESH_S = 5
"""Seconds after which the page reloads itself, if asked to. Ours."""

BAR_WIDTH = 180

KNOB_DEFAULTS = knob_values(Knobs(), GatewayRules())

STYLE = """\
:root { color-scheme: light dark; --line: #d5dae1; --soft: #f4f6f9; --dim: #5c6773; --ink: #1c2530; --paper: #fff;
  --init: #9aa7b5; --published: #d9a400; --upgrading: #2f7fd6; --succeeded: #2c9a52; --failed: #d0433b; }
@media (prefers-color-scheme: dark) { :root { --line: #3a434e; --soft: #20262e; --dim: #9aa7b5; --ink: #e4e9ef; --paper: #14181d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: 1rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; align-items: baseline; border-bottom: 1px solid var(--line); }
h1 { font-size: 1.35rem; margin: .4rem 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
nav { margin-left: auto; } nav a { margin-left: 1rem; }
a { color: var(--upgrading); }
code, .id { font: .9em ui-monospace, monospace; }
.note, .dim { color: var(--dim); } .note { margin: .2rem 0 .6rem; max-width: 60rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.figure { background: var(--soft); border-radius: .5rem; padding: .5rem .8rem; }
.figure b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } table.narrow { width: auto; min-width: 30rem; margin-bottom: .6rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--dim); font-size: .85rem; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } td.nowrap { white-space: nowrap; } td.name { overflow-wrap: anywhere; min-width: 9rem; }
svg { vertical-align: middle; border-radius: 3px; background: var(--soft); }
.init { fill: var(--init); } .published { fill: var(--published); } .upgrading { fill: var(--upgrading); }
.succeeded { fill: var(--succeeded); } .failed { fill: var(--failed); }
.legend svg { margin: 0 .3rem 0 1rem; }
.pill { border: 1px solid var(--line); border-radius: 1rem; padding: 0 .6rem; font-size: .85rem; white-space: nowrap; }
.good { color: var(--succeeded); } .bad { color: var(--failed); font-weight: 600; }
.turned td { background: color-mix(in srgb, var(--published) 14%, transparent); }
input, select, textarea, button { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line);
  border-radius: .3rem; padding: .2rem .4rem; }
textarea { width: 100%; max-width: 50rem; font: .9em ui-monospace, monospace; }
button { background: var(--soft); cursor: pointer; padding: .3rem .9rem; margin: .5rem 0; }
input:focus-visible, select:focus-visible, textarea:focus-visible, button:focus-visible, a:focus-visible, summary:focus-visible {
  outline: 2px solid var(--upgrading); outline-offset: 1px; }
"""


def admin_html(state: Mapping[str, Any], *, refresh: bool) -> str:
    """Return the page for a state; `refresh`: whether the browser reloads it every `REFRESH_S` seconds."""
    again = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if refresh else ""
    switch = (
        '<a href="/_admin">stop refreshing</a>'
        if refresh
        else f'<a href="/_admin?refresh=1">refresh every {REFRESH_S} s</a>'
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">{again}
<title>EnOS emulator</title><link rel="stylesheet" href="{STYLE_PATH}"></head><body>
<header><h1>EnOS emulator</h1><span>organisation <code>{_text(state["orgId"])}</code></span>
<span>{_moment(state["now"])} UTC on its clock</span>
<nav><a href="/_admin">look again</a>{switch}<a href="/_admin/state">as JSON</a></nav></header>
<main>
{_figures(state)}
{_jobs(state)}
{_calls(state)}
{_faults(state)}
{_knobs(state)}
</main></body></html>"""


# --- parts --------------------------------------------------------------------------------------------------------


def _figures(state: Mapping[str, Any]) -> str:
    doubled = len(state["jobsWithSameName"])
    cards = [
        ("devices", f"{state['devices']:,}", ""),
        ("jobs", f"{state['jobs']:,}", f"{doubled:,} names with several jobs" if doubled else ""),
        ("devices at work", f"{state['inProgress']:,}", f"most at once: {state['inProgressMax']:,}"),
        (
            "creates received",
            f"{state['creates']:,}",
            f"{state['createsLastSecond']} in the last second, most in one: {state['createsPerSecondMax']}",
        ),
    ]
    figures = "".join(
        f'<div class="figure">{label}<b>{value}</b><span class="dim">{note}</span></div>'
        for label, value, note in cards
    )
    return f'<div class="figures">{figures}</div>{_legend(state["tasks"])}'


def _legend(tasks: Mapping[str, int]) -> str:
    parts = "".join(
        f'<svg width="12" height="12"><rect width="12" height="12" class="{label}"/></svg>{label} {count:,}'
        for label, count in tasks.items()
    )
    return f'<p class="legend">Tasks {_bar(tasks)}{parts}</p>'


def _jobs(state: Mapping[str, Any]) -> str:
    head = ("name", "job, firmware", "status", "created", "tasks", *state["tasks"])
    rows = "".join(
        f"<tr><td class='name'>{_text(job['name'])}</td><td class='id'>{_text(job['jobId'])}<br>"
        f"<span class='dim'>{_text(job['firmwareId'])}</span></td>"
        f"<td><span class='pill'>{_text(job['status'])}</span></td>"
        f"<td class='nowrap'>{_moment(job['createTime'] / 1000)}</td><td>{_bar(job['tasks'])}</td>"
        + "".join(f"<td class='number'>{count:,}</td>" for count in job["tasks"].values())
        + "</tr>"
        for job in state["newestJobs"]
    )
    more = ""
    if state["jobsMade"] > len(state["newestJobs"]):
        more = (
            f" The newest {len(state['newestJobs']):,} of {state['jobsMade']:,}; "
            '<a href="/_admin?jobs=5000">more</a>.'
        )
    note = "True counts, without the lag that callers see." + more
    return _section("Jobs", note, _table(head, rows, "No job has been created."))


def _faults(state: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td class='id'>{_text(entry['fault'])}</td><td class='number'>{entry['struck']:,}</td></tr>"
        for entry in state["faults"]
    )
    known = "".join(
        f"<tr><td class='id'>{_text(kind)}</td><td>{_text(what)}</td></tr>"
        for kind, what in WHAT_FAULTS_DO.items()
    )
    lines = "\n".join(entry["fault"] for entry in state["faults"])
    form = f"""<form method="post" action="/_admin/faults">
<label for="faults">Faults, one a line</label><br>
<textarea id="faults" name="faults" rows="{max(3, len(state["faults"]) + 1)}" spellcheck="false">{_text(lines)}</textarea><br>
<button>set faults</button></form>
<details><summary>All kinds of faults</summary>
<p class="note">A name and its probability, then any of <code>on</code> (operations joined by +), <code>from</code> and
<code>until</code> (seconds since the start), <code>limit</code> and <code>seconds</code>:
<code>error_503=0.2,on=search+searchTask,until=600,limit=5</code>. Operations: {_text(", ".join(sorted(OPERATIONS)))}.</p>
<table>{known}</table></details>"""
    struck = _table(("fault", "struck"), rows, "No call is made to go wrong.", narrow=True)
    return _section("Faults", "Each call is struck by the first fault whose dice say so.", struck + form)


def _knobs(state: Mapping[str, Any]) -> str:
    rows = "".join(_knob(name, value) for name, value in state["knobs"].items())
    form = (
        f'<form method="post" action="/_admin/knobs">{_table(("knob", "value", "what it turns"), rows, "")}'
        "<button>turn knobs</button></form>"
    )
    note = (
        "What EnOS's documents leave open, each read one way or another. Marked: not the default. "
        "Turning changes what happens from now on."
    )
    return _section("Knobs", note, form)


def _knob(name: str, value: Any) -> str:
    held = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    words = choices(name)
    if words:
        options = "".join(
            f"<option{' selected' if word == held else ''}>{_text(word)}</option>" for word in words
        )
        field = f'<select id="{name}" name="{name}">{options}</select>'
    else:
        field = f'<input id="{name}" name="{name}" value="{_text(held)}" size="12">'
    turned = "" if value == KNOB_DEFAULTS[name] else " class='turned'"
    return f"<tr{turned}><td><label class='id' for='{name}'>{name}</label></td><td>{field}</td><td>{_text(EXPLAINED[name])}</td></tr>"


def _calls(state: Mapping[str, Any]) -> str:
    head = ("time", "call", "HTTP", "code", "signature", "fault", "requestId")
    rows = "".join(
        f"<tr><td class='nowrap'>{_moment(call['at'], clock=True)}</td>"
        f"<td class='nowrap'><b>{_text(call['action'])}</b> <span class='dim'>{_text(call['method'])} "
        f"<span title='{_text(call['path'])}'>{_text(call['path'].rpartition('/')[2])}</span></span></td>"
        f"<td>{_marked(call['status'] or 'no answer', good=call['status'] == 200)}</td>"
        f"<td>{_marked('' if call['code'] is None else call['code'], good=call['code'] == 0)}</td>"
        f"<td>{_marked(call['signature'], good=not call['signature'].startswith('refused'))}</td>"
        f"<td class='id'>{_text(call['fault'])}</td><td class='id dim nowrap'>{_text(call['request_id'])}</td></tr>"
        for call in state["calls"][:CALLS_SHOWN]
    )
    note = f"The last {CALLS_SHOWN}, newest first, in UTC; a refused signature says what was wrong with it."
    return _section("Calls", note, _table(head, rows, "Nobody has called yet."))


# --- pieces -------------------------------------------------------------------------------------------------------


def _section(title: str, note: str, content: str) -> str:
    return f'<section><h2>{title}</h2><p class="note">{note}</p>{content}</section>'


def _table(head: Iterable[str], rows: str, nothing: str, *, narrow: bool = False) -> str:
    if not rows:
        return f'<p class="dim">{nothing}</p>'
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    kind = "narrow" if narrow else "full"
    return f'<div class="wide"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'


def _bar(tasks: Mapping[str, int]) -> str:
    """Return a bar with the share of each status, as SVG."""
    total = sum(tasks.values())
    parts = []
    left = 0.0
    for label, count in tasks.items():
        width = BAR_WIDTH * count / total if total else 0.0
        if width:
            parts.append(f'<rect x="{left:.2f}" width="{width:.2f}" height="12" class="{label}"/>')
        left += width
    words = ", ".join(f"{count:,} {label}" for label, count in tasks.items() if count) or "none"
    title = f"<title>{words}</title>"
    return f'<svg width="{BAR_WIDTH}" height="12" role="img">{title}{"".join(parts)}</svg>'


def _marked(value: object, *, good: bool) -> str:
    return f"<span class='{'good' if good else 'bad'}'>{_text(value)}</span>" if value != "" else ""


def _moment(at: float, *, clock: bool = False) -> str:
    """Return a time in UTC; `clock`: time of day with milliseconds, the date only as a tooltip."""
    day, time_of_day = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)).split()
    if clock:
        return f"<span title='{day} UTC'>{time_of_day}.{int(at % 1 * 1000):03d}</span>"
    return f"{day} {time_of_day}"


def _text(value: object) -> str:
    return html.escape("" if value is None else str(value))
