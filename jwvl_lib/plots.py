"""Figures of the notebooks: each function takes axes and returns them; only `save_figure` writes.

Reads nothing. There is no pyplot state here: figures are made with `matplotlib.figure.Figure`, or by the notebook.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from astropy.stats import binom_conf_interval
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager
from matplotlib.ticker import LogLocator
from PIL import Image

from jwvl_lib import knowledge

DPI = 110
FLARE_CLASSES = dict(knowledge.grades("goes_class", "from_w_m2"))  # W/m2 of the 1-8 angstrom band


# files of Debian, Windows and macOS, without their endings, in lower case
CHINESE_FONTS = ("notosanscjk-regular", "notosanssc-regular", "wqy-zenhei", "wqy-microhei", "msyh", "pingfang")


@lru_cache(maxsize=1)
def text_fonts() -> tuple[str, ...]:
    """matplotlib's own font, and one that holds Chinese where the machine has it: for what a model wrote.

    The files are looked for anew: matplotlib's list of fonts stays what it was when a font is installed later.
    """
    for path in findSystemFonts():
        if Path(path).stem.lower() in CHINESE_FONTS:
            fontManager.addfont(path)
            return "DejaVu Sans", FontProperties(fname=path).get_name()
    return ("DejaVu Sans",)


def save_figure(fig: Figure, path: Path | str) -> Path:
    """PNG or SVG at a fixed resolution without date and software, so that the same figure has the same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2 if fig.get_layout_engine() else 0):
        # titles and texts around a picture of fixed aspect are measured where the round before left it
        fig.get_layout_engine().execute(fig)
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "jwvl", "savefig.bbox": None}):
        fig.savefig(path, dpi=DPI, metadata=metadata)
    return path


def contact_sheet(images: Sequence[Image.Image], titles: Sequence[str] = (), columns: int = 6, side_in: float = 1.9):
    """Figure of small pictures, row by row, each with its title (instrument and UTC time)."""
    rows = max(1, math.ceil(len(images) / columns))
    height = side_in + (0.35 if titles else 0)
    fig = Figure(figsize=(columns * side_in, rows * height), layout="constrained")
    for i, image in enumerate(images):
        ax = fig.add_subplot(rows, columns, i + 1)
        ax.imshow(np.asarray(image), interpolation="nearest")
        ax.set_axis_off()
        if titles:
            ax.set_title(titles[i], fontsize=7)
    return fig


def plot_xrs(ax: Axes, frame: pd.DataFrame) -> Axes:
    """GOES X-ray fluxes of `observations.open_xrs` over UTC, logarithmic, with the flare classes on the right."""
    ax.semilogy(frame["time"], frame["xrsb_wm2"], color="tab:red", lw=0.9, label="1–8 Å")
    ax.semilogy(frame["time"], frame["xrsa_wm2"], color="tab:blue", lw=0.9, label="0.5–4 Å")
    ax.set_ylim(1e-9, 1e-3)
    ax.set_ylabel("flux (W m$^{-2}$)")
    ax.set_xlabel("time (UT)")
    for name, flux in FLARE_CLASSES.items():
        ax.axhline(flux, color="0.85", lw=0.6, zorder=0)
        ax.text(1.01, flux * 10**0.5, name, transform=ax.get_yaxis_transform(), va="center")
    ax.legend(loc="upper left", frameon=False, fontsize=8)
    return ax


def plot_confusion(ax: Axes, table: pd.DataFrame) -> Axes:
    """Confusion table (rows: truth, columns: prediction, counts); shade is the share of the row, text the count."""
    counts = table.to_numpy(float)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(table.shape[1]), table.columns, rotation=40, ha="right", fontsize=7)
    ax.set_yticks(range(table.shape[0]), table.index, fontsize=7)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            ax.text(j, i, f"{count:g}", ha="center", va="center", color="w" if share[i, j] > 0.5 else "k", fontsize=7)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return ax


# --------------------------------------------------------------------------------------------------------------------
# benchmark

VERDICT_COLOURS = {"supported": "#1b7837", "contradicted": "#b2182b", "unsupported": "#b8860b"}
VERDICT_MARKS = {"supported": "✓", "contradicted": "✗", "unsupported": "?"}


