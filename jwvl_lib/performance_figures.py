"""Figures of notebook 08: ratios with their spread, margins to the bars, growth, limits, the chain, the faults.

Takes the tables of `jwvl_lib.performance`; reads and writes nothing. Blue holds, red falls short, grey was
not measured.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from jwvl_lib.performance import NOT_MEASURED, SHARE_BAR
from jwvl_lib.performance_growth import slope

COLOURS = {"yes": "#1f5a8a", "no": "#b2182b", "reported": "#7a7a7a", NOT_MEASURED: "#b5b5b5"}
PLAIN = FuncFormatter(lambda x, _: f"{x:g}")


def plot_speed(ax: Axes, table: pd.DataFrame) -> Axes:
    """Rows of `performance.speed_table`: a dot a pair, a diamond at the median, a thick tick at the bar; log axis.

    At 1 both sides take the same time. A row without a record says so and has no mark.
    """
    for y, row in enumerate(table.itertuples()):
        colour = COLOURS[row.holds]
        if row.pairs:
            ax.plot([row.least, row.most], [y, y], color=colour, lw=1, alpha=0.5, zorder=1)
            ax.plot(row.pairs, [y] * len(row.pairs), "o", ms=4.5, mew=0, alpha=0.45, color=colour, zorder=2)
        if not math.isnan(row.median):
            ax.plot(row.median, y, "D", ms=6, color=colour, zorder=3)
            right = max(row.median, row.bar or 0, *row.pairs)
            ax.text(right * 1.07, y, f"{row.median:.3g}×", va="center", fontsize=8.5, color=colour, weight="bold")
        else:
            beside = 1.06 * max(1, row.bar if row.bar and not math.isnan(row.bar) else 1)
            ax.text(beside, y, NOT_MEASURED, va="center", fontsize=8, color="0.5", style="italic")
        if row.bar and not math.isnan(row.bar):
            ax.plot([row.bar] * 2, [y - 0.34, y + 0.34], color="black", lw=2.2, solid_capstyle="butt", zorder=4)
    ax.axvline(1, color="0.6", lw=0.8, zorder=0)
    ax.set_xscale("log")
    highest = np.nanmax([*table["most"], *table["median"], *table["bar"].astype(float), 2])
    ax.set_xlim(0.8, highest * 1.8)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(PLAIN)
    ax.set_yticks(range(len(table)), [f"{r.what}\nbeside {r.peer}" for r in table.itertuples()], fontsize=7.5)
    ax.set_ylim(len(table) - 0.4, -0.7)
    ax.set_xlabel("times as fast as the peer (a dot a pair, a diamond the median, a black tick the bar)")
    ax.grid(axis="x", alpha=0.25)
    return _open(ax)


def plot_margins(ax: Axes, table: pd.DataFrame, bars: Mapping[str, Mapping], values: Mapping[str, float]) -> Axes:
    """How far each measured figure lies on the right side of its bar: figure over bar, or bar over figure; log axis.

    Bars of zero are counts: a mark at the right edge where nothing was found, at the left where something was. Slopes
    are left to `growth`.
    """
    judged = table["holds"].isin(("yes", "no")) & ~table["bar"].str.endswith("slope")
    shown, edge = table[judged].reset_index(drop=True), 10.0
    for y, row in enumerate(shown.itertuples()):
        x = float(np.clip(_margin(bars[row.row], values[row.row]), 1 / edge, edge))
        ax.plot([1, x], [y, y], color=COLOURS[row.holds], lw=1.4, alpha=0.6)
        ax.plot(x, y, ">" if x == edge else "<" if x == 1 / edge else "o", ms=5, color=COLOURS[row.holds])
        said = f"{row.figure}  ({row.bar})".replace(">=", "≥").replace("<=", "≤").replace(" times", "×")
        ax.text(edge * 1.2, y, said, va="center", fontsize=7, color=COLOURS[row.holds])
    ax.axvline(1, color="black", lw=1)
    ax.set_xscale("log")
    ax.set_xlim(1 / edge / 1.1, edge * 1.1)
    ticks = {1 / edge: "≤ 0.1", 0.2: "0.2", 0.5: "0.5", 1: "the bar", 2: "2×", 5: "5×", edge: "≥ 10×"}
    ax.set_xticks(list(ticks), ticks.values(), fontsize=7.5)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_yticks(range(len(shown)), shown["what"], fontsize=7)
    ax.set_ylim(len(shown) - 0.4, -0.7)
    for y in np.flatnonzero(shown["issue"] != shown["issue"].shift()):
        ax.axhline(y - 0.5, color="0.8", lw=0.7)
        ax.text(1 / edge, y - 0.05, shown["issue"][y], fontsize=8, va="center", weight="bold", color="0.45")
    ax.set_xlabel("margin to the bar: left of it falls short, right of it holds")
    return _open(ax)


def _margin(bar: Mapping, value: float) -> float:
    if bar["bar"] == 0:
        return math.inf if value <= 0 else 0.0
    if bar["sense"] == ">=":
        return value / bar["bar"]
    return bar["bar"] / value if value > 0 else math.inf


def growth(table: pd.DataFrame, columns: int = 4) -> Figure:
    """Small multiples of `growth_table`: processor time of a record against their number, a panel a stage.

    A flat line is a slope of 1; the grey line rises with the bar's 1.1 from the cheapest point. All panels share axes.
    """
    parts = list(table.groupby("row", sort=False))
    rows = max(1, math.ceil(len(parts) / columns))
    fig = Figure(figsize=(2.45 * columns, 1.95 * rows + 0.3), layout="constrained")
    axes = np.atleast_1d(fig.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    each = table["cpu_s"] / table["n"] * 1e3
    for ax, (_, part) in zip(axes, parts, strict=False):
        n, cost = part["n"].to_numpy(), (part["cpu_s"] / part["n"] * 1e3).to_numpy()
        steep = slope(part.to_dict("records"))
        colour = COLOURS["yes" if steep <= 1.1 else "no"]
        start = int(np.argmin(cost))
        ax.plot(n[start:], cost[start] * (n[start:] / n[start]) ** 0.1, color="0.6", lw=1)
        ax.plot(n, cost, "o-", ms=4, lw=1.4, color=colour)
        ax.set_title(part["what"].iloc[0], fontsize=8)
        ax.text(
            0.97, 0.93, f"slope {steep:.2f}", transform=ax.transAxes, ha="right", va="top", fontsize=8, color=colour
        )
    for ax in axes:
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(each.min() / 3, each.max() * 6)
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_locator(LogLocator(numticks=6))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.grid(alpha=0.2)
        ax.tick_params(labelsize=7)
        _open(ax)
    for ax in axes[len(parts) :]:
        ax.set_axis_off()
    fig.supxlabel("records", fontsize=9)
    fig.supylabel("processor time of a record (ms)", fontsize=9)
    return fig


def plot_memory(ax: Axes, table: pd.DataFrame) -> Axes:
    """Peak memory above the start at the most records measured, a bar a stage, with the bytes of one record."""
    last = table.sort_values("n").groupby("row", sort=False).tail(1).sort_values("peak_mib")
    ax.barh(range(len(last)), last["peak_mib"].clip(lower=0.1), color="#9db8cc", height=0.66)
    for y, row in enumerate(last.itertuples()):
        ax.text(max(row.peak_mib, 0.1) * 1.12, y, f"{row.peak_mib:.0f} MiB at {row.n:,}", va="center", fontsize=7.5)
    ax.set_xscale("log")
    ax.set_xlim(0.1, max(10.0, last["peak_mib"].max() * 12))
    ax.xaxis.set_major_formatter(PLAIN)
    ax.set_yticks(range(len(last)), last["what"], fontsize=8)
    ax.set_xlabel("peak memory above the start (MiB)")
    return _open(ax)


def plot_limits(ax: Axes, table: pd.DataFrame) -> Axes:
    """What share of the machine's measured rate each piece of work reaches; its own rate stands beside it."""
    shown = table.dropna(subset="share").reset_index(drop=True)
    ax.barh(shown.index, shown["share"], color="#1f5a8a", height=0.6)
    for y, row in enumerate(shown.itertuples()):
        ax.text(
            row.share + 0.012, y, f"{row.share:.0%}: {row.rate:.3g} {row.unit} of {row.of}", va="center", fontsize=7.5
        )
    ax.axvline(1, color="black", lw=1)
    ax.set_xlim(0, 1.02)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0%}"))
    ax.set_yticks(shown.index, shown["what"], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("share of the machine's own rate, measured in the same run")
    return _open(ax)


def plot_chain(ax: Axes, table: pd.DataFrame) -> Axes:
    """Seconds of each stage, the third of the whole as a line, its share at the end of the bar."""
    whole = table["seconds"].sum()
    over = table["share"] > SHARE_BAR
    ax.barh(table["stage"], table["seconds"], color=np.where(over, "#c47b1c", "#1f5a8a"), height=0.66)
    for y, row in enumerate(table.itertuples()):
        ax.text(row.seconds + whole * 0.008, y, f"{row.seconds:.0f} s, {row.share:.0%}", va="center", fontsize=8)
    ax.axvline(whole * SHARE_BAR, color="black", lw=1, ls="--")
    ax.text(whole * SHARE_BAR, -0.62, " a third of the whole", fontsize=7.5, va="bottom")
    ax.set_xlim(0, max(table["seconds"].max() * 1.2, whole * 0.42))
    ax.invert_yaxis()
    ax.set_xlabel("wall seconds")
    return _open(ax)


def plot_gpu(ax: Axes, table: pd.DataFrame, goal: float) -> Axes:
    """Model-FLOP utilisation of each model and precision beside the goal; only where a GPU measured it."""
    shown = table[pd.to_numeric(table.get("utilisation"), errors="coerce").notna()]
    names = [f"{m.rpartition('/')[2]}, {p}" for m, p in zip(shown["model"], shown["precision"], strict=True)]
    ax.barh(names, shown["utilisation"].astype(float), color="#1f5a8a", height=0.6)
    ax.axvline(goal, color="black", lw=1, ls="--")
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("model-FLOP utilisation (dashed: the goal of 7B)")
    return _open(ax)


def plot_faults(ax: Axes, names: Sequence[str], tried: Sequence[int], bad: Sequence[int]) -> Axes:
    """How often each fault was tried, logarithmic; at the end of a bar how many were lost, doubled or silent."""
    ax.barh(range(len(names)), tried, color=[COLOURS["no" if b else "yes"] for b in bad], height=0.62)
    for y, (n, wrong) in enumerate(zip(tried, bad, strict=True)):
        ax.text(n * 1.1, y, f"{n:,} tried, {wrong} wrong", va="center", fontsize=7.5)
    ax.set_xscale("log")
    ax.set_xlim(0.7, max([*tried, 10]) * 8)
    ax.xaxis.set_major_formatter(PLAIN)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("times tried")
    return _open(ax)


def _open(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax
