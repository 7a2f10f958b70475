/** What the report says of a chart. fastsim/report/charts.py writes it. */

export type Unit = "s" | "ratio" | "/s" | "count" | "time" | "";
export type Scale = "linear" | "log" | "category" | "quantile";

export interface Axis {
  title: string;
  unit: Unit;
  scale: Scale;
  /** Names of a category axis. */
  names?: string[];
  min?: number;
  max?: number;
}

/** Twin is dashed and live solid in every chart, so that colour is never needed. */
export type Look = "twin" | "live" | "thin twin" | "thin live" | "good" | "bad" | "muted";

export interface Series {
  name: string;
  look: Look;
  draw: "line" | "points" | "band" | "interval";
  /** [x, y], or [x, low, high] of a band or an interval; null where nothing is known. */
  data: (number | string | null)[][];
  /** What the pointer shows beside the values, one for each point. */
  hints?: string[];
}

export interface Mark {
  axis: "x" | "y";
  at: number | string;
  to?: number | string;
  text: string;
  look: Look;
}

export interface Plot {
  kind: "plot";
  x: Axis;
  y: Axis;
  series: Series[];
  marks?: Mark[];
  height?: number;
}

/** Bars of stacked parts, one bar a line. */
export interface Bars {
  kind: "bars";
  x: Axis;
  names: string[];
  /** What stands at the end of each bar. */
  totals: string[];
  parts: { name: string; color: string; hatched: boolean; values: (number | null)[] }[];
  /** Moments that are marked in each bar. */
  moments?: { name: string; at: (number | null)[] };
}

export type Chart = Plot | Bars;
