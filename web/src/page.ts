/** Draws the charts of a report, and switches between light and dark. */

import { BarChart, CustomChart, LineChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent,
  DataZoomInsideComponent,
  GridComponent,
  LegendComponent,
  LegendScrollComponent,
  MarkAreaComponent,
  MarkLineComponent,
  TooltipComponent,
} from "echarts/components";
import { init, use, type ECharts } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

import { heightOf, optionsOf, type Theme } from "./options";
import type { Chart } from "./spec";

use([
  AriaComponent,
  BarChart,
  CustomChart,
  DataZoomInsideComponent,
  GridComponent,
  LegendComponent,
  LegendScrollComponent,
  LineChart,
  MarkAreaComponent,
  MarkLineComponent,
  SVGRenderer,
  ScatterChart,
  TooltipComponent,
]);

interface Drawn {
  place: HTMLElement;
  chart: Chart;
  finding: string;
  echarts: ECharts;
}

function themeOf(place: HTMLElement): Theme {
  const style = getComputedStyle(document.documentElement);
  return {
    color: (name) => style.getPropertyValue(`--${name}`).trim() || "#888",
    narrow: place.clientWidth < 520,
  };
}

function draw(place: HTMLElement): Drawn | null {
  const text = place.querySelector("script")?.textContent;
  if (!text) return null;
  const chart = JSON.parse(text) as Chart;
  const finding = place.closest("figure")?.querySelector("figcaption")?.textContent ?? "";
  const box = document.createElement("div");
  box.style.height = `${heightOf(chart)}px`;
  place.append(box);
  const echarts = init(box, null, { renderer: "svg" });
  const drawn = { place, chart, finding, echarts };
  show(drawn);
  return drawn;
}

function show({ place, chart, finding, echarts }: Drawn): void {
  echarts.setOption(optionsOf(chart, themeOf(place), finding), { notMerge: true });
}

function start(): void {
  const places = document.querySelectorAll<HTMLElement>(".chart");
  const drawn = [...places].map(draw).filter((each) => each !== null);
  const widths = new Map<Element, number>();
  const watch = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      if (widths.get(target) === contentRect.width) continue;
      widths.set(target, contentRect.width);
      const each = drawn.find(({ place }) => place === target);
      each?.echarts.resize({ width: contentRect.width });
      if (each) show(each);
    }
  });
  for (const { place } of drawn) watch.observe(place);
  const again = () => drawn.forEach(show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  theme(again);
  document.documentElement.dataset["drawn"] = String(drawn.length);
}

function theme(again: () => void): void {
  const button = document.querySelector<HTMLButtonElement>("#theme");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset["theme"] ?? (dark ? "dark" : "light");
    root.dataset["theme"] = now === "dark" ? "light" : "dark";
    again();
  });
}

start();
