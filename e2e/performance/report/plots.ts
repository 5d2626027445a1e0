// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Resvg } from "@resvg/resvg-js";
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

/** One line of a plot. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** Something against the number of guests. */
export interface LinePlot {
  readonly kind: "lines";
  readonly title: string;
  readonly x: string;
  readonly y: string;
  /** Spread the y axis by factors, not by differences. */
  readonly logarithmic: boolean;
  readonly series: readonly Series[];
}

/** What sums are made of: one bar each. */
export interface BarPlot {
  readonly kind: "bars";
  readonly title: string;
  readonly x: string;
  readonly bars: readonly { readonly name: string; readonly parts: readonly BarPart[] }[];
}

export interface BarPart {
  readonly name: string;
  readonly value: number;
}

/** A plot in the manner of the LightVM paper. */
export type Plot = LinePlot | BarPlot;

const WIDTH = 640;
const HEIGHT = 400;
const BAR_HEIGHT = 40;
/** More points than these are a line without marks. */
const MARKED = 50;

const COMMON = { width: WIDTH, background: "white" } as const;

function lines({ logarithmic, series, title, x, y }: LinePlot): TopLevelSpec {
  const values = series.flatMap(({ name, points }) =>
    points.map(([along, up]) => ({ name, along, up })),
  );
  return {
    ...COMMON,
    title,
    height: HEIGHT,
    data: { values },
    mark: { type: "line", point: series.every(({ points }) => points.length < MARKED) },
    encoding: {
      x: { field: "along", type: "quantitative", title: x },
      y: {
        field: "up",
        type: "quantitative",
        title: y,
        scale: logarithmic ? { type: "log" } : { type: "linear", zero: true },
      },
      color: { field: "name", type: "nominal", title: null, sort: series.map(({ name }) => name) },
    },
    config: { legend: { labelLimit: 0 } },
  };
}

function bars({ title, x, bars: all }: BarPlot): TopLevelSpec {
  const values = all.flatMap(({ name, parts }) =>
    parts.map((part, order) => ({ name, part: part.name, value: part.value, order })),
  );
  const parts = [...new Set(values.map(({ part }) => part))];
  return {
    ...COMMON,
    title,
    height: { step: BAR_HEIGHT },
    data: { values },
    mark: "bar",
    encoding: {
      y: { field: "name", type: "nominal", title: null, sort: all.map(({ name }) => name) },
      x: { field: "value", type: "quantitative", title: x },
      color: {
        field: "part",
        type: "nominal",
        title: null,
        sort: parts,
        scale: { scheme: "tableau20" },
      },
      order: { field: "order" },
    },
    config: { legend: { labelLimit: 0 }, axis: { labelLimit: 0 } },
  };
}

/** Writes `<name>.svg` and `<name>.png` into a directory. */
export async function draw(plot: Plot, directory: string, name: string): Promise<void> {
  const specification = plot.kind === "lines" ? lines(plot) : bars(plot);
  const view = new View(parse(compile(specification).spec), { renderer: "none" });
  try {
    const svg = await view.toSVG();
    await writeFile(join(directory, `${name}.svg`), `${svg}\n`);
    const png = new Resvg(svg, { font: { loadSystemFonts: true } }).render();
    await writeFile(join(directory, `${name}.png`), png.asPng());
  } finally {
    view.finalize();
  }
}
