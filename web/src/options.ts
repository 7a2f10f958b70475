/** From what the report says of a chart to what ECharts draws. */

import type { Axis, Bars, Chart, Look, Mark, Plot, Series } from "./spec";
import { onAxis, words } from "./words";

type Options = Record<string, any>;

export interface Theme {
  color: (name: string) => string;
  narrow: boolean;
}

function strokeOf(look: Look, theme: Theme): Options {
  const name = look.split(" ").pop() ?? "muted";
  return {
    color: theme.color(name),
    width: look.startsWith("thin") ? 1 : 2,
    type: name === "twin" ? [6, 4] : "solid",
    opacity: look.startsWith("thin") ? 0.7 : 1,
  };
}

function axisOf(axis: Axis, theme: Theme, side: "x" | "y"): Options {
  const line = { lineStyle: { color: theme.color("line") } };
  const category = axis.scale === "category";
  const time = axis.unit === "time";
  const option: Options = {
    type: category ? "category" : time ? "time" : axis.scale === "log" ? "log" : "value",
    name: axis.title,
    nameLocation: "middle",
    nameGap: side === "x" ? 30 : 52,
    nameTextStyle: { color: theme.color("muted") },
    axisLine: { show: true, ...line },
    axisTick: { show: !category, ...line },
    splitLine: { show: !category, lineStyle: { color: theme.color("grid") } },
    axisLabel: {
      color: theme.color("fg"),
      hideOverlap: true,
      width: side === "y" && category ? (theme.narrow ? 90 : 230) : undefined,
      overflow: "truncate",
    },
  };
  if (category) option["data"] = axis.names;
  else if (!time) option["axisLabel"].formatter = (value: number) => onAxis(value, axis);
  if (axis.min !== undefined) option["min"] = axis.min;
  if (axis.max !== undefined) option["max"] = axis.max;
  if (axis.scale === "quantile") {
    option["customValues"] = [Math.log10(2), 1, -Math.log10(0.05), 2, 3];
    option["axisLabel"].customValues = option["customValues"];
    option["axisTick"].customValues = option["customValues"];
    option["splitLine"].show = false;
  }
  if (side === "y" && category) option["inverse"] = true;
  return option;
}

/** A band or intervals: shapes of their own between two values of each point. */
function between(series: Series, plot: Plot, theme: Theme): Options {
  const stroke = strokeOf(series.look, theme);
  const sideways = plot.y.scale === "category";
  const points = series.data.filter((point) => point.every((value) => value !== null));
  if (series.draw === "interval") {
    return {
      type: "custom",
      name: series.name,
      data: points,
      itemStyle: { color: sideways ? theme.color("floor") : stroke["color"] },
      encode: sideways ? { x: [1, 2], y: 0 } : { x: 0, y: [1, 2] },
      z: 1,
      renderItem: (_: unknown, api: any) => {
        const at = (value: number) =>
          api.coord(sideways ? [value, api.value(0)] : [api.value(0), value]);
        const [low, high] = [at(api.value(1)), at(api.value(2))];
        const half = sideways ? 5 : 0;
        const shape = sideways
          ? { x: low[0], y: low[1] - half, width: Math.max(1, high[0] - low[0]), height: 2 * half }
          : { x: low[0] - 0.75, y: high[1], width: 1.5, height: Math.max(1, low[1] - high[1]) };
        const fill = sideways ? theme.color("floor") : stroke["color"];
        return { type: "rect", shape, style: { fill } };
      },
    };
  }
  return {
    type: "custom",
    name: series.name,
    data: [0],
    silent: true,
    z: 1,
    tooltip: { show: false },
    // The extent of the axes holds the whole band.
    encode: { x: -1, y: -1 },
    renderItem: (_: unknown, api: any) => {
      const there = points.map((point) => api.coord([point[0], point[2]]));
      const back = points.map((point) => api.coord([point[0], point[1]])).reverse();
      const style = { fill: stroke["color"], opacity: 0.16 };
      return { type: "polygon", shape: { points: [...there, ...back] }, style };
    },
  };
}