def plot_model_bars(ax: Axes, rows: Mapping[str, Mapping[str, Mapping]], stamp: str) -> Axes:
    """Base and tuned side by side with 95 % intervals; a black tick is the score of a model that sees nothing.

    `rows` maps a label to {"base": record, "tuned": record} of `bench.metrics_records`; values in 0..1. A model
    without a value has no bar. `stamp` says what the numbers are worth, and stands in the title.
    """
    for offset, (model, colour) in enumerate((("base", "#9ecae1"), ("tuned", "#08519c"))):
        shown = {
            y + 0.38 * offset - 0.19: r for y, pair in enumerate(rows.values()) if _has_value(r := pair.get(model))
        }
        ax.barh(list(shown), [r["value"] for r in shown.values()], height=0.36, color=colour, label=model)
        for place, record in shown.items():
            if record["value"] == 0:  # a bar of no height is no bar
                ax.text(0.02, place, "0", va="center", fontsize=7, color="0.35")
            if record["ci_low"] is not None:
                ax.plot([record["ci_low"], record["ci_high"]], [place, place], color="black", linewidth=1)
            if record["floor"] is not None:
                ax.plot([record["floor"]] * 2, [place - 0.18, place + 0.18], color="black", linewidth=2.5)
    ax.set_yticks(range(len(rows)), [f"{label}{_n_of(pair)}" for label, pair in rows.items()])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("score\n(thick tick: sees nothing; thin line: 95 % interval over days)")
    ax.set_title(stamp, fontsize=9)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)  # inside it would lie on a bar's end
    return ax


def _has_value(record: Mapping | None) -> bool:
    return bool(record) and record.get("value") is not None


def _n_of(pair: Mapping[str, Mapping]) -> str:
    """The n of the bars drawn, each with its model where they differ; that of the records where none is drawn."""
    shown = {model: r["n"] for model, r in pair.items() if _has_value(r)}
    if len(set(shown.values())) > 1:
        return "\nn=" + ", ".join(f"{n} {model}" for model, n in shown.items())  # in one line it would narrow the axes
    return f"  n={max(shown.values() or [r['n'] for r in pair.values() if r], default=0)}"


LINE_POINTS = 9.2  # height of a line of 7 points


def plot_judged_answer(ax: Axes, image: Image.Image, title: str, text: str, claims: Sequence[Mapping]) -> Axes:
    """A picture, what a model wrote about it, and each claim with its verdict (`claims.check`), marked and coloured.

    Chinese is drawn where the machine has a font for it (`text_fonts`).
    """
    ax.imshow(image)
    ax.set_axis_off()
    ax.set_title(title, fontsize=8)
    below = dict(xycoords="axes fraction", textcoords="offset points", va="top", fontsize=7, family=list(text_fonts()))
    lines = textwrap.wrap(text or "(no answer)", 46)
    ax.annotate("\n".join(lines), (0, 0), (0, -LINE_POINTS / 2), **below)
    for k, claim in enumerate(claims):
        mark = f"{VERDICT_MARKS[claim['verdict']]} {claim['kind']}: {claim['value']}"
        place = (0, -LINE_POINTS * (len(lines) + k + 1))
        ax.annotate(mark, (0, 0), place, color=VERDICT_COLOURS[claim["verdict"]], **below)
    return ax


# --------------------------------------------------------------------------------------------------------------------
# training


def plot_attention_mask(ax: Axes, mask: np.ndarray, branch: np.ndarray) -> Axes:
    """Who attends to whom in one shared sequence: `mask` (L, L), rows are queries; `branch` (L,), 0 is the prefix."""
    shade = np.where(mask, branch[:, None] + 1, 0)
    ax.imshow(np.ma.masked_equal(shade, 0), cmap="viridis", interpolation="nearest")
    edges = np.flatnonzero(np.diff(branch)) + 0.5
    ax.hlines(edges, -0.5, len(branch) - 0.5, color="0.8", lw=0.5)
    ax.vlines(edges, -0.5, len(branch) - 0.5, color="0.8", lw=0.5)
    ax.set_xlabel("key (token that is seen)")
    ax.set_ylabel("query (token that sees)")
    return ax


