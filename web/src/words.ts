/** Numbers in words, as fastsim/report/wording.py writes them. */

import type { Axis, Unit } from "./spec";

const STEPS: [string, number][] = [
  ["s", 1],
  ["ms", 1e-3],
  ["us", 1e-6],
  ["ns", 1e-9],
];

/** Three significant digits without an exponent. */
export function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

export function words(value: number, unit: Unit): string {
  if (!Number.isFinite(value)) return "–";
  switch (unit) {
    case "s": {
      if (value === 0) return "0s";
      const rounded = Number(value.toPrecision(3));
      const [name, size] = STEPS.find(([, step]) => Math.abs(rounded) >= step) ?? ["ns", 1e-9];
      return `${short(rounded / size)}${name}`;
    }
    case "ratio":
      return `${short(value * 100)} %`;
    case "/s":
      return `${short(value)}/s`;
    case "time":
      return new Date(value).toISOString().slice(0, 16).replace("T", " ");
    default:
      return short(value);
  }
}

/** A percentile from its place on the axis, which is -log10(1 - p). */
export function percentile(place: number): string {
  return `p${short(100 * (1 - 10 ** -place))}`;
}

export function onAxis(value: number | string | null, axis: Axis): string {
  if (value === null) return "–";
  if (typeof value === "string") return value;
  if (axis.scale === "category") return axis.names?.[value] ?? String(value);
  return axis.scale === "quantile" ? percentile(value) : words(value, axis.unit);
}