function seriesOf(series: Series, plot: Plot, theme: Theme): Options {
  if (series.draw === "band" || series.draw === "interval") return between(series, plot, theme);
  const stroke = strokeOf(series.look, theme);
  const sideways = plot.y.scale === "category";
  const data = series.data.map((point) => (sideways ? [point[1], point[0]] : point));
  if (series.draw === "points") {
    const symbol = { good: "circle", bad: "path://M0 0L8 8M8 0L0 8" }[series.look as string];
    return {
      type: "scatter",
      name: series.name,
      data,
      symbol: symbol ?? "circle",
      symbolSize: 9,
      itemStyle: {
        color: stroke["color"],
        borderColor: stroke["color"],
        borderWidth: series.look === "bad" ? 2.5 : 0,
      },
      z: 3,
    };
  }
  return {
    type: "line",
    name: series.name,
    data,
    showSymbol: data.length < 25,
    symbol: "circle",
    symbolSize: 5,
    lineStyle: stroke,
    itemStyle: { color: stroke["color"] },
    connectNulls: false,
    z: 2,
  };
}

function marksOf(marks: Mark[], theme: Theme): Options {
  const key = (mark: Mark) => (mark.axis === "x" ? "xAxis" : "yAxis");
  const label = (mark: Mark) => ({ formatter: mark.text, color: theme.color("fg"), fontSize: 11 });
  const lines = marks
    .filter((mark) => mark.to === undefined)
    .map((mark) => ({
      [key(mark)]: mark.at,
      label: {
        ...label(mark),
        position: mark.axis === "x" ? "end" : "insideEndTop",
      },
      lineStyle: { color: theme.color(mark.look.split(" ").pop() ?? ""), type: "dotted", width: 1.5 },
    }));
  const areas = marks
    .filter((mark) => mark.to !== undefined)
    .map((mark, number) => [
      {
        [key(mark)]: mark.at,
        itemStyle: { color: theme.color(mark.look.split(" ").pop() ?? ""), opacity: 0.1 },
        label: { ...label(mark), position: "insideTop", distance: 4 + 15 * number },
      },
      { [key(mark)]: mark.to },
    ]);
  return {
    type: "line",
    data: [],
    silent: true,
    tooltip: { show: false },
    markLine: { symbol: "none", silent: true, animation: false, data: lines },
    markArea: { silent: true, animation: false, data: areas },
  };
}

/** Where a band goes, as points that nobody sees, so that the axes hold it. */
function extent(series: Series): Options {
  const data = series.data.flatMap(([x, low, high]) => [
    [x, low],
    [x, high],
  ]);
  return { type: "scatter", data, symbolSize: 0, silent: true, tooltip: { show: false } };
}