def plot_loss(ax: Axes, log: pd.DataFrame, stamp: str) -> Axes:
    """Training and validation loss of `train_log.jsonl` over the samples seen, logarithmic; `stamp` is the title.

    The share of held-out questions answered rightly stands on an axis of its own, where it was measured, with its n.
    """
    for column, style, label in (
        ("loss", "-", "training, mean since the last point"),
        ("eval_loss", "o-", "validation"),
    ):
        part = log.dropna(subset=column)
        ax.semilogy(part["samples_seen"], part[column], style, ms=4, label=label)
    right = log.dropna(subset="task_accuracy") if "task_accuracy" in log else log[:0]
    if len(right):
        beside, color = ax.twinx(), "#4d7c3a"
        asked = f"held-out questions right (n = {right['n_asked'].max():.0f})"
        beside.plot(right["samples_seen"], right["task_accuracy"], "s--", ms=4, lw=1, color=color)
        beside.set_ylim(-0.03, 1.03)
        beside.set_ylabel("held-out questions right", color=color)
        ax.plot([], [], "s--", ms=4, lw=1, color=color, label=asked)
    last = max(log["samples_seen"].max(), 100)
    ax.set_xlim(-0.02 * last, 1.02 * last)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.set_xlabel("samples seen (annotations and replay)")
    ax.set_ylabel("loss (nats a supervised token)")
    ax.set_title(stamp, pad=24)
    ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return ax


def plot_acceptance(ax: Axes, report: Sequence[Mapping], stamp: str) -> Axes:
    """Acceptance of each prompt with its interval and n, the best on top; prompts without a decision are left out.

    `report` as `review.prompt_report` gives it; `stamp` (the profile) stands in the title.
    """
    decided = [r for r in report if r["n_decided"]]
    values = np.array([[r["acceptance"], r["ci_low"], r["ci_high"]] for r in decided]).reshape(-1, 3)
    errors = np.abs(values[:, 1:] - values[:, :1]).T
    ax.errorbar(values[:, 0], range(len(decided)), xerr=errors, fmt="o", color="#2f6690", ecolor="#9db8cc", capsize=2)
    names = [f"{r['prompt_id']} v{r['prompt_version']}  (n = {r['n_decided']})" for r in decided]
    ax.set_yticks(range(len(decided)), names)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(decided) - 0.4), xlabel="accepted share of the decided, 95 % interval")
    ax.set_title(f"Acceptance by prompt, profile {stamp}", fontsize=10)
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def plot_pretraining(ax: Axes, history: pd.DataFrame, stage: str, columns: Sequence[str]) -> Axes:
    """Columns of a recipe's history over the steps of one stage ("vision" or "answers")."""
    part = history[history["stage"] == stage]
    for column in columns:
        ax.plot(part["step"], part[column], label=column.replace("_", " "))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("step")
    ax.set_ylabel("loss (nats a token)" if stage == "answers" else "share right, training")
    ax.set_title(stage)
    ax.legend(frameon=False)
    return ax


def plot_general_task(ax: Axes, scores: pd.DataFrame, profile: str) -> Axes:
    """Accuracy of the base by task and language, with Wilson's 95 % intervals; the n of each bar in the label."""
    tasks, asked = sorted(scores["task"].unique()), {}
    for offset, (language, colour) in enumerate((("en", "#9ecae1"), ("zh", "#08519c"))):
        part = scores[scores["language"] == language]
        places = np.array([tasks.index(task) for task in part["task"]]) + 0.38 * offset - 0.19
        ax.barh(places, part["accuracy"], height=0.36, color=colour, label=language)
        right = (part["accuracy"] * part["n"]).round().to_numpy()
        low, high = binom_conf_interval(right, part["n"].to_numpy(), 0.95, interval="wilson")
        ax.hlines(places, low, high, color="black", lw=1)
        for task, n in zip(part["task"], part["n"], strict=True):
            asked.setdefault(task, []).append(f"{n} {language}")
    ax.set_yticks(range(len(tasks)), [f"{task}  n={', '.join(asked.get(task, []))}" for task in tasks])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("exact answers")
    ax.set_title(f"Tiny base on held-out items ({profile} profile, no result)", fontsize=10)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


# --------------------------------------------------------------------------------------------------------------------
# flare chances

METHOD_STYLES = {
    "model": ("this project's model", "#b45309", "-", 1.8),
    "mcintosh_smoothed": ("McIntosh, smoothed frequency", "#1f6f8b", "-", 1.1),
    "mcintosh_poisson": ("McIntosh, Poisson", "#1f6f8b", "--", 1.1),
    "persistence": ("persistence", "0.45", ":", 1.3),
}


