"""The forecast: what `rollout simulate` tells about a plan before anything is sent.

saved plan + fleet ─► ForecastSetup ─► runs in the virtual world, many seeds at several failure rates ─► Study
Study ─► figures, warnings, report, page
journal of a campaign that is over ─► Calibration (forecast against actual)
"""