function plotOptions(plot: Plot, theme: Theme): Options {
  const sideways = plot.y.scale === "category";
  const shown = plot.series.filter((series) => series.draw !== "band");
  const hintOf = new Map(plot.series.map((series) => [series.name, series.hints]));
  return {
    legend: {
      data: shown.map((series) => series.name).filter((name) => name !== ""),
      top: 0,
      left: "left",
      type: theme.narrow ? "scroll" : "plain",
      textStyle: { color: theme.color("fg") },
      itemWidth: 26,
    },
    grid: {
      left: sideways ? (theme.narrow ? 100 : 244) : 66,
      right: 22,
      top: theme.narrow ? 44 : 36,
      bottom: plot.x.title ? 46 : 26,
    },
    tooltip: {
      trigger: sideways || plot.x.scale === "category" ? "item" : "axis",
      confine: true,
      axisPointer: { type: "line" },
      formatter: (found: any) => tip(found, plot, hintOf),
    },
    dataZoom: sideways ? [] : [{ type: "inside", zoomOnMouseWheel: "ctrl", filterMode: "none" }],
    xAxis: axisOf(plot.x, theme, "x"),
    yAxis: axisOf(plot.y, theme, "y"),
    series: [
      ...plot.series.filter((series) => series.draw === "band").map(extent),
      ...plot.series.map((series) => seriesOf(series, plot, theme)),
      marksOf(plot.marks ?? [], theme),
    ],
  };
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

function tip(found: any, plot: Plot, hintOf: Map<string, string[] | undefined>): string {
  const all: any[] = (Array.isArray(found) ? found : [found]).filter((each) => each.seriesName);
  const sideways = plot.y.scale === "category";
  const lines: string[] = [];
  for (const each of all) {
    const values: any[] = Array.isArray(each.value) ? each.value : [each.value];
    const hint = hintOf.get(each.seriesName)?.[each.dataIndex];
    if (hint !== undefined) lines.push(escaped(hint));
    else {
      const value = sideways ? onAxis(values[0], plot.x) : onAxis(values[1], plot.y);
      lines.push(`${escaped(each.seriesName)}: ${escaped(value)}`);
    }
  }
  if (lines.length === 0) return "";
  const where = sideways ? "" : onAxis(all[0].value[0], plot.x);
  return [...(where ? [`<b>${escaped(where)}</b>`] : []), ...new Set(lines)].join("<br>");
}

function barsOptions(bars: Bars, theme: Theme): Options {
  const decal = { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4 };
  const series: Options[] = bars.parts.map((part) => ({
    type: "bar",
    stack: "all",
    name: part.name,
    data: part.values.map((value) => value ?? 0),
    barMaxWidth: 24,
    itemStyle: {
      color: theme.color(part.color),
      ...(part.hatched ? { decal: { ...decal, color: "rgba(22,24,27,.35)" } } : {}),
    },
  }));
  if (bars.moments) {
    series.push({
      type: "scatter",
      name: bars.moments.name,
      data: bars.moments.at.map((at, row) => [at, row]).filter(([at]) => at !== null),
      symbol: "rect",
      symbolSize: [3, 30],
      itemStyle: { color: theme.color("fg") },
    });
  }
  return {
    legend: {
      top: 0,
      left: "left",
      type: theme.narrow ? "scroll" : "plain",
      textStyle: { color: theme.color("fg") },
    },
    grid: { left: theme.narrow ? 100 : 190, right: 76, top: 58, bottom: 46 },
    tooltip: {
      trigger: "item",
      confine: true,
      formatter: (each: any) => {
        const value = Array.isArray(each.value) ? each.value[0] : each.value;
        const name = bars.names[Array.isArray(each.value) ? each.value[1] : each.dataIndex] ?? "";
        return `<b>${escaped(name)}</b><br>${escaped(each.seriesName)}: ${words(value, bars.x.unit)}`;
      },
    },
    xAxis: axisOf(bars.x, theme, "x"),
    yAxis: {
      ...axisOf({ title: "", unit: "", scale: "category", names: bars.names }, theme, "y"),
    },
    series: [
      ...series,
      {
        type: "bar",
        stack: "all",
        silent: true,
        tooltip: { show: false },
        data: bars.totals.map((text) => ({
          value: 0,
          label: { show: true, position: "right", formatter: text, color: theme.color("fg") },
        })),
      },
    ],
  };
}

export function heightOf(chart: Chart): number {
  if (chart.kind === "bars") return 110 + 34 * chart.names.length;
  if (chart.y.scale === "category") return 100 + 18 * (chart.y.names?.length ?? 0);
  return chart.height ?? 270;
}

export function optionsOf(chart: Chart, theme: Theme, finding: string): Options {
  return {
    animation: false,
    textStyle: { fontFamily: 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif' },
    aria: { enabled: true, label: { description: finding } },
    ...(chart.kind === "bars" ? barsOptions(chart, theme) : plotOptions(chart, theme)),
  };
}
