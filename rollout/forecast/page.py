"""The page of `rollout simulate --html`: a study as one HTML file with tables, plots and warnings.

The file loads nothing: its content security policy forbids all sources, scripts among them. Every text from outside
passes `escape`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape

from rollout.forecast.figures import quantile
from rollout.forecast.plan_warnings import build_label, proportion_text
from rollout.forecast.report import StudyReport, short_duration, utc_minute
from rollout.forecast.run import RunEnding
from rollout.forecast.study import RateStudy, exposed, failed
from rollout.text import count, safe
from rollout.views.charts import Band, Dots, bands, dots, sample
from rollout.views.words import halt_text

_TYPED = re.compile("`([^`]+)`")
"""What the operator is to type, in a warning."""

PLOT_POINTS = 160
"""Points of a curve in a plot."""

PAGE_STYLE = """
:root { color-scheme: light; --ink: #1b2430; --soft: #5b6775; --line: #e3e7ec; --good: #1f7a8c; --bad: #c8402f; --out: #3b5bb5; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 25px; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 17px; margin: 0 0 4px; }
h3 { font-size: 14px; margin: 0 0 6px; font-weight: 600; }
p { margin: 4px 0; } .soft { color: var(--soft); }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin-top: 18px; }
table { border-collapse: collapse; width: 100%; margin-top: 8px; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; color: var(--soft); font-size: 12.5px; }
td { text-align: right; } th, td { padding: 6px 8px; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child, .left { text-align: left; } td:first-child { font-weight: 600; white-space: nowrap; }
code { background: #f0f2f5; border-radius: 4px; padding: 1px 5px; font-size: 13px; }
small { color: var(--soft); white-space: nowrap; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 14px; margin-top: 18px; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.card b { display: block; font-size: 23px; line-height: 1.25; letter-spacing: -.01em; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(390px, 1fr)); gap: 18px 22px; margin-top: 10px; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--soft); } svg .axis { font-size: 12px; }
.grid { stroke: var(--line); fill: none; } .foot { stroke: #9aa5b1; fill: none; }
.line { fill: none; stroke-width: 2; } .band { stroke: none; opacity: .18; } .median { stroke-width: 3; fill: none; } .dot { opacity: .4; }
.good.line, .good.median { stroke: var(--good); } .good.band, .good.dot { fill: var(--good); }
.bad.line, .bad.median { stroke: var(--bad); } .bad.band, .bad.dot { fill: var(--bad); }
.out.median { stroke: var(--out); } .out.dot { fill: var(--out); }
.key { display: inline-block; margin-right: 16px; color: var(--soft); font-size: 13px; }
.key::before { content: ""; display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; background: currentColor; }
.key.good::before { background: var(--good); } .key.bad::before { background: var(--bad); } .key.out::before { background: var(--out); }
ul { margin: 6px 0 0; padding-left: 20px; } li { margin: 5px 0; }
@media print { body { background: #fff; } section, .card { break-inside: avoid; } }
"""


def html_page(report: StudyReport) -> str:
    """Return the whole page; the command writes it to a file."""
    title = f"Simulation of {safe(report.plan.campaign.id)}"
    body = "\n".join(_body(report))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{PAGE_STYLE}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""


def _body(report: StudyReport) -> Iterator[str]:
    plan, study = report.plan, report.study
    yield f"<header><h1>{escape(safe(plan.campaign.name.default))}</h1>"
    jobs = f"{count(plan.devices)} devices, {len(plan.waves)} waves, {count(len(plan.batches))} jobs"
    yield f'<p class="soft">{escape(plan.campaign.id)} · {jobs} · begins {escape(utc_minute(report.start))}</p>'
    yield f'<p class="soft">Fleet: {escape(safe(report.fleet))}</p></header>'
    yield from _cards(report)
    found = report.warnings
    if found:
        yield "<section><h2>What to know before running it</h2><ul>"
        # a command stands between backticks
        yield from ("<li>" + _TYPED.sub(r"<code>\1</code>", escape(one.text)) + "</li>" for one in found)
        yield "</ul></section>"
    yield from _verdicts(report)
    yield from _exposure(report)
    yield from _curves(report)
    yield from _waves(report)
    done = (
        f"{count(study.done)} of {count(study.asked)} runs"
        if study.done < study.asked
        else f"{count(study.done)} runs"
    )
    yield (
        f'<p class="soft">{done} of the real engine in virtual time, {count(report.seeds)} seeds at each failure rate. '
        "Shares with their 95% interval (Wilson). Made by rollout simulate; the same command gives the same page.</p>"
    )


def _cards(report: StudyReport) -> Iterator[str]:
    yield '<div class="cards">'
    shown = report.shown
    took = None if shown is None else shown.quantiles(lambda t: t.took_s, RunEnding.FINISHED)
    if shown is not None and took is not None:
        yield _card(
            short_duration(took.median),
            f"to the end of a {_name(shown)}",
            f"9 of 10 runs within {short_duration(took.p90)}",
        )
    worst = next((rates for rates in reversed(report.study.by_rate) if rates.runs), None)
    if worst is not None:
        out, bad = worst.quantiles(exposed), worst.quantiles(failed)
        assert out is not None, "there is a run"
        assert bad is not None, "there is a run"
        yield _card(
            count(round(out.median)),
            f"devices exposed to a {_name(worst)}",
            f"{bad.median:,.0f} fail before the stop",
        )
    first = report.study.by_rate[0]
    if first.runs:
        yield _card(
            proportion_text(first.share(RunEnding.STOPPED)),
            f"of runs stop a {_name(first)}",
            "the chance of a false stop",
        )
    if shown is not None:
        reads, creates = shown.quantiles(lambda t: t.reads), shown.quantiles(lambda t: t.creates)
        assert reads is not None, "there is a run"
        assert creates is not None, "there is a run"
        yield _card(count(round(reads.median)), "read calls", f"{creates.median:,.0f} create calls")
    yield "</div>"


def _card(figure: str, what: str, more: str) -> str:
    return f'<div class="card"><b>{escape(figure)}</b>{escape(what)}<br><small>{escape(more)}</small></div>'


def _name(rates: RateStudy) -> str:
    return f"{build_label(rates.rate)} build"


def _verdicts(report: StudyReport) -> Iterator[str]:
    yield "<section><h2>What becomes of a build, by its true failure rate</h2>"
    yield '<p class="soft">Median of the runs, and below it what 9 of 10 do not exceed. Healthy is the fleet as it is described; any other rate is that of every device.</p><table>'
    yield '<tr><th>Build</th><th>Stopped</th><th class="left">By</th><th>Ends after</th><th>Exposed</th><th>Failed</th><th>Failed later</th></tr>'
    for rates in report.study.by_rate:
        if not rates.runs:
            continue
        by = "<br>".join(
            f"{escape('' if wave is None else safe(report.plan.waves[wave].name) + ': ')}{escape(halt_text(reason))} <small>{hits} of {len(rates.runs)}</small>"
            for wave, reason, hits in rates.stops[:3]
        )
        cells = [
            _cell(rates, lambda t: t.took_s, short_duration),
            _cell(rates, exposed, _devices),
            _cell(rates, failed, _devices),
            _cell(rates, lambda t: t.later.failed - failed(t), _devices),
        ]
        yield (
            f"<tr><td>{escape(build_label(rates.rate))}</td><td>{escape(proportion_text(rates.share(RunEnding.STOPPED)))}</td>"
            f'<td class="left">{by or "-"}</td>{"".join(cells)}</tr>'
        )
    yield '</table><p class="soft">Exposed: the firmware was pushed to them before the stop, or the end. Failed later: in jobs that go on after a stop.</p></section>'


def _cell(rates: RateStudy, of: Callable[..., float], text: Callable[[float], str]) -> str:
    middle = rates.quantiles(of)
    assert middle is not None, "there is a run"
    return f"<td>{escape(text(middle.median))}<br><small>{escape(text(middle.p90))}</small></td>"


def _devices(number: float) -> str:
    return f"{number:,.0f}"


def _exposure(report: StudyReport) -> Iterator[str]:
    studies = [rates for rates in report.study.by_rate if rates.runs]
    yield "<section><h2>Exposure against the true failure rate</h2>"
    yield '<p><span class="key out">devices exposed</span><span class="key bad">devices failed, before the stop or the end</span></p>'
    yield dots(
        [
            Dots("exposed", "out", [[exposed(t) for t in rates.runs] for rates in studies]),
            Dots("failed", "bad", [[failed(t) for t in rates.runs] for rates in studies]),
        ],
        [build_label(rates.rate) for rates in studies],
        title="Devices exposed and failed in every run, by true failure rate",
        unit="devices (logarithmic)",
        under="true failure rate of the build; every dot a run, the bar their median",
    )
    yield "</section>"


def _curves(report: StudyReport) -> Iterator[str]:
    yield "<section><h2>Devices over time</h2>"
    yield '<p><span class="key good">upgraded</span><span class="key bad">failed</span><span class="soft">as the engine counts them: median of the runs, band from the 10th to the 90th of 100, until 9 of 10 have ended</span></p>'
    yield '<div class="plots">'
    for rates in report.study.by_rate:
        if not rates.runs:
            continue
        stopped = rates.share(RunEnding.STOPPED)
        text = "no run stopped" if not stopped.hits else f"{stopped.hits} of {stopped.of} runs stopped"
        yield f"<div><h3>{escape(_name(rates))}: {escape(text)}</h3>"
        yield bands(
            [_band(rates, "upgraded", "good", 1), _band(rates, "failed", "bad", 2)],
            title=f"Devices upgraded and failed over time, {_name(rates)}",
            unit="devices",
        )
        yield "</div>"
    yield "</div></section>"


def _band(rates: RateStudy, label: str, css: str, column: int) -> Band:
    # the axis ends at the 90 % quantile: one very long run must not squeeze the others
    last = quantile([max(run.took_s, run.curve[-1].at_s) for run in rates.runs], 0.9) or 1.0
    times = [last * number / PLOT_POINTS for number in range(PLOT_POINTS + 1)]
    curves = [[(point.at_s, float(point[column])) for point in run.curve] for run in rates.runs]

    def level(share: float) -> list[float]:
        return sample(curves, times, lambda values: quantile(values, share) or 0.0)

    return Band(label, css, times, level(0.1), level(0.5), level(0.9))


def _waves(report: StudyReport) -> Iterator[str]:
    shown = report.shown
    if shown is None:
        return
    yield f"<section><h2>The waves of a {escape(_name(shown))}</h2><table>"
    yield "<tr><th>Wave</th><th>Devices</th><th>Jobs</th><th>Opens after</th><th>Gate passed after</th><th>Through after</th></tr>"
    for planned in report.plan.waves:
        cells = []
        for of in (lambda w: w.opened_s, lambda w: w.passed_s, lambda w: w.finished_s):
            middle = shown.times(planned.index, of)
            cells.append(f"<td>{'-' if middle is None else escape(short_duration(middle.median))}</td>")
        devices = count(planned.devices) if planned.devices else "by EnOS"
        yield (
            f"<tr><td>{escape(safe(planned.name))}</td><td>{devices}</td><td>{count(planned.last - planned.first)}</td>"
            f"{''.join(cells)}</tr>"
        )
    yield "</table>"
    limits = report.plan.campaign.limits
    for kind, peak, allowed in (
        ("Create", shown.quantiles(lambda t: t.creates_peak), limits.create.rate),
        ("Read", shown.quantiles(lambda t: t.reads_peak), limits.read.rate),
    ):
        assert peak is not None, "there is a run"
        yield f'<p class="soft">{kind} calls: at most {peak.maximum:,.0f} in a minute, of {allowed * 60:,.0f} allowed.</p>'
    at_once = shown.quantiles(lambda t: t.at_once)
    assert at_once is not None, "there is a run"
    cap = limits.devices_in_progress
    yield f'<p class="soft">At once: {at_once.maximum:,.0f} devices at most, {"no cap" if cap is None else f"{cap:,} allowed"}.</p></section>'