def plot_reliability(ax: Axes, bins: Sequence[Mapping], title: str = "") -> Axes:
    """Observed share against mean forecast for each bin of `flare_scores.reliability`, with 90 % bars and its n.

    Both axes are square roots, since most forecasts are small; a point on the diagonal is reliable.
    """
    x, y = (np.sqrt([b[k] for b in bins]) for k in ("forecast", "observed"))
    low, high = (np.sqrt([b[k] for b in bins]) for k in ("low", "high"))
    ax.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
    ax.vlines(x, low, high, color="#b45309", lw=1.2)
    ax.plot(x, y, "o", color="#b45309", ms=4)
    for bin_, at, top in zip(bins, x, high, strict=True):
        ax.text(at, min(top + 0.02, 0.98), f"{bin_['n']:,}", ha="center", va="bottom", fontsize=6, color="0.35")
    ticks = [0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1]
    ax.set_xticks(np.sqrt(ticks), [f"{t:g}" for t in ticks], fontsize=7)
    ax.set_yticks(np.sqrt(ticks), [f"{t:g}" for t in ticks], fontsize=7)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.05)
    ax.set_xlabel("forecast chance")
    ax.set_ylabel("observed share")
    ax.set_title(title, fontsize=9)
    ax.set_aspect("equal")
    return ax


def plot_roc(
    ax: Axes, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], areas: Mapping[str, float]
) -> Axes:
    """ROC curves {method: (false alarm rate, hit rate)} with their areas in the legend; the diagonal has no skill."""
    ax.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
    for method, (x, y) in curves.items():
        name, colour, dashes, width = METHOD_STYLES[method]
        ax.plot(x, y, color=colour, ls=dashes, lw=width, label=f"{name} {areas[method]:.2f}")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.01)
    ax.set_xlabel("false alarm rate")
    ax.set_ylabel("hit rate")
    ax.set_aspect("equal")
    ax.legend(loc="lower right", fontsize=7, frameon=False, title="area under the curve", title_fontsize=7)
    return ax


def flare_verification(
    verification: Mapping, scope: str = "region", level: str = "M", sample: str | None = None
) -> Figure:
    """Reliability and ROC side by side from the `verification` of the flare model; the first sample unless named."""
    sample = sample or verification["scores"][0]["sample"]
    wanted = {"sample": sample, "scope": scope, "level": level}
    chosen = {k: [r for r in rows if wanted.items() <= r.items()] for k, rows in verification.items()}
    scores = {r["method"]: r for r in chosen["scores"]}
    own, place = scores["model"], {"region": "per region", "disk": "whole disk"}[scope]
    fig = Figure(figsize=(8.6, 4.3), layout="constrained")
    left, right = fig.subplots(1, 2)
    plot_reliability(left, chosen["reliability"][0]["bins"], "reliability, with the number of cases")
    plot_roc(right, {r["method"]: (r["x"], r["y"]) for r in chosen["roc"]}, {k: r["auc"] for k, r in scores.items()})
    right.set_title(f"Brier skill {own['bss']:.3f} (90%: {own['bss_low']:.2f} to {own['bss_high']:.2f})", fontsize=9)
    fig.suptitle(
        f"{level}-class or stronger, {place}, 24 h: {sample}; n = {own['n']:,}, {own['n_events']} events", fontsize=10
    )
    return fig


def growth(table: pd.DataFrame) -> Figure:
    """Processor time of a row against the number of rows, step by step and in all: `n_rows, step, us_per_row`."""
    fig = Figure(figsize=(6.4, 3.8), layout="constrained")
    ax = fig.add_subplot()
    wide = table.pivot(index="n_rows", columns="step", values="us_per_row")
    for step in sorted(wide, key=lambda name: -wide[name].iloc[-1]):
        ax.plot(wide.index, wide[step], "o-", ms=4, lw=1.2, label=step)
    whole = wide.sum(axis=1)
    ax.plot(whole.index, whole, "ko-", ms=5, lw=1.8, label="in all")
    ax.axhspan(whole.min(), 1.2 * whole.min(), color="0.9", zorder=0, label="within 20 %")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.3 * whole.max())
    ax.set_xlabel("simulated rows")
    ax.set_ylabel("processor time of a row (µs)")
    ax.set_title("Cost of a row as a corpus grows (simulated rows)", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return fig
